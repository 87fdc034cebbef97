//! The table of variables: everything that this version can be told. Parsing, `portwright config` and the documentation
//! come from it.

mod compute;
mod database;
mod http;
mod parse;
mod redis;
mod spec;
mod storage;
mod tracing;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use portwright_domain::password::NewPassword;
use portwright_domain::user::Email;
use portwright_http::{NetworkInvalid, TrustedProxies};

use super::duration::Bare;
use super::{AppEnv, LogFormat, Registration, Secret};
use DefaultValue::{ByEnv, Is, Unset};

pub(super) use compute::*;
pub(super) use database::*;
pub(super) use http::*;
pub(super) use redis::*;
pub(super) use spec::Variable;
pub use spec::{DefaultValue, Spec};
pub(super) use storage::*;
pub(super) use tracing::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Every variable, in the order of the documentation.
pub static ALL: &[&Spec] = &[
    &APP_ENV.spec,
    &HOST.spec,
    &PORT.spec,
    &MANAGEMENT_PORT.spec,
    &DATA_DIR.spec,
    &DATABASE_URL.spec,
    &DATABASE_REPLICA_URLS.spec,
    &DB_HOST.spec,
    &DB_PORT.spec,
    &DB_USER.spec,
    &DB_PASSWORD.spec,
    &DB_NAME.spec,
    &DB_SSLMODE.spec,
    &DB_SSLROOTCERT.spec,
    &DB_REPLICA_HOSTS.spec,
    &DB_CONNECTION_LIMIT.spec,
    &REDIS_URL.spec,
    &REDIS_HOST.spec,
    &REDIS_PORT.spec,
    &REDIS_PASSWORD.spec,
    &REDIS_DB.spec,
    &REDIS_CLUSTER_NODES.spec,
    &REDIS_NAMESPACE.spec,
    &REDIS_MAY_LOSE_JOBS.spec,
    &STORAGE_STRATEGY.spec,
    &STORAGE_ENDPOINT.spec,
    &STORAGE_REGION.spec,
    &STORAGE_BUCKET_NAME.spec,
    &STORAGE_ACCESS_KEY.spec,
    &STORAGE_SECRET_KEY.spec,
    &STORAGE_FORCE_PATH_STYLE.spec,
    &JWT_PRIVATE_KEY_FILE.spec,
    &JWT_ACCEPTED_KEY_FILES.spec,
    &JWT_SECRET.spec,
    &JWT_EXPIRES_IN.spec,
    &SESSION_IDLE_TIMEOUT.spec,
    &SESSION_LIFETIME.spec,
    &REGISTRATION.spec,
    &ADMIN_EMAIL.spec,
    &ADMIN_PASSWORD.spec,
    &RATE_LIMIT_MAX_REQUESTS.spec,
    &RATE_LIMIT_WINDOW_MS.spec,
    &RATE_LIMIT_SERVERS.spec,
    &RATE_LIMIT_TIMEOUT_MS.spec,
    &LOGIN_MAX_FAILURES.spec,
    &LOGIN_WINDOW_MS.spec,
    &TRUSTED_PROXIES.spec,
    &HTTP_MAX_CONCURRENT.spec,
    &HTTP_REQUEST_TIMEOUT.spec,
    &HASHING_THREADS.spec,
    &HASHING_QUEUE.spec,
    &HEALTH_CHECK_SECRET.spec,
    &LOG_FORMAT.spec,
    &RUST_LOG.spec,
    &OTEL_SDK_DISABLED.spec,
    &OTEL_EXPORTER_OTLP_ENDPOINT.spec,
    &OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.spec,
    &OTEL_EXPORTER_OTLP_HEADERS.spec,
    &OTEL_EXPORTER_OTLP_TIMEOUT.spec,
    &OTEL_SERVICE_NAME.spec,
    &OTEL_RESOURCE_ATTRIBUTES.spec,
    &OTEL_TRACES_SAMPLER.spec,
    &OTEL_TRACES_SAMPLER_ARG.spec,
    &SHUTDOWN_READY_DELAY.spec,
    &SHUTDOWN_TIMEOUT.spec,
    &COMPUTE_APP_ROLE.spec,
    &COMPUTE_AUTO_SPAWN.spec,
    &COMPUTE_MIN_WORKERS.spec,
    &COMPUTE_MAX_WORKERS.spec,
    &COMPUTE_CONCURRENCY.spec,
    &COMPUTE_LEASE.spec,
    &COMPUTE_MEMORY_LIMIT.spec,
    &QUEUE_BACKEND.spec,
    &QUEUE_ATTEMPTS.spec,
    &QUEUE_BACKOFF_TYPE.spec,
    &QUEUE_BACKOFF_DELAY.spec,
    &QUEUE_REMOVE_ON_COMPLETE.spec,
    &QUEUE_REMOVE_ON_FAIL.spec,
];

