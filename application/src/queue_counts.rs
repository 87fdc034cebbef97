//! [`QueueCounts`]: what all queues hold, counted once a second however many ask. Dashboards ask all the time, and to count
//! is to look at every job that waits, in some queues.

use std::sync::Arc;

use portwright_domain::PortError;
use portwright_domain::job::QueueName;
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::QueueStatus;

use crate::prelude::*;

/// Counts, and remembers for all processes that share the cache.
pub(crate) struct QueueCounts {
    queue: Arc<dyn JobQueue>,
    cached: Cached,
}

#[service(name = "queues", cache = cached)]
impl QueueCounts {
    pub(crate) const fn new(queue: Arc<dyn JobQueue>, cached: Cached) -> Self {
        Self { queue, cached }
    }

    /// As it was within the last second, and not before a pause of this process.
    #[cached(key = "queues:all", ttl = "1s")]
    pub(crate) async fn all(&self) -> Result<Vec<QueueStatus>, PortError> {
        self.queue.queues().await
    }

    /// Pauses a queue, or lets it go on.
    pub(crate) async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError> {
        self.queue.set_paused(queue, paused).await?;
        // A cache that is away has nothing to forget.
        let _: Result<(), PortError> = self.invalidate_all().await;
        Ok(())
    }
}
