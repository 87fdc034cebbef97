//! [`Writer`]: the one thread that writes, and group commit.
//!
//! Whatever arrived while the last transaction ran goes into the next one, in the order in which it came. SQLite is
//! called from this thread directly, so a statement costs what SQLite costs. Workers that wait for a job are parked
//! here: a job that is enqueued is leased to one of them in the same transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use portwright_domain::job::{JobId, Lease, LeasedJob, Outcome};
use portwright_domain::ports::Clock;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Limits};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::followers::{Changes, Followers};
use super::hand_back::{Answer, HandBack, leases};
use super::log::Log;
use super::memo::Memo;
use super::tick::Tick;
use super::waiters::Waiters;
use crate::error::meaning_of_rusqlite;

/// So many calls share a transaction at most.
const GROUP: usize = 256;

/// How long to wait after a transaction failed before its due jobs are looked at again.
const RECOVERY: Duration = Duration::from_secs(1);

/// What the writer is asked to do in a transaction.
pub(super) trait Work: Send {
    /// Does it. May be called again if the transaction failed.
    fn run(&mut self, tick: &mut Tick<'_>) -> Result<()>;

    /// Tells the caller, after the commit of this number. Returns the leases that nobody heard of.
    fn answer(self: Box<Self>, outcome: Result<u64, Failure>) -> Vec<Lease>;
}

/// Why a transaction failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: ErrorKind,
    detail: &'static str,
    cause: String,
}

impl Failure {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let (kind, detail) = meaning_of_rusqlite(error);
        Self { kind, detail, cause: error.to_string() }
    }

    pub(super) fn during(self, operation: &'static str) -> PortError {
        PortError::new(self.kind, operation, self.detail).with_source(self.cause)
    }
}

pub(super) enum Message {
    Work(Box<dyn Work>),
    Park(Parked),
    /// Whatever came before is done, and the file is closed.
    Close(oneshot::Sender<()>),
}

/// A worker that waits for a job.
pub(super) struct Parked {
    pub(super) want: LeaseRequest,
    pub(super) reply: oneshot::Sender<Answer>,
    /// Whether it was looked for one since it came.
    pub(super) tried: bool,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) memo: Memo,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inbox: Receiver<Message>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) followers: Arc<Followers>,
    pub(super) disk: Arc<Disk>,
    pub(super) log: Log,
    pub(super) parked: Vec<Parked>,
    pub(super) next_due: Option<Timestamp>,
}

/// What a transaction came to.
struct Committed {
    ended: Vec<(JobId, Outcome)>,
    changes: Changes,
    /// Jobs for those parked at these places, in order.
    handed: Vec<(usize, Vec<LeasedJob>)>,
    next_due: Option<Timestamp>,
}