pub(super) static APP_ENV: Variable<AppEnv> = Variable::new(
    "APP_ENV",
    "development, production or test",
    |text| {
        use AppEnv::{Development, Production, Test};
        parse::one_of(text, &[("development", Development), ("production", Production), ("test", Test)])
    },
    Is("development"),
    "What kind of place this is. It chooses defaults, and production insists on secrets of its own.",
)
.or_named(&["NODE_ENV"]);

pub(super) static HOST: Variable<String> = Variable::new(
    "HOST",
    "an IP address or a host name, without a port",
    parse::host,
    ByEnv { relaxed: "127.0.0.1", production: "0.0.0.0" },
    "The address to listen on; 0.0.0.0 is every IPv4 address of this machine, :: every address.",
);

pub(super) static PORT: Variable<u16> = Variable::new(
    "PORT",
    "a whole number from 0 to 65535",
    |text| parse::number(text, 0..=65_535),
    Is("3000"),
    "The port to listen on; 0 takes one that is free.",
);

pub(super) static MANAGEMENT_PORT: Variable<u16> = Variable::new(
    "MANAGEMENT_PORT",
    "a whole number from 0 to 65535",
    |text| parse::number(text, 0..=65_535),
    Unset("/health is on PORT alone, and /metrics, too, but in production nowhere"),
    "A port of HOST for operators: /metrics and /health, never limited. Workers started by hand have it as well.",
);

pub(super) static DATA_DIR: Variable<PathBuf> = Variable::new(
    "DATA_DIR",
    "a path",
    parse::path,
    Is("./data"),
    "The directory of everything that must survive: database, keys, lock file. One server at a time uses it.",
);

pub(super) static JWT_PRIVATE_KEY_FILE: Variable<PathBuf> = Variable::new(
    "JWT_PRIVATE_KEY_FILE",
    "the path of a file that can be read",
    parse::readable_file,
    Unset("JWT_SECRET, or outside production a key in DATA_DIR that the first run makes"),
    "The Ed25519 private key (PEM, PKCS #8) that signs access tokens. Servers that share a database share it, or JWT_SECRET: \
     each takes the tokens of the others then.",
);

pub(super) static JWT_ACCEPTED_KEY_FILES: Variable<Vec<PathBuf>> = Variable::new(
    "JWT_ACCEPTED_KEY_FILES",
    "paths of files that can be read, separated by commas",
    parse::readable_files,
    Unset("nothing is taken that another key signed"),
    "Ed25519 private keys whose tokens are taken as well: the next one before it signs, the last one after it did. So a change      of keys signs nobody out.",
);

pub(super) static JWT_SECRET: Variable<Secret> = Variable::new(
    "JWT_SECRET",
    "32 bytes or more",
    |text| parse::secret(text, 32),
    Unset("an Ed25519 key signs"),
    "A shared secret that signs access tokens (HS256), for clients that verify them with it.",
)
.secret();

pub(super) static JWT_EXPIRES_IN: Variable<Duration> = Variable::new(
    "JWT_EXPIRES_IN",
    "a duration of whole seconds, 1s to 30d (a bare number counts seconds)",
    |text| match parse::duration(text, Bare::Seconds, SECOND..=30 * DAY) {
        Ok(duration) if duration.subsec_nanos() != 0 => Err("it has a fraction of a second".to_owned()),
        other => other,
    },
    Is("15m"),
    "How long an access token is valid.",
);

pub(super) static SESSION_IDLE_TIMEOUT: Variable<Duration> = Variable::new(
    "SESSION_IDLE_TIMEOUT",
    "a duration from 1s to 365d, with its unit",
    |text| parse::duration(text, Bare::Refused, SECOND..=365 * DAY),
    Is("7d"),
    "A session that is not refreshed for this long ends.",
);

pub(super) static SESSION_LIFETIME: Variable<Duration> = Variable::new(
    "SESSION_LIFETIME",
    "a duration from 1s to 365d, with its unit",
    |text| parse::duration(text, Bare::Refused, SECOND..=365 * DAY),
    Is("30d"),
    "However often it is refreshed, a session ends this long after the sign-in.",
);

pub(super) static REGISTRATION: Variable<Registration> = Variable::new(
    "REGISTRATION",
    "open or closed",
    |text| parse::one_of(text, &[("open", Registration::Open), ("closed", Registration::Closed)]),
    Is("open"),
    "Whether anyone may register, or only administrators make accounts.",
);

pub(super) static ADMIN_EMAIL: Variable<Email> = Variable::new(
    "ADMIN_EMAIL",
    "an e-mail address",
    |text| Email::parse(text).map_err(|invalid| invalid.to_string()),
    Unset("admin@localhost, and in production no administrator is made"),
    "The administrator that a start makes where there is no user yet.",
);

pub(super) static ADMIN_PASSWORD: Variable<NewPassword> = Variable::new(
    "ADMIN_PASSWORD",
    "a good password of 8 to 128 characters",
    |text| NewPassword::parse(text).map_err(|invalid| invalid.to_string()),
    Unset("outside production one is made up and written to DATA_DIR/first-run.txt"),
    "The password of that administrator; not looked at once there is a user.",
)
.secret();

