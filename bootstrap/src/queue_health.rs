//! How the queue is, for `/health`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::ports::job_queue::QueueStatus;
use portwright_domain::ports::{Health, HealthProbe, JobQueue};

/// Counts what waits, runs and is dead, in all queues together.
pub struct QueueHealth(Arc<dyn JobQueue>);

impl QueueHealth {
    /// Of this queue.
    #[must_use]
    pub fn of(queue: Arc<dyn JobQueue>) -> Self {
        Self(queue)
    }
}

#[async_trait]
impl HealthProbe for QueueHealth {
    fn name(&self) -> &'static str {
        "queues"
    }

    async fn check(&self) -> Health {
        match self.0.queues().await {
            Ok(queues) => describe(&queues),
            Err(error) => Health::fail(error.to_string()),
        }
    }
}

fn describe(queues: &[QueueStatus]) -> Health {
    let sum = |count: fn(&QueueStatus) -> u64| queues.iter().map(count).sum::<u64>().to_string();
    let paused: Vec<&str> = queues.iter().filter(|it| it.paused).map(|it| it.name.as_str()).collect();
    let oldest: Option<Duration> = queues.iter().filter_map(|it| it.oldest_ready).max();
    let health = Health::pass()
        .with("scheduled", sum(|it| it.scheduled))
        .with("ready", sum(|it| it.ready))
        .with("running", sum(|it| it.running))
        .with("dead", sum(|it| it.dead))
        .with("oldest_ready_seconds", oldest.unwrap_or_default().as_secs().to_string());
    if paused.is_empty() { health } else { health.with("paused", paused.join(", ")) }
}

#[cfg(test)]
mod tests {
    use portwright_domain::job::QueueName;
    use portwright_domain::ports::HealthStatus;

    use super::*;

    fn queue(name: &str, paused: bool, ready: u64, waits: u64) -> QueueStatus {
        QueueStatus {
            name: QueueName::parse(name).expect("a name"),
            paused,
            scheduled: 1,
            ready,
            running: 2,
            dead: 0,
            oldest_ready: (ready > 0).then(|| Duration::from_secs(waits)),
        }
    }

    #[test]
    fn all_queues_are_counted_together() {
        let health = describe(&[queue("cpu", false, 3, 9), queue("mail", true, 4, 70)]);
        assert_eq!(health.status, HealthStatus::Pass);
        let found: Vec<(&str, &str)> =
            health.details.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [
            ("scheduled", "2"),
            ("ready", "7"),
            ("running", "4"),
            ("dead", "0"),
            ("oldest_ready_seconds", "70"),
            ("paused", "mail"),
        ];
        assert_eq!(found, expected);
    }
}