impl Writer {
    /// Works until it is told to close, or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        let mut backlog: Vec<Box<dyn Work>> = Vec::new();
        let closed = loop {
            let mut group = std::mem::take(&mut backlog);
            match self.gather(&mut group) {
                Gathered::Go => {}
                Gathered::Close(closed) => {
                    self.commit(group);
                    break closed;
                }
            }
            let unheard = self.commit(group);
            if !unheard.is_empty() {
                backlog.push(Box::new(HandBack(unheard)));
            }
            self.log.keep_small(&self.connection);
        };
        drop(self);
        if let Some(closed) = closed {
            // An error is a caller that went away.
            closed.send(()).ok();
        }
    }

    /// Waits for something to do, and takes whatever else there is.
    fn gather(&mut self, group: &mut Vec<Box<dyn Work>>) -> Gathered {
        let mut message = if group.is_empty() { self.wait() } else { Ok(None) };
        loop {
            match message {
                Ok(Some(Message::Work(work))) => group.push(work),
                Ok(Some(Message::Park(parked))) => self.parked.push(parked),
                Ok(Some(Message::Close(closed))) => return Gathered::Close(Some(closed)),
                Ok(None) => {}
                Err(Disconnected) => return Gathered::Close(None),
            }
            if group.len() >= GROUP {
                return Gathered::Go;
            }
            message = match self.inbox.try_recv() {
                Ok(next) => Ok(Some(next)),
                Err(_) => return Gathered::Go,
            };
        }
    }

    fn wait(&self) -> Result<Option<Message>, Disconnected> {
        match self.next_due {
            None => self.inbox.recv().map(Some).map_err(|_| Disconnected),
            Some(due) => match self.inbox.recv_timeout(due.since(self.clock.now())) {
                Ok(message) => Ok(Some(message)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(Disconnected),
            },
        }
    }

    /// Does all of this in one transaction; returns leases that nobody heard of.
    fn commit(&mut self, mut group: Vec<Box<dyn Work>>) -> Vec<Lease> {
        self.parked.retain(|parked| !parked.reply.is_closed());
        match self.transact(&mut group) {
            Ok(committed) => self.tell(group, committed),
            Err(error) => self.recover(group, &error),
        }
    }

    fn transact(&mut self, group: &mut [Box<dyn Work>]) -> Result<Committed> {
        let execute = |sql| self.connection.prepare_cached(sql)?.execute([]);
        execute("BEGIN IMMEDIATE")?;
        let mut tick = Tick {
            connection: &self.connection,
            memo: &mut self.memo,
            limits: &self.limits,
            now: self.clock.now(),
            ended: Vec::new(),
            changes: self.followers.changes(),
            stirred: false,
        };
        tick.fall_due()?;
        for work in group {
            work.run(&mut tick)?;
        }
        let mut handed = Vec::new();
        for (place, parked) in self.parked.iter().enumerate() {
            if tick.stirred || !parked.tried {
                let leased = tick.lease(&parked.want)?;
                if !leased.is_empty() {
                    handed.push((place, leased));
                }
            }
        }
        tick.remove_surplus()?;
        let (next_due, ended, changes) = (tick.next_due()?, tick.ended, tick.changes);
        execute("COMMIT")?;
        Ok(Committed { ended, changes, handed, next_due })
    }

    fn tell(&mut self, group: Vec<Box<dyn Work>>, committed: Committed) -> Vec<Lease> {
        let commit = self.disk.committed();
        self.next_due = committed.next_due;
        self.waiters.tell(committed.ended);
        self.followers.tell(committed.changes);
        let mut unheard = Vec::new();
        for parked in &mut self.parked {
            parked.tried = true;
        }
        // From the end, so that the places of the others stay as they are.
        for (place, leased) in committed.handed.into_iter().rev() {
            let parked = self.parked.remove(place);
            let exchange = Exchange { settled: Vec::new(), leased };
            if let Err(Ok((exchange, _))) = parked.reply.send(Ok((exchange, commit))) {
                unheard.extend(leases(exchange));
            }
        }
        for work in group {
            unheard.extend(work.answer(Ok(commit)));
        }
        unheard
    }

    /// Takes the failed transaction back. What failed together is tried one by one, so that nobody fails for another.
    fn recover(&mut self, group: Vec<Box<dyn Work>>, error: &rusqlite::Error) -> Vec<Lease> {
        let failure = Failure::of(error);
        tracing::warn!(error = %failure.cause, calls = group.len(), "a transaction of the queue failed");
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction of the queue could not be rolled back");
        }
        let now = self.clock.now();
        self.next_due = Some(now.plus(RECOVERY));
        if let Err(error) = self.memo.read_again(&self.connection, now) {
            tracing::error!(%error, "the queue cannot be read");
        }
        if group.len() + self.parked.len() > 1 {
            return self.one_by_one(group);
        }
        for parked in self.parked.drain(..) {
            // An error is a worker that went away.
            parked.reply.send(Err(failure.clone().during("jobs.exchange"))).ok();
        }
        group.into_iter().flat_map(|work| work.answer(Err(failure.clone()))).collect()
    }

    fn one_by_one(&mut self, group: Vec<Box<dyn Work>>) -> Vec<Lease> {
        let parked = std::mem::take(&mut self.parked);
        let mut unheard: Vec<Lease> = group.into_iter().flat_map(|work| self.commit(vec![work])).collect();
        let mut left = Vec::new();
        for parked in parked {
            self.parked.push(Parked { tried: false, ..parked });
            unheard.extend(self.commit(Vec::new()));
            left.append(&mut self.parked);
        }
        self.parked = left;
        unheard
    }
}

enum Gathered {
    Go,
    Close(Option<oneshot::Sender<()>>),
}

/// Nobody is left who could say anything.
struct Disconnected;

/// A question to the writer: what to do, and who waits for the answer.
pub(super) struct Question<T, F> {
    operation: &'static str,
    run: F,
    answer: Option<T>,
    /// The leases in an answer that nobody heard.
    unheard: fn(T) -> Vec<Lease>,
    reply: oneshot::Sender<Result<(T, u64), PortError>>,
}

impl<T, F> Question<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tick<'_>) -> Result<T> + Send + 'static,
{
    pub(super) fn ask(
        operation: &'static str,
        run: F,
        reply: oneshot::Sender<Result<(T, u64), PortError>>,
        unheard: fn(T) -> Vec<Lease>,
    ) -> Message {
        Message::Work(Box::new(Self { operation, run, answer: None, unheard, reply }))
    }
}

impl<T, F> Work for Question<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tick<'_>) -> Result<T> + Send + 'static,
{
    fn run(&mut self, tick: &mut Tick<'_>) -> Result<()> {
        self.answer = Some((self.run)(tick)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<u64, Failure>) -> Vec<Lease> {
        let answer = match (outcome, self.answer) {
            (Ok(commit), Some(answer)) => Ok((answer, commit)),
            (Ok(_), None) => return Vec::new(),
            (Err(failure), _) => Err(failure.during(self.operation)),
        };
        match self.reply.send(answer) {
            Err(Ok((answer, _))) => (self.unheard)(answer),
            _ => Vec::new(),
        }
    }
}

/// How the writer is reached.
pub(super) type Inbox = Sender<Message>;
