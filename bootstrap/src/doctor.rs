//! Probes this set-up as it would be used, and says of everything that is wrong what to do about it.
//!
//! Nothing is changed but what a probe puts and removes again, so it may be asked beside a running server, and before
//! the first start. Every question is bounded; the topics are asked at once.

mod auth;
mod db;
mod place;
mod postgres;
mod queue;
mod redis;
mod storage;

use std::time::Duration;

use portwright_domain::ports::HealthStatus;
use tokio::time::timeout;

use crate::config::Reading;
use crate::failure::Problem;
use crate::wiring::Ambient;

/// No topic takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Topic {
    /// The database and its replicas
    Db,
    /// Redis
    Redis,
    /// Files
    Storage,
    /// The queue of jobs
    Queue,
    /// Keys and tokens
    Auth,
}

/// What one probe found. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which probe, such as `db.replica-lag`: stable.
    pub check: &'static str,
    /// Whether it is well.
    pub status: HealthStatus,
    /// What it found, in one line.
    pub problem: Problem,
}

impl Finding {
    /// All is well.
    pub(crate) fn pass(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, status: HealthStatus::Pass, problem: Problem::new(what) }
    }

    /// It works, and may not tomorrow.
    pub(crate) fn warn(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: HealthStatus::Warn, problem: Problem::new(what).fix(fix) }
    }

    /// It does not work.
    pub(crate) fn fail(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::failed(check, Problem::new(what).fix(fix))
    }

    /// It does not work, as somebody else has said already.
    pub(crate) const fn failed(check: &'static str, problem: Problem) -> Self {
        Self { check, status: HealthStatus::Fail, problem }
    }
}

/// Probes this topic, or everything.
pub async fn examine(reading: &Reading, topic: Option<Topic>, ambient: &Ambient) -> Vec<Finding> {
    let is_asked = |it| topic.is_none_or(|asked| asked == it);
    let config = reading.config.as_ref().ok();
    let (outside, clock) = (&reading.outside, &*ambient.clock);
    let db =
        async { if is_asked(Topic::Db) { db::examine(outside, config, clock).await } else { Vec::new() } };
    let storage = async {
        if is_asked(Topic::Storage) { storage::examine(outside, ambient).await } else { Vec::new() }
    };
    let queue = async {
        match config.filter(|_| is_asked(Topic::Queue)) {
            Some(config) => queue::examine(config).await,
            None => Vec::new(),
        }
    };
    let redis =
        async { if is_asked(Topic::Redis) { redis::examine(outside, clock).await } else { Vec::new() } };
    let (db, redis, storage, queue) = tokio::join!(
        bounded("db.time", db),
        bounded("redis.time", redis),
        bounded("storage.time", storage),
        bounded("queue.time", queue)
    );
    let auth = config.filter(|_| is_asked(Topic::Auth)).map(auth::examine).unwrap_or_default();
    let place = place::examine(reading, topic.is_none());
    [place, db, redis, storage, queue, auth].concat()
}

async fn bounded(check: &'static str, work: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_elapsed| {
        let what = format!("not done within {} s", PATIENCE.as_secs());
        vec![Finding::fail(check, what, "RUST_LOG=debug shows what it waits for")]
    })
}

/// How far two clocks may differ before it is worth a word, and before tokens and leases go wrong.
const SKEW: Duration = Duration::from_secs(1);
const TOO_MUCH_SKEW: Duration = Duration::from_secs(30);

/// What it means that the clock of a server is so many microseconds ahead of ours.
fn clock_of(check: &'static str, server: &str, ahead: i64) -> Finding {
    let skew = Duration::from_micros(ahead.unsigned_abs());
    let direction = if ahead < 0 { "behind" } else { "ahead" };
    let what = format!("the clock of {server} is {:.3} s {direction}", skew.as_secs_f64());
    let fix = "let both machines set their clocks by the same servers (NTP)";
    match skew {
        skew if skew > TOO_MUCH_SKEW => Finding::fail(check, what, fix),
        skew if skew > SKEW => Finding::warn(check, what, fix),
        _ => Finding::pass(check, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_with_its_direction() {
        let status = |ahead| clock_of("db.clock", "db:5432", ahead).status;
        assert_eq!(status(-900_000), HealthStatus::Pass);
        assert_eq!(status(-2_000_000), HealthStatus::Warn);
        assert_eq!(status(31_000_000), HealthStatus::Fail);
        let behind = clock_of("db.clock", "db:5432", -2_500_000);
        assert_eq!(behind.problem.what(), "the clock of db:5432 is 2.500 s behind");
    }
}
