//! [`RedisHealth`]: what the server that takes writes says of itself.

use async_trait::async_trait;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};

use crate::connection::Connection;

/// So much of its memory is as good as all of it, in percent.
const NEARLY_FULL: u64 = 90;

/// The probe named `redis`: asks the server how it is.
///
/// It warns of a server that may lose what it is told (it evicts keys, or keeps nothing on a disk, or could not write
/// there), and of one whose memory is nearly full. It fails when there is no answer.
#[derive(Debug)]
pub struct RedisHealth {
    redis: Connection,
}

impl RedisHealth {
    /// Watches the Redis at the other end of this connection.
    #[must_use]
    pub fn on(redis: &Connection) -> Self {
        Self { redis: redis.clone() }
    }
}

#[async_trait]
impl HealthProbe for RedisHealth {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn check(&self) -> Health {
        match self.redis.ask::<String>("redis.check", &redis::cmd("INFO")).await {
            Ok(info) => judged(&info),
            Err(error) => Health::fail(error.to_string()),
        }
    }
}

fn judged(info: &str) -> Health {
    let about = |name: &str| value_of(info, name);
    let number = |name: &str| about(name).parse::<u64>().unwrap_or(0);
    let (used, most) = (number("used_memory"), number("maxmemory"));
    let memory = match most {
        0 => format!("{used} bytes of no limit"),
        _ => format!("{used} of {most} bytes"),
    };
    let aof = match (about("aof_enabled"), about("aof_last_write_status")) {
        ("1", "ok") => "on",
        ("1", _) => "on, but it cannot be written",
        _ => "off",
    };
    let evicts = about("maxmemory_policy") != "noeviction";
    let mut health = Health::pass()
        .with("role", about("role"))
        .with("version", about("redis_version"))
        .with("memory", memory)
        .with("eviction", about("maxmemory_policy"))
        .with("aof", aof)
        .with("replicas", about("connected_slaves"));
    if evicts || aof != "on" || (most > 0 && used >= most / 100 * NEARLY_FULL) {
        health.status = HealthStatus::Warn;
    }
    health
}

/// What `INFO` says under this name.
pub(crate) fn value_of<'a>(info: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:2\r\n";

    #[test]
    fn what_could_lose_something_is_a_warning() {
        assert_eq!(judged(WELL).status, HealthStatus::Pass);
        for (well, unwell) in [
            ("policy:noeviction", "policy:allkeys-lru"),
            ("aof_enabled:1", "aof_enabled:0"),
            ("status:ok", "status:err"),
            ("maxmemory:0", "maxmemory:1100"),
        ] {
            assert_eq!(judged(&WELL.replace(well, unwell)).status, HealthStatus::Warn, "{unwell}");
        }
    }
}
