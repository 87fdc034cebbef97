//! What the operator decided: typed, complete and free of contradictions before anything is started.
//!
//! This module is the only one that reads the environment. A value comes, in this order, from the command line, the
//! process environment, the `.env` file in the working directory, or a default; [`Reading`] remembers which, and what
//! it overrode. All problems are found in one go, and a [`Config`] exists only where there is none.
//!
//! To add a setting: describe it in [`variables`], read it in `assemble`, give it a place here.

mod assemble;
mod compute;
mod database;
mod dotenv;
pub mod duration;
pub mod explain;
mod http;
mod misspelt;
mod origins;
mod outside;
mod reader;
mod redis;
mod secret;
mod sources;
mod storage;
mod tracing;
pub mod variables;

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portwright_domain::password::NewPassword;
use portwright_domain::ports::Quota;
use portwright_domain::session::SessionLimits;
use portwright_domain::user::Email;
use portwright_http::TrustedProxies;

pub use compute::{AppRole, BackoffType, Compute, Jobs, WorkerCount};
pub use database::Database;
pub use http::Http;
pub use origins::Origins;
pub use outside::Outside;
pub use reader::{Reading, Setting};
pub use redis::{Queue, Redis, Sharing};
pub use secret::Secret;
pub use sources::{Origin, Override, Sources};
pub use storage::Storage;
pub use tracing::Tracing;

/// Everything that can be decided from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// What kind of place this is.
    pub app_env: AppEnv,
    /// Where to listen.
    pub listen: Listen,
    /// The directory that everything lives in that must survive: database, keys, lock file.
    pub data_dir: PathBuf,
    /// Where users and sessions are kept.
    pub database: Database,
    /// Where files are kept.
    pub storage: Storage,
    /// How access tokens are signed.
    pub jwt: Jwt,
    /// How long a session lives; `idle` is not longer than `absolute`.
    pub session: SessionLimits,
    /// Whether anyone may register.
    pub registration: Registration,
    /// Where operators find metrics and health, if not only among everything else.
    pub management: Option<Listen>,
    /// The administrator of an empty database.
    pub first_admin: FirstAdmin,
    /// Requests that one client may make.
    pub rate_limit: Quota,
    /// Sign-ins that may fail, per account and per address.
    pub login: Quota,
    /// The proxies whose `X-Forwarded-For` is believed; nobody's by default.
    pub trusted_proxies: TrustedProxies,
    /// How much the API does at a time, and how long for one request.
    pub http: Http,
    /// How passwords are hashed.
    pub hashing: Hashing,
    /// Who knows it sees the details of `/health`.
    pub health_secret: Option<Secret>,
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go.
    pub tracing: Tracing,
    /// How long stopping takes.
    pub shutdown: Shutdown,
    /// Where jobs wait.
    pub queue: Queue,
    /// Where requests are counted, and values remembered.
    pub sharing: Sharing,
    /// So many servers share the limits; while Redis is away, each grants that part of them.
    pub servers: NonZeroU32,
    /// How long Redis may take to count a request.
    pub limiter_timeout: Duration,
    /// How jobs are run.
    pub compute: Compute,
    /// How the queue treats them.
    pub jobs: Jobs,
    /// Where all of this came from.
    pub origins: Origins,
}

/// What kind of place this is; it chooses defaults and how strict the checks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Somebody's own machine: nothing needs to be set.
    Development,
    /// Automated tests: as development, without its conveniences for people.
    Test,
    /// Real users: secrets are given, never made up.
    Production,
}

impl AppEnv {
    /// The name that `APP_ENV` uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for AppEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// An IP address, or a name that resolves to one.
    pub host: String,
    /// The port; 0 takes one that is free.
    pub port: u16,
}

/// How access tokens are signed.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// With what.
    pub key: SigningKeySource,
    /// Files with the other keys whose tokens are taken.
    pub accepted: Vec<PathBuf>,
    /// How long a token is valid; whole seconds, at least one.
    pub access_ttl: Duration,
}

/// Where the signing key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKeySource {
    /// An Ed25519 key in the data directory, made at the first run. Never in production.
    DataDir,
    /// An Ed25519 key in this PEM file, which could be opened a moment ago.
    File(PathBuf),
    /// A shared secret of 32 bytes or more, for HS256.
    Secret(Secret),
}

/// Whether anyone may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone may.
    Open,
    /// Only administrators make accounts.
    Closed,
}

/// The administrator that a start makes where there is no user yet.
#[derive(Debug, Clone)]
pub enum FirstAdmin {
    /// With a password that is made up and written to `first-run.txt`. Never in production.
    Generated {
        /// The address.
        email: Email,
    },
    /// With the password that the operator gave.
    Given {
        /// The address.
        email: Email,
        /// The password.
        password: NewPassword,
    },
    /// None: `portwright users create-admin` makes it.
    ByCommand,
}

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing {
    /// How many at a time; each takes a core and about 19 MiB.
    pub threads: NonZeroUsize,
    /// How many may wait; more are refused.
    pub queue: usize,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A filter of `tracing`'s syntax that parses; `None` leaves it to the command.
    pub filter: Option<String>,
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text.
    Text,
}

/// How long stopping takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long requests are still taken after readiness says no, so that load balancers notice.
    pub ready_delay: Duration,
    /// How long, after that, what has begun may take to end.
    pub timeout: Duration,
}

impl Config {
    /// Reads the configuration from everywhere it may come from.
    #[must_use]
    pub fn read(sources: &Sources) -> Reading {
        assemble::assemble(sources)
    }

    /// The defaults, for a test that has this directory to itself: `APP_ENV=test`, a free port on the loopback
    /// interface, and nothing of the environment.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "a test proves that the defaults have no problem"
    )]
    pub fn embedded(data_dir: &Path) -> Self {
        let overrides = [("APP_ENV", "test"), ("PORT", "0")].map(|(name, value)| Override {
            name,
            flag: "embedded",
            value: value.to_owned(),
        });
        let config = Self::read(&Sources::only(overrides)).config.expect("the defaults are a configuration");
        Self {
            data_dir: data_dir.to_owned(),
            database: Database::sqlite_in(data_dir),
            storage: Storage::local_in(data_dir),
            ..config
        }
    }
}

#[cfg(test)]
mod tests;
