//! The queue that the configuration names, as whoever does not own it reaches it: workers, `portwright jobs`, and
//! everybody where it is in Redis, which nobody owns.

use std::sync::Arc;

use portwright_domain::ports::{JobQueue, JobSource};
use portwright_domain::{ErrorKind, PortError};
use portwright_layers::Policy as Patience;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_socket::QueueClient;

use crate::config::{Config, Queue, Redis, Secret};
use crate::exit::Exit;
use crate::failure::{Failure, Problem, with_causes};
use crate::wiring::Ambient;

/// Both halves of a queue.
#[derive(Clone)]
pub struct OpenQueue {
    /// The caller's half.
    pub queue: Arc<dyn JobQueue>,
    /// The worker's half.
    pub source: Arc<dyn JobSource>,
    /// How patient whoever asks either of them is.
    pub patience: Patience,
}

impl OpenQueue {
    /// Reaches it. An embedded one is asked only when there is something to ask.
    ///
    /// # Errors
    /// If Redis is away, refuses us, or may lose jobs and that was not agreed to.
    pub async fn reach(config: &Config, ambient: &Ambient) -> Result<Self, PortError> {
        match &config.queue {
            Queue::Embedded => Ok(Self {
                // Calls must not stand between a worker and its lease.
                queue: Arc::new(QueueClient::of(&config.data_dir)),
                source: Arc::new(QueueClient::of(&config.data_dir)),
                patience: Patience::LOCAL,
            }),
            Queue::Redis(redis) => {
                let (servers, limits) = (servers(redis)?, config.jobs.limits);
                let queue = Arc::new(if ambient.rules_queue {
                    RedisJobQueue::init_with_clock(&servers, limits, ambient.clock.clone()).await?
                } else {
                    RedisJobQueue::init(&servers, limits).await?
                });
                Ok(Self { queue: queue.clone(), source: queue, patience: Patience::REMOTE })
            }
        }
    }
}

/// The servers that the configuration names.
///
/// # Errors
/// None that reading the configuration would not have found.
pub(crate) fn servers(redis: &Redis) -> Result<RedisConfig, PortError> {
    let mut config =
        RedisConfig::at(redis.urls.iter().map(Secret::expose))?.in_namespace(&redis.namespace)?;
    config.may_lose_jobs = redis.may_lose_jobs;
    Ok(config)
}

/// Why nobody can do anything about jobs, for the operator.
#[must_use]
pub fn away(config: &Config, error: &PortError) -> Failure {
    match &config.queue {
        Queue::Embedded => {
            let directory = config.data_dir.display();
            let what =
                format!("no answer from a server on the data directory {directory} ({})", error.detail());
            let fix = "the server owns the jobs: start it, or set DATA_DIR to that of a server on this host";
            Failure::new(Exit::Unavailable, Problem::new(what).fix(fix))
        }
        Queue::Redis(redis) => away_from(redis, error),
    }
}

/// Why this Redis is of no use, for the operator.
pub(crate) fn away_from(redis: &Redis, error: &PortError) -> Failure {
    let names = servers(redis).map(|servers| servers.names().join(", ")).unwrap_or_default();
    let problem = Problem::new(format!("cannot use the Redis at {names} ({})", with_causes(error)));
    let (exit, fix) = if error.kind() == ErrorKind::Misconfigured {
        let fix =
            "change that, or the REDIS_ variables; REDIS_MAY_LOSE_JOBS=true takes one that may lose jobs";
        (Exit::Config, fix)
    } else {
        (Exit::Unavailable, "start it, or correct REDIS_URL or REDIS_HOST")
    };
    Failure::new(exit, problem.fix(fix))
}

/// Where jobs wait, in a few words for the operator.
#[must_use]
pub fn describe(queue: &Queue) -> String {
    match queue {
        Queue::Embedded => "embedded (durable)".to_owned(),
        Queue::Redis(redis) => {
            let names = servers(redis).map(|servers| servers.names()).unwrap_or_default();
            let loses = if redis.may_lose_jobs { " (may lose jobs)" } else { "" };
            format!("redis {}{loses}", names.join(", "))
        }
    }
}