pub(super) static RATE_LIMIT_MAX_REQUESTS: Variable<u32> = Variable::new(
    "RATE_LIMIT_MAX_REQUESTS",
    "a whole number from 1 to 1000000000",
    |text| parse::number(text, 1..=1_000_000_000),
    Is("50"),
    "Requests that one client (a user, else an address) may make in a window.",
);

pub(super) static RATE_LIMIT_WINDOW_MS: Variable<Duration> = Variable::new(
    "RATE_LIMIT_WINDOW_MS",
    "a duration from 1ms to 1d (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, MILLISECOND..=DAY),
    Is("60000"),
    "The window of RATE_LIMIT_MAX_REQUESTS, which begins with a client's first request.",
);

pub(super) static RATE_LIMIT_SERVERS: Variable<NonZeroU32> = Variable::new(
    "RATE_LIMIT_SERVERS",
    "a whole number from 1 to 1000",
    |text| NonZeroU32::new(parse::number(text, 1..=1_000)?).ok_or_else(|| "it is out of range".to_owned()),
    Is("1"),
    "Servers that count requests together in Redis. While it is away, each counts by itself and grants that part of the \
     limits, and of sign-ins half of it.",
);

pub(super) static RATE_LIMIT_TIMEOUT_MS: Variable<Duration> = Variable::new(
    "RATE_LIMIT_TIMEOUT_MS",
    "a duration from 1ms to 5s (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, MILLISECOND..=5 * SECOND),
    Is("10"),
    "How long a request waits for Redis to count it, before this server counts it by itself.",
);

pub(super) static LOGIN_MAX_FAILURES: Variable<u32> = Variable::new(
    "LOGIN_MAX_FAILURES",
    "a whole number from 1 to 1000000",
    |text| parse::number(text, 1..=1_000_000),
    Is("10"),
    "Sign-ins that may fail in a window, per account and per address; successes do not count.",
);

pub(super) static LOGIN_WINDOW_MS: Variable<Duration> = Variable::new(
    "LOGIN_WINDOW_MS",
    "a duration from 1ms to 1d (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, MILLISECOND..=DAY),
    Is("60000"),
    "The window of LOGIN_MAX_FAILURES.",
);

pub(super) static TRUSTED_PROXIES: Variable<TrustedProxies> = Variable::new(
    "TRUSTED_PROXIES",
    "IP addresses or blocks such as 10.0.0.0/8, separated by commas",
    |text| text.parse().map_err(|invalid: NetworkInvalid| invalid.to_string()),
    Unset("nobody's word counts, a client is the address that connects"),
    "The proxies that are believed when they say (X-Forwarded-For) for whom they ask.",
);

pub(super) static HASHING_THREADS: Variable<NonZeroUsize> = Variable::new(
    "HASHING_THREADS",
    "a whole number from 1 to 64",
    |text| parse::number(text, 1..=64),
    Is("2"),
    "Passwords that are hashed at a time; each takes a core and about 19 MiB.",
);

pub(super) static HASHING_QUEUE: Variable<usize> = Variable::new(
    "HASHING_QUEUE",
    "a whole number from 0 to 10000",
    |text| parse::number(text, 0..=10_000),
    Is("64"),
    "Passwords that may wait to be hashed; more answer 503, so that a flood of sign-ins stays bounded.",
);

pub(super) static HEALTH_CHECK_SECRET: Variable<Secret> = Variable::new(
    "HEALTH_CHECK_SECRET",
    "16 bytes or more",
    |text| parse::secret(text, 16),
    Unset("only administrators see the details in production"),
    "Who sends it as X-Health-Key sees the details of /health.",
)
.secret();

pub(super) static LOG_FORMAT: Variable<LogFormat> = Variable::new(
    "LOG_FORMAT",
    "auto, json or text",
    |text| {
        use LogFormat::{Auto, Json, Text};
        parse::one_of(text, &[("auto", Auto), ("json", Json), ("text", Text)])
    },
    Is("auto"),
    "How the log is written to the standard error; auto is text on a terminal and JSON elsewhere.",
);

pub(super) static RUST_LOG: Variable<String> = Variable::new(
    "RUST_LOG",
    "a filter such as info or warn,portwright=debug",
    parse::log_filter,
    Unset("info for the server, warn for other commands"),
    "What is logged.",
);

pub(super) static SHUTDOWN_READY_DELAY: Variable<Duration> = Variable::new(
    "SHUTDOWN_READY_DELAY",
    "a duration from 0 to 1h (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, Duration::ZERO..=HOUR),
    ByEnv { relaxed: "0", production: "5s" },
    "How long a stopping server still takes requests after readiness says no, so that balancers notice.",
);

pub(super) static SHUTDOWN_TIMEOUT: Variable<Duration> = Variable::new(
    "SHUTDOWN_TIMEOUT",
    "a duration from 0 to 1h (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, Duration::ZERO..=HOUR),
    Is("25s"),
    "How long, after that delay, what has begun may take to end; then it is cut off.",
)
.or_named(&["SHUT_DOWN_TIMER"]);
