//! Variables that the product promises and this version cannot obey.
//!
//! To ignore one would be a lie: whoever sets `DATABASE_URL` believes that the data goes there. So setting one is a
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
        feature: "PostgreSQL",
        instead: "users and sessions are kept in SQLite, in DATA_DIR",
        names: &[
            "DATABASE_URL",
            "DATABASE_REPLICA_URLS",
            "DB_HOST",
            "DB_PORT",
            "DB_USER",
            "DB_USERNAME",
            "DB_PASSWORD",
            "DB_PASSWORD_FILE",
            "DB_NAME",
            "DB_DATABASE",
            "DB_REPLICA_HOSTS",
            "DB_CONNECTION_LIMIT",
            "DB_SSLMODE",
        ],
    },
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
        feature: "choice of queues",
        instead: "jobs are kept in SQLite, in DATA_DIR",
        names: &["QUEUE_BACKEND"],
    },
    Later { feature: "metrics", instead: "there are no metrics", names: &["MANAGEMENT_PORT"] },
];

/// Values that ask for what happens anyway.
static HARMLESS: &[(&str, &[&str])] = &[("QUEUE_BACKEND", &["embedded"])];

/// What the variable will configure, if it is one of them.
pub(super) fn find(name: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.names.contains(&name))
}

/// Whether this value of a later variable asks for nothing.
pub(super) fn is_harmless(name: &str, value: &str) -> bool {
    value.is_empty() || HARMLESS.iter().any(|(known, values)| *known == name && values.contains(&value))
}
