//! [`Columns`]: what the columns of a job mean.

use bytes::Bytes;
use portwright_domain::Timestamp;
use portwright_domain::job::{
    Backoff, CauseOfDeath, Death, JobId, JobState, Life, NewJob, Outcome, Priority, Progress, QueueName, Run,
    Stands, TaskName, Turn, UniqueKey, WorkerId,
};
use portwright_domain::user::UserId;
use rusqlite::types::{FromSql, Type, ValueRef};
use rusqlite::{Result, Row};
use uuid::Uuid;

use crate::outbox::duration;

/// The columns that [`Columns::life`] reads.
macro_rules! life {
    () => {
        "state, rank, since, due, worker, attempts, run, settled, cancel, suspect, strikes, struck_at, started_at, \
         finished_at, cause, detail, result"
    };
}

/// The columns that [`Columns::spec`] reads.
macro_rules! spec {
    () => {
        "id, priority, max_attempts, backoff, backoff_cap, timeout, scheduled_for, unique_by, created_by, trace, payload"
    };
}

/// The columns that [`Columns::lane`] reads.
macro_rules! lane {
    () => {
        "queue, task, version"
    };
}

/// The columns that [`Columns::progress`] reads.
macro_rules! progress {
    () => {
        "progress_done, progress_total, progress_message"
    };
}

pub(super) use {lane, life, progress, spec};

/// What workers ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) queue: QueueName,
    pub(super) task: TaskName,
    pub(super) version: u32,
}

impl Lane {
    pub(super) fn of(job: &NewJob) -> Self {
        Self { queue: job.queue.clone(), task: job.task.clone(), version: job.version }
    }
}

/// Reads columns one after the other.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) const fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn get<T: FromSql>(&mut self) -> Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    fn blob(&mut self) -> Result<Option<&'r [u8]>> {
        self.next += 1;
        Ok(self.row.get_ref(self.next - 1)?.as_blob_or_null()?)
    }

    fn text(&mut self) -> Result<Option<&'r str>> {
        self.next += 1;
        Ok(self.row.get_ref(self.next - 1)?.as_str_or_null()?)
    }

    pub(super) fn time(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_unix_micros))
    }

    pub(super) fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let parsed = self.text()?.and_then(parse);
        parsed.ok_or_else(|| self.unreadable())
    }

    pub(super) fn uuid(&mut self) -> Result<Option<Uuid>> {
        let uuid = self.blob()?.map(Uuid::from_slice).transpose();
        uuid.map_err(|_| self.unreadable())
    }

    /// The error about the column that was read last.
    fn unreadable(&self) -> rusqlite::Error {
        let column = self.next - 1;
        let found = self.row.get_ref(column).map_or(Type::Null, |value: ValueRef<'_>| value.data_type());
        rusqlite::Error::FromSqlConversionFailure(column, found, "not a value of this column".into())
    }

    pub(super) fn lane(&mut self) -> Result<Lane> {
        Ok(Lane {
            queue: self.parsed(|text| QueueName::parse(text).ok())?,
            task: self.parsed(|text| TaskName::parse(text).ok())?,
            version: self.get()?,
        })
    }

    pub(super) fn state(&mut self) -> Result<JobState> {
        let state = self.get::<usize>()?;
        JobState::ALL.get(state).copied().ok_or_else(|| self.unreadable())
    }

    pub(super) fn life(&mut self) -> Result<Life> {
        let state = self.state()?;
        let turn = if self.get::<u8>()? == 0 { Turn::HandedBack } else { Turn::Usual };
        let since = self.get().map(Timestamp::from_unix_micros)?;
        let due = self.time()?;
        let worker = self.text()?.and_then(|name| WorkerId::parse(name).ok());
        let mut life = Life {
            stands: Stands::Ready(turn),
            since,
            attempts: self.get()?,
            run: Run(self.get()?),
            settled: self.get::<Option<u64>>()?.map(Run),
            cancel: self.get()?,
            suspect: self.get()?,
            strikes: self.get()?,
            struck_at: self.time()?,
            started_at: self.time()?,
        };
        let finished_at = self.time()?;
        let (cause, detail, result) = (self.text()?, self.text()?, self.blob()?);
        let stands = match state {
            JobState::Ready => Some(Stands::Ready(turn)),
            JobState::Scheduled => due.map(Stands::Scheduled),
            JobState::Running => worker.map(Stands::Running),
            JobState::Succeeded | JobState::Failed | JobState::Dead | JobState::Cancelled => {
                let outcome = outcome(state, cause, detail, result);
                outcome.zip(finished_at).map(|(outcome, at)| Stands::Ended(outcome, at))
            }
        };
        life.stands = stands.ok_or_else(|| self.unreadable())?;
        Ok(life)
    }

    pub(super) fn spec(&mut self, lane: &Lane) -> Result<NewJob> {
        let id = self.id()?;
        let priority = self.priority()?;
        let max_attempts = self.get()?;
        let first_wait = self.get().map(duration)?;
        let backoff = match self.get::<Option<i64>>()?.map(duration) {
            None => Backoff::Fixed(first_wait),
            Some(cap) => Backoff::Exponential { base: first_wait, cap },
        };
        let timeout = self.get().map(duration)?;
        let scheduled_for = self.time()?;
        let unique = match self.text()? {
            None => None,
            Some(text) => {
                let key = text.split_once('/').and_then(|(_, key)| UniqueKey::parse(key).ok());
                Some(key.ok_or_else(|| self.unreadable())?)
            }
        };
        Ok(NewJob {
            id,
            task: lane.task.clone(),
            version: lane.version,
            queue: lane.queue.clone(),
            priority,
            max_attempts,
            backoff,
            timeout,
            scheduled_for,
            unique,
            created_by: self.uuid()?.map(UserId),
            trace: self.get()?,
            payload: Bytes::copy_from_slice(self.blob()?.unwrap_or_default()),
        })
    }

    pub(super) fn id(&mut self) -> Result<JobId> {
        self.uuid()?.map(JobId).ok_or_else(|| self.unreadable())
    }

    pub(super) fn priority(&mut self) -> Result<Priority> {
        Priority::parse(self.get()?).map_err(|_| self.unreadable())
    }

    pub(super) fn progress(&mut self) -> Result<Progress> {
        Ok(Progress {
            done: self.get::<i64>()?.unsigned_abs(),
            total: self.get::<Option<i64>>()?.map(i64::unsigned_abs),
            message: self.get()?,
        })
    }
}

fn outcome(
    state: JobState,
    cause: Option<&str>,
    detail: Option<&str>,
    result: Option<&[u8]>,
) -> Option<Outcome> {
    let result = || result.map(Bytes::copy_from_slice);
    match state {
        JobState::Succeeded => result().map(Outcome::Succeeded),
        JobState::Failed => result().map(Outcome::Failed),
        JobState::Dead => {
            let cause = CauseOfDeath::ALL.into_iter().find(|known| Some(known.as_str()) == cause)?;
            Some(Outcome::Dead(Death { cause, detail: detail?.to_owned() }))
        }
        JobState::Cancelled => Some(Outcome::Cancelled),
        JobState::Scheduled | JobState::Ready | JobState::Running => None,
    }
}
