//! The worker's half of the queue behind its guard. A worker that waits for a job has its wait, and the deadline on top.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Lease, Progress, WorkerId};
use portwright_domain::ports::JobSource;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};

use crate::guard::Guard;

pub(crate) struct GuardedJobSource {
    pub(crate) source: Arc<dyn JobSource>,
    pub(crate) guard: Guard,
}

#[async_trait]
impl JobSource for GuardedJobSource {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        let exchange = self.source.exchange(settle, want);
        self.guard.waiting("job_source.exchange", want.wait, exchange).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        self.guard.call("job_source.renew", self.source.renew(worker, lease)).await
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        self.guard.call("job_source.report", self.source.report(lease, progress)).await
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        self.guard.call("job_source.bury", self.source.bury(worker)).await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        self.guard.call("job_source.reclaim", self.source.reclaim()).await
    }
}
