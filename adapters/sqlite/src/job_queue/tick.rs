//! [`Tick`]: one transaction of the writer, and what the caller's half asks of it.

use portwright_domain::job::{Enqueued, JobId, JobState, Life, NewJob, Outcome, Progress, QueueName};
use portwright_domain::ports::job_queue::{Cancelled, Limits, REMEMBERED};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::columns::{Columns, Lane};
use super::memo::Memo;
use super::reads;
use super::record::{self, Record};

/// So many jobs fall due, or are removed, in one transaction at most; the rest is up to the next one.
const SLICE: u64 = 1_000;
/// So many removed jobs are remembered.
const REMEMBERED_AT_MOST: u64 = 1_000_000;

/// An open transaction. Whatever is asked of it happens in the order in which it is asked, all at the same time.
pub(super) struct Tick<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memo: &'a mut Memo,
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
    /// The jobs that came to their end.
    pub(super) ended: Vec<(JobId, Outcome)>,
    /// Whether a worker that found nothing might find something now.
    pub(super) stirred: bool,
}

/// Which states a job is counted in.
fn waits(state: JobState) -> bool {
    matches!(state, JobState::Scheduled | JobState::Ready)
}

impl Tick<'_> {
    /// Takes all jobs or none.
    pub(super) fn enqueue(&mut self, jobs: &[NewJob]) -> Result<Result<Vec<Enqueued>, PortError>> {
        let room = self.limits.room_for(jobs);
        if self.memo.waiting + jobs.len() as u64 <= room {
            return self.insert(jobs).map(Ok);
        }
        // Some may be known already, so that there is room for the others: try, and take it back if there is not.
        for job in jobs {
            self.memo.number_of(self.connection, Lane::of(job), self.now)?;
        }
        let waiting = self.memo.waiting;
        self.connection.execute_batch("SAVEPOINT enqueue")?;
        let answers = self.insert(jobs)?;
        if self.memo.waiting <= room.max(waiting) {
            self.connection.execute_batch("RELEASE enqueue")?;
            return Ok(Ok(answers));
        }
        self.connection.execute_batch("ROLLBACK TO enqueue; RELEASE enqueue")?;
        self.memo.waiting = waiting;
        Ok(Err(PortError::new(ErrorKind::Unavailable, "jobs.enqueue", Limits::FULL)))
    }

    fn insert(&mut self, jobs: &[NewJob]) -> Result<Vec<Enqueued>> {
        jobs.iter().map(|job| self.insert_one(job)).collect()
    }

    fn insert_one(&mut self, job: &NewJob) -> Result<Enqueued> {
        if reads::removed(self.connection, job.id, self.now)?.is_some() {
            return Ok(Enqueued::Known);
        }
        let lane = self.memo.number_of(self.connection, Lane::of(job), self.now)?;
        let life = Life::begin(job, self.now);
        if record::insert(self.connection, job, lane, &life, self.now)? {
            self.memo.waiting += 1;
            self.stirred = true;
            return Ok(Enqueued::New);
        }
        let known: Option<i64> = self
            .connection
            .prepare_cached("SELECT number FROM jobs WHERE id = ?")?
            .query_row([job.id.0.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        if known.is_some() {
            return Ok(Enqueued::Known);
        }
        self.connection
            .prepare_cached(
                "SELECT id FROM jobs WHERE unique_by = ? AND unique_by IS NOT NULL AND state < 3",
            )?
            .query_row([record::unique_by(job)], |row| Columns::of(row).id())
            .map(Enqueued::Held)
    }

    pub(super) fn cancel(&mut self, id: JobId) -> Result<Cancelled> {
        let now = self.now;
        match record::find(self.connection, id)? {
            Some(record) => self.step(record, |life| life.cancel(now)),
            None => Ok(Cancelled::Unknown),
        }
    }

    /// Whether it was retried; refused if another job holds its unique key by now.
    pub(super) fn retry(&mut self, id: JobId) -> Result<Result<bool, PortError>> {
        const IS_HELD: &str = "SELECT 1 FROM jobs AS holder JOIN jobs AS asked USING (unique_by) \
             WHERE asked.id = ? AND holder.unique_by IS NOT NULL AND holder.state < 3 AND asked.state > 3";
        let now = self.now;
        let Some(record) = record::find(self.connection, id)? else {
            return Ok(Ok(false));
        };
        let held = self.connection.prepare_cached(IS_HELD)?.exists([id.0.as_bytes().as_slice()])?;
        if held {
            return Ok(Err(PortError::conflict("jobs.retry", "jobs.unique")));
        }
        let number = record.number;
        let retried = self.step(record, |life| life.retry(now))?;
        if retried {
            record::update_progress(self.connection, number, &Progress::default())?;
        }
        Ok(Ok(retried))
    }

    pub(super) fn set_paused(&mut self, queue: &QueueName, paused: bool) -> Result<()> {
        if self.memo.set_paused(queue, paused) {
            let sql = if paused {
                "INSERT INTO paused (queue) VALUES (?)"
            } else {
                "DELETE FROM paused WHERE queue = ?"
            };
            self.connection.execute(sql, [queue.as_str()])?;
            self.stirred = true;
        }
        Ok(())
    }

    /// Lets one job take a step, and writes what came of it.
    pub(super) fn step<T>(&mut self, mut record: Record, step: impl FnOnce(&mut Life) -> T) -> Result<T> {
        let before = record.life.state();
        let answer = step(&mut record.life);
        record::update(self.connection, &record)?;
        let after = record.life.state();
        match (waits(before), waits(after)) {
            (true, false) => self.memo.waiting -= 1,
            (false, true) => self.memo.waiting += 1,
            _ => {}
        }
        if before.is_terminal() && !after.is_terminal() {
            self.memo.take_ended(before, 1);
        }
        if !before.is_terminal()
            && let Some(outcome) = record.life.outcome()
        {
            self.memo.add_ended(after);
            self.ended.push((record.id, outcome.clone()));
        }
        // A job that is ready, or a worker that no longer holds one, may let a suspect start.
        self.stirred |= after != JobState::Running;
        Ok(answer)
    }

    /// Scheduled jobs whose moment has come are ready.
    pub(super) fn fall_due(&mut self) -> Result<()> {
        const SQL: &str = "UPDATE jobs SET state = 1, due = NULL WHERE number IN \
             (SELECT number FROM jobs WHERE state = 0 AND due <= ? ORDER BY due LIMIT ?)";
        let fallen = self.connection.prepare_cached(SQL)?.execute(params![self.now.unix_micros(), SLICE])?;
        self.stirred |= fallen > 0;
        Ok(())
    }

    /// When the next scheduled job is ready.
    pub(super) fn next_due(&self) -> Result<Option<Timestamp>> {
        let next = self
            .connection
            .prepare_cached("SELECT due FROM jobs WHERE state = 0 ORDER BY due LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(next.map(Timestamp::from_unix_micros))
    }

    /// Removes finished jobs that are too many.
    pub(super) fn remove_surplus(&mut self) -> Result<()> {
        let mut removed = 0;
        for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
            let retention = self.limits.retention(state);
            let kept = if retention.age.is_zero() { 0 } else { retention.jobs };
            let surplus = self.memo.ended(state).saturating_sub(kept).min(SLICE);
            if surplus > 0 {
                self.remove(state, Timestamp::from_unix_micros(i64::MAX), surplus)?;
                removed += surplus;
            }
        }
        if removed > 0 { self.forget(removed) } else { Ok(()) }
    }

    /// Removes finished jobs that are too old.
    pub(super) fn remove_old(&mut self) -> Result<()> {
        for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
            self.remove(state, self.now.minus(self.limits.retention(state).age), SLICE)?;
        }
        self.forget(SLICE)
    }

    fn remove(&mut self, state: JobState, ended_by: Timestamp, most: u64) -> Result<()> {
        const REMEMBER: &str = "INSERT OR REPLACE INTO removed (id, created_by, removed_at) \
             SELECT id, created_by, ? FROM jobs WHERE state > 2 AND state = ? AND finished_at <= ? \
             ORDER BY finished_at LIMIT ?";
        const REMOVE: &str = "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs \
             WHERE state > 2 AND state = ? AND finished_at <= ? ORDER BY finished_at LIMIT ?)";
        let (state_number, ended_by) = (record::number_of(state), ended_by.unix_micros());
        let remember = params![self.now.unix_micros(), state_number, ended_by, most];
        let removed = self.connection.prepare_cached(REMEMBER)?.execute(remember)?;
        if removed > 0 {
            self.connection.prepare_cached(REMOVE)?.execute(params![state_number, ended_by, most])?;
            self.memo.take_ended(state, removed as u64);
        }
        Ok(())
    }

    /// Forgets what was removed long ago, or very many removals ago: up to twice as many as were removed now, so that it
    /// keeps up.
    fn forget(&mut self, removed: u64) -> Result<()> {
        const SQL: &str = "DELETE FROM removed WHERE number IN (SELECT number FROM removed ORDER BY number LIMIT ?) \
             AND (removed_at <= ? OR number <= (SELECT max(number) FROM removed) - ?)";
        let long_ago = self.now.minus(REMEMBERED).unix_micros();
        let forget = params![2 * removed, long_ago, REMEMBERED_AT_MOST];
        self.connection.prepare_cached(SQL)?.execute(forget)?;
        Ok(())
    }
}
