//! Users to and from files: what [`Imports`](crate::Imports) and [`Exports`](crate::Exports) have in common.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::access::{Access, Action, Principal, Relation, decide};
use portwright_domain::job::Job;
use portwright_domain::ports::{Clock, JobQueue, ObjectKey, Storage, Store};
use portwright_domain::{ErrorKind, PortError};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::compute::{Call, Compute, ComputeError};
use crate::exports::Exports;
use crate::imports::Imports;
use crate::trace::Origin;
use crate::transact::Transactions;

/// What both directions need.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) compute: Compute,
    pub(crate) queue: Arc<dyn JobQueue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transactions: Transactions,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why a transfer was not begun, or its file is not served.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The caller's role may never do that.
    #[error("the role may not do that")]
    Forbidden,
    /// There is no such file, or it is not kept any more.
    #[error("no such file")]
    NotFound,
    /// The job was not taken.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The outside world failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

pub(crate) fn authorize(caller: Principal) -> Result<(), TransferError> {
    match decide(caller.role, Action::TransferUsers, Relation::Others) {
        Access::Granted => Ok(()),
        Access::Forbidden => Err(TransferError::Forbidden),
        Access::Hidden => Err(TransferError::NotFound),
    }
}

/// Enqueues a call on behalf of this caller, and answers its job as the queue knows it.
pub(crate) async fn start<T, E>(
    queue: &dyn JobQueue,
    caller: Principal,
    origin: Option<Origin>,
    call: Call<'_, T, E>,
) -> Result<Job, TransferError> {
    let id = call.id();
    let call = call.created_by(caller.user_id);
    let enqueued = origin.into_iter().fold(call, Call::caused_by).enqueue().await;
    match queue.find(id).await {
        // Whatever came of asking, it was taken.
        Ok(Some(job)) => Ok(job),
        found => {
            enqueued?;
            found?;
            let lost = "a job that was taken is not there";
            Err(PortError::new(ErrorKind::Unavailable, "jobs.find", lost).into())
        }
    }
}

/// The key that we made ourselves, of a folder, an identity and an ending.
pub(crate) fn object_key(text: &str) -> Result<ObjectKey, PortError> {
    ObjectKey::parse(text)
        .map_err(|invalid| PortError::new(ErrorKind::Unsupported, "storage.key", invalid.detail))
}

/// Removes files that are done with, every `tick`, until it is told to stop. Any number of processes may do so at once.
pub async fn sweep(imports: Arc<Imports>, exports: Arc<Exports>, tick: Duration, stop: CancellationToken) {
    /// A look that takes longer is given up, and begun anew at the next tick.
    const PATIENCE: Duration = Duration::from_mins(1);
    let mut failing = false;
    while stop.run_until_cancelled(sleep(tick)).await.is_some() {
        let look = async {
            imports.sweep().await?;
            exports.sweep().await
        };
        match timeout(PATIENCE, look).await {
            Ok(Ok(())) => failing = false,
            // Said once, not at each tick of an outage.
            failed if !failing => {
                failing = true;
                tracing::warn!(?failed, "files of imports and exports are not cleared away");
            }
            _ => {}
        }
    }
}
