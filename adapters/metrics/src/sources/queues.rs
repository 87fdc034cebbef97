//! [`Queues`]: what waits.

use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::JobState;
use portwright_domain::ports::JobQueue;

use crate::exposition::{Readings, Source};
use crate::table::name;

/// The queue, as it says itself. A queue without a job is not mentioned.
pub struct Queues(Arc<dyn JobQueue>);

impl Queues {
    /// Asks this queue.
    #[must_use]
    pub fn of(queue: Arc<dyn JobQueue>) -> Self {
        Self(queue)
    }
}

#[async_trait]
impl Source for Queues {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        let mut readings = Readings::default();
        for status in self.0.queues().await? {
            let queue = status.name.as_str();
            for (state, jobs) in [
                (JobState::Scheduled, status.scheduled),
                (JobState::Ready, status.ready),
                (JobState::Running, status.running),
                (JobState::Dead, status.dead),
            ] {
                let jobs = f64::from(u32::try_from(jobs).unwrap_or(u32::MAX));
                readings = readings.with(&name::JOBS_IN_STATE, &[queue, state.as_str()], jobs);
            }
            let oldest = status.oldest_ready.unwrap_or_default().as_secs_f64();
            readings = readings.with(&name::JOB_OLDEST, &[queue], oldest);
        }
        Ok(readings)
    }
}
