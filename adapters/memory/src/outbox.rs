//! The outbox in memory.

use std::ops::Bound;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{JobId, NewJob};
use portwright_domain::ports::Outbox;

use crate::store::Rows;

#[async_trait]
impl Outbox for Rows {
    async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError> {
        let rows = self.get();
        let is_known =
            rows.outbox.iter().any(|known| known.id == job.id) || rows.handed_over.contains_key(&job.id);
        if !is_known {
            self.change().outbox.push(job.clone());
        }
        Ok(())
    }

    async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError> {
        Ok(self.get().outbox.iter().take(max as usize).cloned().collect())
    }

    async fn hand_over(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        let rows = self.change();
        for job in rows.outbox.extract_if(.., |job| jobs.contains(&job.id)) {
            rows.handed_over.insert(job.id, job);
        }
        Ok(())
    }

    async fn handed_over(&mut self, after: Option<JobId>, max: u32) -> Result<Vec<NewJob>, PortError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.get().handed_over.range((from, Bound::Unbounded));
        Ok(rest.take(max as usize).map(|(_, job)| job.clone()).collect())
    }

    async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        let rows = self.change();
        rows.outbox.retain(|job| !jobs.contains(&job.id));
        rows.handed_over.retain(|id, _| !jobs.contains(id));
        Ok(())
    }
}
