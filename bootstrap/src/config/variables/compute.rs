//! The variables of jobs and workers.

use std::time::Duration;

use portwright_domain::ports::job_queue::Retention;

use super::super::compute::{AppRole, BackoffType, QueueBackend};
use super::super::duration::Bare;
use super::DefaultValue::{ByTest, Is, Unset};
use super::{HOUR, MILLISECOND, SECOND, Variable, parse};

/// With the usual number of places, a worker starts with 100 MiB; the rest is for its tasks.
const SMALLEST_WORKER: u64 = 256 << 20;
const LARGEST_WORKER: u64 = 1 << 50;

pub(in crate::config) static COMPUTE_APP_ROLE: Variable<AppRole> = Variable::new(
    "COMPUTE_APP_ROLE",
    "api, worker or all",
    |text| {
        use AppRole::{All, Api, Worker};
        parse::one_of(text, &[("api", Api), ("worker", Worker), ("all", All)])
    },
    Is("all"),
    "What `portwright` without a command does: serve the API and start workers (all), serve the API and leave the work \
     to workers started elsewhere (api), or be such a worker (worker), which is on the host of the server unless jobs wait \
     in Redis.",
);

pub(in crate::config) static COMPUTE_AUTO_SPAWN: Variable<bool> = Variable::new(
    "COMPUTE_AUTO_SPAWN",
    "true or false",
    |text| parse::one_of(text, &[("true", true), ("1", true), ("false", false), ("0", false)]),
    Unset("true where COMPUTE_APP_ROLE is all, but not where APP_ENV is test"),
    "Whether the server starts worker processes and looks after them.",
);

pub(in crate::config) static COMPUTE_MIN_WORKERS: Variable<usize> = Variable::new(
    "COMPUTE_MIN_WORKERS",
    "a whole number from 0 to 256",
    |text| parse::number(text, 0..=256),
    Is("1"),
    "Worker processes that the server keeps even when there is nothing to do; with 0, the first job waits for one to start.",
);

pub(in crate::config) static COMPUTE_MAX_WORKERS: Variable<usize> = Variable::new(
    "COMPUTE_MAX_WORKERS",
    "a whole number from 1 to 256",
    |text| parse::number(text, 1..=256),
    Unset("the number of cores, and not less than COMPUTE_MIN_WORKERS"),
    "Worker processes that the server starts at most, when much work waits.",
);

pub(in crate::config) static COMPUTE_CONCURRENCY: Variable<u32> = Variable::new(
    "COMPUTE_CONCURRENCY",
    "a whole number from 1 to 1000",
    |text| parse::number(text, 1..=1_000),
    Is("8"),
    "Jobs that one worker process runs at a time.",
);

pub(in crate::config) static COMPUTE_LEASE: Variable<Duration> = Variable::new(
    "COMPUTE_LEASE",
    "a duration from 1s to 1h, with its unit",
    |text| parse::duration(text, Bare::Refused, SECOND..=HOUR),
    ByTest { test: "2s", otherwise: "30s" },
    "A worker that is not heard of for this long has lost its jobs, and others run them.",
);

pub(in crate::config) static COMPUTE_MEMORY_LIMIT: Variable<u64> = Variable::new(
    "COMPUTE_MEMORY_LIMIT",
    "a size from 256MiB to 1048576GiB",
    |text| parse::size(text, SMALLEST_WORKER..=LARGEST_WORKER),
    Unset("no limit but the machine's"),
    "The memory that a worker process may have which the server starts (RLIMIT_DATA, which counts what it may write to, \
     2 MiB for each place included); one that wants more dies alone.",
);

pub(in crate::config) static QUEUE_BACKEND: Variable<QueueBackend> = Variable::new(
    "QUEUE_BACKEND",
    "embedded or redis",
    |text| {
        use QueueBackend::{Embedded, Redis};
        parse::one_of(text, &[("embedded", Embedded), ("redis", Redis)])
    },
    Unset("redis where there is one, otherwise embedded, which production with PostgreSQL wants to be told"),
    "Where jobs wait: in a file in DATA_DIR, for workers on this host (embedded), or in Redis, for workers on any.",
);

pub(in crate::config) static QUEUE_ATTEMPTS: Variable<u32> = Variable::new(
    "QUEUE_ATTEMPTS",
    "a whole number from 1 to 1000",
    |text| parse::number(text, 1..=1_000),
    Is("3"),
    "How often a job may start, where its task does not say so itself.",
);

pub(in crate::config) static QUEUE_BACKOFF_TYPE: Variable<BackoffType> = Variable::new(
    "QUEUE_BACKOFF_TYPE",
    "fixed or exponential",
    |text| {
        use BackoffType::{Exponential, Fixed};
        parse::one_of(text, &[("fixed", Fixed), ("exponential", Exponential)])
    },
    Is("exponential"),
    "How the wait between tries grows: not at all, or twofold from try to try, up to an hour.",
);

pub(in crate::config) static QUEUE_BACKOFF_DELAY: Variable<Duration> = Variable::new(
    "QUEUE_BACKOFF_DELAY",
    "a duration from 1ms to 1h (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, MILLISECOND..=HOUR),
    Is("1000"),
    "The wait after the first try that failed, where the task does not say so itself.",
);

pub(in crate::config) static QUEUE_REMOVE_ON_COMPLETE: Variable<Retention> = Variable::new(
    "QUEUE_REMOVE_ON_COMPLETE",
    "a number of jobs up to 10000000, or a duration up to 365d with its unit",
    retention,
    Unset("100000, and none longer than 1d"),
    "How many jobs that succeeded are remembered, or for how long; others are removed.",
);

pub(in crate::config) static QUEUE_REMOVE_ON_FAIL: Variable<Retention> = Variable::new(
    "QUEUE_REMOVE_ON_FAIL",
    "a number of jobs up to 10000000, or a duration up to 365d with its unit",
    retention,
    Unset("100000, and none longer than 7d"),
    "How many jobs that failed are remembered (and as many that are dead, and that were cancelled), or for how long.",
);

/// Whoever gives one of both bounds does not want to meet the other.
fn retention(text: &str) -> Result<Retention, String> {
    const MOST: Retention = Retention { jobs: 10_000_000, age: Duration::from_hours(365 * 24) };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let jobs: u32 = parse::number(text, 0..=10_000_000)?;
        Ok(Retention { jobs: jobs.into(), ..MOST })
    } else {
        let age = parse::duration(text, Bare::Refused, SECOND..=MOST.age)?;
        Ok(Retention { age, ..MOST })
    }
}
