//! What is looked at before a queue is trusted to a Redis.

use portwright_domain::{ErrorKind, PortError};

use crate::RedisConfig;
use crate::connection::Connection;
use crate::health::value_of;

const OPERATION: &str = "jobs.init";
/// Scripts with flags and `CLUSTER` with ranges came with it.
const OLDEST: u32 = 7;

/// # Errors
/// `Misconfigured` if Redis is too old, or may lose jobs and that was not agreed to; it says what to change.
pub(super) async fn check(connection: &Connection, config: &RedisConfig) -> Result<(), PortError> {
    let info: String = connection.ask(OPERATION, &redis::cmd("INFO")).await?;
    let refused = |detail: String| Err(PortError::new(ErrorKind::Misconfigured, OPERATION, detail));
    let version = value_of(&info, "redis_version");
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST) {
        return refused(format!("Redis {version} is too old: {OLDEST}.0 or later is needed"));
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
