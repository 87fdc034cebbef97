//! Jobs as rows: the statements that read and write one job.

use portwright_domain::Timestamp;
use portwright_domain::job::{
    Backoff, Death, JobId, JobState, Life, NewJob, Outcome, Priority, Progress, Stands, Turn,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::columns::{Columns, Lane, life, spec};
use crate::outbox::nanos;

/// A job as the writer needs it to let it take a step.
pub(super) struct Record {
    pub(super) number: i64,
    pub(super) id: JobId,
    pub(super) priority: Priority,
    pub(super) max_attempts: u32,
    pub(super) life: Life,
}

/// Held by at most one unfinished job of the task.
pub(super) fn unique_by(job: &NewJob) -> Option<String> {
    job.unique.as_ref().map(|key| format!("{}/{key}", job.task))
}

/// What is beyond 2⁶³ is as good as that.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number that stands for a state, which is its place in [`JobState::ALL`].
pub(super) fn number_of(state: JobState) -> i64 {
    (0..).zip(JobState::ALL).find(|(_, known)| *known == state).map_or(-1, |(number, _)| number)
}

fn rank(life: &Life, priority: Priority) -> u8 {
    let turn = if let Stands::Ready(turn) = life.stands { turn } else { Turn::Usual };
    turn.rank(priority)
}

/// Adds a job unless one of this id, or another unfinished one with its unique key, is there already.
pub(super) fn insert(
    connection: &Connection,
    job: &NewJob,
    lane: i64,
    life: &Life,
    now: Timestamp,
) -> Result<bool> {
    const SQL: &str = "INSERT INTO jobs (state, rank, since, due, attempts, run, cancel, suspect, strikes, created_at, \
         id, lane, priority, max_attempts, backoff, backoff_cap, timeout, scheduled_for, unique_by, created_by, trace, \
         payload) VALUES (?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let due = if let Stands::Scheduled(due) = life.stands { Some(due.unix_micros()) } else { None };
    let (first_wait, cap) = match job.backoff {
        Backoff::Fixed(wait) => (wait, None),
        Backoff::Exponential { base, cap } => (base, Some(nanos(cap))),
    };
    let added = connection.prepare_cached(SQL)?.execute(params![
        number_of(life.state()),
        rank(life, job.priority),
        life.since.unix_micros(),
        due,
        now.unix_micros(),
        job.id.0.as_bytes(),
        lane,
        job.priority.get(),
        job.max_attempts,
        nanos(first_wait),
        cap,
        nanos(job.timeout),
        job.scheduled_for.map(Timestamp::unix_micros),
        unique_by(job),
        job.created_by.as_ref().map(|user| user.0.as_bytes()),
        job.trace,
        &job.payload[..],
    ])?;
    Ok(added > 0)
}

/// Writes the life of a job.
pub(super) fn update(connection: &Connection, record: &Record) -> Result<()> {
    const SQL: &str = "UPDATE jobs SET state = ?, rank = ?, due = ?, worker = ?, attempts = ?, run = ?, settled = ?, \
         cancel = ?, suspect = ?, strikes = ?, struck_at = ?, started_at = ?, finished_at = ?, cause = ?, detail = ?, \
         result = ?, since = ? WHERE number = ?";
    let life = &record.life;
    let (mut due, mut worker, mut finished_at) = (None, None, None);
    let (mut death, mut result): (Option<&Death>, Option<&[u8]>) = (None, None);
    match &life.stands {
        Stands::Scheduled(at) => due = Some(at.unix_micros()),
        Stands::Ready(_) => {}
        Stands::Running(name) => worker = Some(name.as_str()),
        Stands::Ended(outcome, at) => {
            finished_at = Some(at.unix_micros());
            match outcome {
                Outcome::Succeeded(bytes) | Outcome::Failed(bytes) => result = Some(bytes),
                Outcome::Dead(how) => death = Some(how),
                Outcome::Cancelled => {}
            }
        }
    }
    connection.prepare_cached(SQL)?.execute(params![
        number_of(life.state()),
        rank(life, record.priority),
        due,
        worker,
        life.attempts,
        signed(life.run.0),
        life.settled.map(|run| signed(run.0)),
        life.cancel,
        life.suspect,
        life.strikes,
        life.struck_at.map(Timestamp::unix_micros),
        life.started_at.map(Timestamp::unix_micros),
        finished_at,
        death.map(|death| death.cause.as_str()),
        death.map(|death| &death.detail),
        result,
        life.since.unix_micros(),
        record.number,
    ])?;
    Ok(())
}

/// Writes how far a job has come.
pub(super) fn update_progress(connection: &Connection, number: i64, progress: &Progress) -> Result<()> {
    const SQL: &str =
        "UPDATE jobs SET progress_done = ?, progress_total = ?, progress_message = ? WHERE number = ?";
    let Progress { done, total, message } = progress;
    connection.prepare_cached(SQL)?.execute(params![signed(*done), total.map(signed), message, number])?;
    Ok(())
}

/// The job of this id.
pub(super) fn find(connection: &Connection, id: JobId) -> Result<Option<Record>> {
    const SQL: &str =
        concat!("SELECT ", life!(), ", number, id, priority, max_attempts FROM jobs WHERE id = ?");
    connection.prepare_cached(SQL)?.query_row([id.0.as_bytes().as_slice()], record).optional()
}

/// The job of this number.
pub(super) fn get(connection: &Connection, number: i64) -> Result<Record> {
    const SQL: &str =
        concat!("SELECT ", life!(), ", number, id, priority, max_attempts FROM jobs WHERE number = ?");
    connection.prepare_cached(SQL)?.query_row([number], record)
}

/// The job of this number, and what was asked for.
pub(super) fn get_whole(connection: &Connection, number: i64, lane: &Lane) -> Result<(Record, NewJob)> {
    const SQL: &str = concat!("SELECT ", life!(), ", ", spec!(), " FROM jobs WHERE number = ?");
    connection.prepare_cached(SQL)?.query_row([number], |row| {
        let mut columns = Columns::of(row);
        let (life, job) = (columns.life()?, columns.spec(lane)?);
        let record =
            Record { number, id: job.id, priority: job.priority, max_attempts: job.max_attempts, life };
        Ok((record, job))
    })
}

fn record(row: &Row<'_>) -> Result<Record> {
    let mut columns = Columns::of(row);
    Ok(Record {
        life: columns.life()?,
        number: columns.get()?,
        id: columns.id()?,
        priority: columns.priority()?,
        max_attempts: columns.get()?,
    })
}
