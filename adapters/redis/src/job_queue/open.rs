//! What is looked at before a queue is trusted to a Redis.

use portwright_domain::{ErrorKind, PortError};

use crate::RedisConfig;
use crate::connection::Connection;
use crate::health::value_of;

const OPERATION: &str = "jobs.init";
/// Scripts with flags and `CLUSTER` with ranges came with it.
const OLDEST: u32 = 7;

const SCRIPT: &str = include_str!("../lua/open.lua");

/// # Errors
/// `Misconfigured` if Redis is too old, does not let this user do what the queue does, holds something else under its
/// keys, or may lose jobs and that was not agreed to; it says what to change.
pub(super) async fn check(connection: &Connection, config: &RedisConfig) -> Result<(), PortError> {
    let info: String = connection.ask(OPERATION, &redis::cmd("INFO")).await?;
    let refused = |detail: String| Err(PortError::new(ErrorKind::Misconfigured, OPERATION, detail));
    let version = value_of(&info, "redis_version");
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST) {
        return refused(format!("Redis {version} is too old: {OLDEST}.0 or later is needed"));
    }
    let mut look = redis::cmd("EVAL");
    look.arg(SCRIPT).arg(1).arg(config.key(""));
    let found: Vec<String> = connection.ask(OPERATION, &look).await?;
    if let [what, names @ ..] = found.as_slice()
        && !names.is_empty()
    {
        let names = names.join(", ");
        return refused(match what.as_str() {
            "denied" => {
                format!("the Redis user may not run {names} on keys that begin with {}", config.key(""))
            }
            _ => format!("another program uses {names}: give one of them another namespace"),
        });
    }
    if config.may_lose_jobs {
        return Ok(());
    }
    let policy = value_of(&info, "maxmemory_policy");
    if policy != "noeviction" {
        let fix = "set `maxmemory-policy noeviction`, or allow the loss of jobs";
        return refused(format!("Redis removes jobs when its memory is full ({policy}): {fix}"));
    }
    if value_of(&info, "aof_enabled") != "1" {
        let fix = "set `appendonly yes` and `appendfsync everysec`, or allow the loss of jobs";
        return refused(format!("Redis loses its jobs when it ends: {fix}"));
    }
    Ok(())
}
