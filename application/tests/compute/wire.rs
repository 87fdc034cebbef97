//! [`Wire`]: the way from a worker to its queue, which a test may cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::job::{Lease, Progress, WorkerId};
use portwright_domain::ports::JobSource;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};
use portwright_domain::{ErrorKind, PortError};

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// They arrive.
    None,
    /// They are refused.
    Away,
    /// They get no answer at all.
    Silent,
    /// The next exchange that leases something arrives, and its answer does not.
    LoseLeases,
    /// The next exchange that leases something is answered this much later.
    Late(Duration),
}

pub(super) struct Wire {
    queue: Arc<dyn JobSource>,
    fault: Mutex<Fault>,
    pub(super) reports: AtomicU32,
}

impl Wire {
    pub(super) fn to(queue: &Arc<impl JobSource>) -> Arc<Self> {
        Arc::new(Self { queue: queue.clone(), fault: Mutex::new(Fault::None), reports: AtomicU32::new(0) })
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    async fn pass(&self) -> Result<Fault, PortError> {
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::None | Fault::LoseLeases | Fault::Late(_) => Ok(fault),
            Fault::Away => Err(PortError::new(ErrorKind::Unavailable, "jobs", "on cue")),
            Fault::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl JobSource for Wire {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        let fault = self.pass().await?;
        let exchange = self.queue.exchange(settle, want).await?;
        // Also one that was sent before the fault.
        self.pass().await?;
        match fault {
            Fault::LoseLeases if !exchange.leased.is_empty() => {
                self.set(Fault::None);
                Err(PortError::new(ErrorKind::Unavailable, "jobs.exchange", "the answer was lost, on cue"))
            }
            Fault::Late(delay) if !exchange.leased.is_empty() => {
                self.set(Fault::None);
                tokio::time::sleep(delay).await;
                Ok(exchange)
            }
            _ => Ok(exchange),
        }
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        self.pass().await?;
        self.queue.renew(worker, lease).await
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        self.pass().await?;
        self.reports.fetch_add(1, Ordering::SeqCst);
        self.queue.report(lease, progress).await
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        self.pass().await?;
        self.queue.bury(worker).await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        self.pass().await?;
        self.queue.reclaim().await
    }
}
