//! What is said on the socket: requests with a number, and answers with the same number.
//!
//! Messages are `postcard`, which both ends read with the same types. They are not kept and not read by another version,
//! so there is no versioning but the greeting.

use std::time::Duration;

use portwright_domain::job::{Job, JobId, Lease, NewJob, Progress, QueueName, WorkerId};
use portwright_domain::page::PageRequest;
use portwright_domain::ports::job_queue::{JobFilter, LeaseRequest, Settlement};
use portwright_domain::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};

/// What both ends say first. Change it with every change of a message.
pub(crate) const GREETING: &str = concat!("portwright queue 2, ", env!("CARGO_PKG_VERSION"));

/// From the client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Do this, and answer under this number.
    Ask(u64, Request),
    /// The leases of that answer have arrived.
    Received(u64),
    /// Whoever asked for the leases of that answer, which may be yet to come, has gone.
    Refused(u64),
}

/// From the server: the number of the request, and its answer as a message of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) number: u64,
    pub(crate) answer: Vec<u8>,
}

/// A method of one of the two ports, with its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Enqueue(Vec<NewJob>),
    Run(Box<NewJob>, Duration),
    Find(JobId),
    Removed(JobId),
    Outcome(JobId, Duration),
    Changed(Box<Job>, Duration),
    List(JobFilter, PageRequest),
    Cancel(JobId),
    Retry(JobId),
    Queues,
    SetPaused(QueueName, bool),
    Exchange(Vec<Settlement>, Box<LeaseRequest>),
    Renew(WorkerId, Duration),
    Report(Lease, Progress),
    Bury(WorkerId),
    Reclaim,
}

impl Request {
    /// How long it may wait before it answers, by its own arguments.
    pub(crate) fn wait(&self) -> Duration {
        match self {
            Self::Run(_, wait) | Self::Outcome(_, wait) | Self::Changed(_, wait) => *wait,
            Self::Exchange(_, want) => want.wait,
            _ => Duration::ZERO,
        }
    }
}

/// A [`PortError`] on its way. What caused it stays in the log of the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: ErrorKind,
    detail: String,
}

impl Failure {
    pub(crate) fn of(error: &PortError) -> Self {
        Self { kind: error.kind(), detail: error.detail().to_owned() }
    }

    pub(crate) fn into_error(self, operation: &'static str) -> PortError {
        PortError::new(self.kind, operation, self.detail)
    }
}
