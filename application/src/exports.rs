//! Exports: all users, or those of a filter, in one file.
//!
//! The task walks from row to row and writes as it goes, so neither the number of users nor the size of the file is in
//! memory. Whoever is there from its start to its end is in the file once.

mod format;
mod order;
mod pages;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portwright_domain::access::Principal;
use portwright_domain::job::{Job, JobId};
use portwright_domain::page::{Direction, Limit, PageRequest, Rest};
use portwright_domain::ports::{Clock, Consistency, JobQueue, Object, ObjectInfo, ObjectKey, Storage, Store};
use portwright_domain::user::{UserFilter, UserSort};
use portwright_domain::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};

pub use self::format::ExportFormat;
pub use self::order::ExportOrder;

use self::pages::Pages;
use crate::prelude::*;
use crate::trace::Origin;
use crate::transfers::{Tools, TransferError, authorize, object_key, start};

/// How long a file is kept.
pub const KEPT: Duration = Duration::from_hours(24);

const FOLDER: &str = "exports/";

/// What came of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// How many users the file has.
    pub rows: u64,
    /// How they are written.
    pub format: ExportFormat,
    /// The path of this API that serves the file.
    pub href: String,
}

/// Why an export came to no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum ExportError {
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// The outside world failed.
    #[error("{operation} failed: {kind}")]
    Port {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// Which port and method.
        operation: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Compute {
        /// How.
        error: ComputeError,
    },
}

impl TaskError for ExportError {
    fn retryable(&self) -> bool {
        matches!(self, Self::Port { kind: ErrorKind::Unavailable | ErrorKind::Contended, .. })
    }
}

impl From<PortError> for ExportError {
    fn from(error: PortError) -> Self {
        tracing::warn!(error.type = %error.kind(), error = ?error, "a port failed an export");
        Self::Port { kind: error.kind(), operation: error.operation().to_owned() }
    }
}

impl From<ComputeError> for ExportError {
    fn from(error: ComputeError) -> Self {
        Self::Compute { error }
    }
}

/// A file to be served.
#[derive(Debug)]
pub struct Export {
    /// How it is written.
    pub format: ExportFormat,
    /// Its bytes, and when it was written.
    pub file: Object,
}

/// The export of users.
pub struct Exports {
    compute: Compute,
    queue: Arc<dyn JobQueue>,
    store: Arc<dyn Store>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
}

#[service(name = "users")]
impl Exports {
    pub(crate) fn new(tools: &Tools) -> Self {
        let Tools { compute, queue, store, transactions: _, storage, clock } = tools.clone();
        Self { compute, queue, store, storage, clock }
    }

    /// Has users exported: the job that does so, because of this request.
    pub async fn begin(
        &self,
        caller: Principal,
        origin: Option<Origin>,
        order: ExportOrder,
    ) -> Result<Job, TransferError> {
        authorize(caller)?;
        start(&*self.queue, caller, origin, self.export_job(order)).await
    }

    /// Writes the users of an order into the file of its job.
    #[compute(
        queue = "transfers",
        priority = 4,
        attempts = 5,
        backoff = exponential("5s", "5m"),
        timeout = "2h"
    )]
    pub async fn export(
        &self,
        order: ExportOrder,
        context: TaskContext,
    ) -> Result<ExportReport, ExportError> {
        let (job, format) = (context.job(), order.format);
        let filter = order.filter();
        let total = self.count(&filter).await?;
        let rows = Arc::new(AtomicU64::new(0));
        let pages = Pages::new(self.store.clone(), filter, format, context.clone(), total, rows.clone());
        let written = self.storage.put(&file_of(job, format)?, Box::new(pages)).await;
        if context.is_cancelled() {
            return Err(ExportError::Stopped);
        }
        written?;
        let rows = rows.load(Ordering::Relaxed);
        Ok(ExportReport { rows, format, href: format!("/users/exports/{job}") })
    }

    /// How many there will be, to say how far it is; others may come and go meanwhile.
    async fn count(&self, filter: &UserFilter) -> Result<u64, PortError> {
        let mut view = self.store.read(Consistency::Strong).await?;
        let first = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
        let page = view.users().list(filter, UserSort::CreatedAt, Direction::Ascending, &first).await?;
        match page.rest {
            Rest::Total(total) => Ok(total),
            Rest::Next(_) => Ok(page.rows.len() as u64),
        }
    }

    /// The file of an export that is not older than [`KEPT`].
    pub async fn open(&self, caller: Principal, job: JobId) -> Result<Export, TransferError> {
        authorize(caller)?;
        for format in ExportFormat::ALL {
            if let Some(file) = self.storage.get(&file_of(job, format)?).await?
                && !self.is_over(&file.info)
            {
                return Ok(Export { format, file });
            }
        }
        Err(TransferError::NotFound)
    }

    /// Removes the files that are not served any more.
    pub async fn sweep(&self) -> Result<(), PortError> {
        let mut after = None;
        loop {
            let files = self.storage.list(FOLDER, after.as_ref(), 100).await?;
            let Some(last) = files.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for file in files.iter().filter(|file| self.is_over(file)) {
                self.storage.remove(&file.key).await?;
            }
        }
    }

    fn is_over(&self, file: &ObjectInfo) -> bool {
        self.clock.now().since(file.modified_at) >= KEPT
    }
}

fn file_of(job: JobId, format: ExportFormat) -> Result<ObjectKey, PortError> {
    object_key(&format!("{FOLDER}{job}.{}", format.as_str()))
}
