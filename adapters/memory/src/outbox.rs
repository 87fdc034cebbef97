//! The outbox in memory.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{JobId, NewJob};
use portwright_domain::ports::Outbox;

use crate::store::Rows;

#[async_trait]
impl Outbox for Rows {
    async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError> {
        if !self.get().outbox.iter().any(|known| known.id == job.id) {
            self.change().outbox.push(job.clone());
        }
        Ok(())
    }

    async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError> {
        Ok(self.get().outbox.iter().take(max as usize).cloned().collect())
    }

    async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        self.change().outbox.retain(|job| !jobs.contains(&job.id));
        Ok(())
    }
}
