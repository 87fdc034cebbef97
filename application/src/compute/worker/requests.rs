//! [`Requests`]: what a worker has asked of its source and has no answer to yet.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use portwright_domain::job::Lease;
use portwright_domain::ports::JobSource;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal};
use portwright_domain::{ErrorKind, PortError};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::attempt::Done;

/// What the source may take for an answer, beyond the wait that it was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Requests {
    source: Arc<dyn JobSource>,
    /// What every request for jobs has in common.
    want: LeaseRequest,
    open: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// How many jobs may come.
    places: u32,
    /// One that waits for a job is under way, and is given up by this.
    parked: Option<CancellationToken>,
    /// One that settles these is under way.
    settling: Option<Vec<Lease>>,
    renewing: bool,
}

/// The answer to a request that was made at some moment.
pub(super) enum Answer {
    /// What was settled, how many jobs were asked for, and what came of it.
    Exchanged { asked_at: Instant, done: Vec<Done>, max: u32, answer: Result<Exchange, PortError> },
    /// Nobody waits for a job any more.
    Unparked { max: u32 },
    /// The lease was renewed, or not.
    Renewed { asked_at: Instant, answer: Result<Renewal, PortError> },
}

impl Requests {
    pub(super) fn new(source: Arc<dyn JobSource>, want: LeaseRequest) -> Self {
        let open = FuturesUnordered::new();
        Self { source, want, open, places: 0, parked: None, settling: None, renewing: false }
    }

    /// Settles what is done and asks for jobs; waits for one if there is nothing to settle.
    pub(super) fn exchange(&mut self, done: Vec<Done>, max: u32, wait: Duration) {
        self.places += max;
        let unpark = CancellationToken::new();
        if done.is_empty() {
            self.parked = Some(unpark.clone());
        } else {
            self.settling = Some(done.iter().map(|done| done.settlement.lease.clone()).collect());
        }
        let (source, asked_at) = (self.source.clone(), Instant::now());
        let request = LeaseRequest { max, wait, ..self.want.clone() };
        self.open.push(Box::pin(async move {
            let settle: Vec<_> = done.iter().map(|done| done.settlement.clone()).collect();
            let answer = timeout(wait + PATIENCE, source.exchange(&settle, &request));
            // Given up like this, it brings no job: the source hands back what nobody waits for.
            let Some(answer) = unpark.run_until_cancelled(answer).await else {
                return Answer::Unparked { max };
            };
            let answer = answer.unwrap_or_else(|_| Err(no_answer("jobs.exchange")));
            Answer::Exchanged { asked_at, done, max, answer }
        }));
    }

    pub(super) fn renew(&mut self) {
        self.renewing = true;
        let (source, asked_at) = (self.source.clone(), Instant::now());
        let (id, lease) = (self.want.worker.clone(), self.want.lease);
        self.open.push(Box::pin(async move {
            let answer = timeout(lease / 3, source.renew(&id, lease)).await;
            Answer::Renewed { asked_at, answer: answer.unwrap_or_else(|_| Err(no_answer("jobs.renew"))) }
        }));
    }

    /// Gives up waiting for a job.
    pub(super) fn unpark(&self) {
        self.parked.iter().for_each(CancellationToken::cancel);
    }

    /// The next answer; `None` at once if nothing is asked.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        let answer = self.open.next().await?;
        match &answer {
            Answer::Renewed { .. } => self.renewing = false,
            Answer::Unparked { max } => {
                self.places -= max;
                self.parked = None;
            }
            Answer::Exchanged { done, max, .. } => {
                self.places -= max;
                if done.is_empty() {
                    self.parked = None;
                } else {
                    self.settling = None;
                }
            }
        }
        Some(answer)
    }

    pub(super) const fn places(&self) -> u32 {
        self.places
    }

    pub(super) const fn is_renewing(&self) -> bool {
        self.renewing
    }

    pub(super) const fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    pub(super) const fn is_settling(&self) -> bool {
        self.settling.is_some()
    }

    /// The leases whose end is being told.
    pub(super) fn settling(&self) -> impl Iterator<Item = &Lease> {
        self.settling.iter().flatten()
    }
}

fn no_answer(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, "no answer in its time")
}
