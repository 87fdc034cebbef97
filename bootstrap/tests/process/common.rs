//! [`Common`]: PostgreSQL and Redis, and servers on them that look like servers of several hosts.

use std::sync::Arc;

use portwright_domain::ports::job_queue::Limits;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::servers::{Postgres, Redis};
use tokio::process::Command;

use crate::place::Place;
use crate::workers::Jobs;

/// Everything that servers on several hosts share.
pub(crate) struct Common {
    pub(crate) redis: Redis,
    _postgres: Postgres,
    environment: [(&'static str, String); 3],
}

impl Common {
    pub(crate) fn new() -> Self {
        let (redis, postgres) = (Redis::new(), Postgres::primary());
        let environment = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url(&postgres.fresh_database())),
            ("JWT_SECRET", "q3Yt0nR6dJ1vXwq8Zb7sKf2uM5hLgC4e".to_owned()),
        ];
        Self { redis, _postgres: postgres, environment }
    }

    /// The program with the tasks of a test, on a host of its own as far as it can tell.
    pub(crate) fn on(&self, place: &Place, argument: &str) -> Command {
        let mut command = place.program(argument);
        command.envs(self.environment.clone());
        command
    }

    pub(crate) async fn jobs(&self, place: &Place) -> Jobs {
        let config = RedisConfig::at([self.redis.url()]).expect("a URL");
        let queue = RedisJobQueue::init(&config, Limits::default()).await.expect("it opens");
        Jobs::of(Arc::new(queue), place)
    }
}
