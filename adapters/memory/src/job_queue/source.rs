//! The worker's half of [`MemoryJobQueue`].

use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{Lease, LeasedJob, Progress, WorkerId};
use portwright_domain::ports::JobSource;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};
use portwright_domain::{ErrorKind, PortError};

use super::MemoryJobQueue;
use super::state::State;

#[async_trait]
impl JobSource for MemoryJobQueue {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        let exchange = self.step(|state, now| Exchange {
            settled: settle.iter().map(|settlement| state.settle(settlement, now)).collect(),
            leased: state.lease(want, now),
        });
        if !settle.is_empty() || !exchange.leased.is_empty() || want.max == 0 || want.wait.is_zero() {
            return Ok(exchange);
        }
        let leased = tokio::time::timeout(want.wait, self.lease_when_ready(want)).await.unwrap_or_default();
        Ok(Exchange { leased, ..exchange })
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        Ok(self.step(|state, now| state.renew(worker, now.plus(lease))))
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        if self.step(|state, _| state.report(lease, progress)) {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::LeaseLost, "jobs.report", "another lease of that job came later"))
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        Ok(self.step(|state, now| state.bury(worker, now)))
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        Ok(self.step(State::reclaim))
    }
}

impl MemoryJobQueue {
    /// Waits for as long as it is polled. A lease is taken and answered in one poll, so none is lost when the wait
    /// is given up.
    async fn lease_when_ready(&self, want: &LeaseRequest) -> Vec<LeasedJob> {
        loop {
            // Asked for before the look, so what happens between the look and the wait is not missed.
            let stirred = self.stirred.notified();
            let (leased, next_due) =
                self.step(|state, now| (state.lease(want, now), state.next_due().map(|due| due.since(now))));
            if !leased.is_empty() {
                return leased;
            }
            match next_due {
                Some(due) => drop(tokio::time::timeout(due, stirred).await),
                None => stirred.await,
            }
        }
    }
}
