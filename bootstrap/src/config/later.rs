//! Variables that the product promises and this version cannot obey.
//!
//! To ignore one would be a lie: whoever sets `REDIS_URL` believes that the data goes there. So setting one is a
//! problem, unless it is set to nothing.

/// Variables that come together.
pub(super) struct Later {
    /// What they configure.
    pub(super) feature: &'static str,
    /// What happens in this version.
    pub(super) instead: &'static str,
    pub(super) names: &'static [&'static str],
}

pub(super) static LATER: &[Later] = &[Later {
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
}];

/// What the variable will configure, if it is one of them.
pub(super) fn find(name: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.names.contains(&name))
}
