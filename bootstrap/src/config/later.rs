//! Variables that the product promises and this version cannot obey.
//!
//! To ignore one would be a lie: whoever sets `REDIS_URL` believes that the data goes there. So setting one is a
//! problem — but not where the value asks for nothing else than what happens anyway ([`HARMLESS`]).

/// Variables that come together.
pub(super) struct Later {
    /// What they configure.
    pub(super) feature: &'static str,
    /// What happens in this version.
    pub(super) instead: &'static str,
    pub(super) names: &'static [&'static str],
}

pub(super) static LATER: &[Later] = &[
    Later {
        feature: "Redis",
        instead: "jobs are kept in SQLite, and rate limits are counted in the process",
        names: &[
            "REDIS_URL",
            "REDIS_HOST",
            "REDIS_PORT",
            "REDIS_PASSWORD",
            "REDIS_PASSWORD_FILE",
            "REDIS_DB",
            "REDIS_CLUSTER_NODES",
        ],
    },
    Later {
        feature: "choice of storages",
        instead: "files are kept in DATA_DIR/storage",
        names: &[
            "STORAGE_STRATEGY",
            "STORAGE_ENDPOINT",
            "STORAGE_ACCESS_KEY",
            "STORAGE_SECRET_KEY",
            "STORAGE_SECRET_KEY_FILE",
            "STORAGE_BUCKET_NAME",
            "STORAGE_REGION",
            "STORAGE_FORCE_PATH_STYLE",
        ],
    },
    Later { feature: "metrics", instead: "there are no metrics", names: &["MANAGEMENT_PORT"] },
];

/// Values that ask for what happens anyway.
static HARMLESS: &[(&str, &[&str])] = &[("STORAGE_STRATEGY", &["local"])];

/// What the variable will configure, if it is one of them.
pub(super) fn find(name: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.names.contains(&name))
}

/// Whether this value of a later variable asks for nothing.
pub(super) fn is_harmless(name: &str, value: &str) -> bool {
    value.is_empty() || HARMLESS.iter().any(|(known, values)| *known == name && values.contains(&value))
}
