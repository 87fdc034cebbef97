//! [`Readers`]: questions that change nothing, asked beside the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portwright_domain::job::{Job, JobId, QueueName, WorkerId};
use portwright_domain::page::{Page, PageRequest, Position, Rest};
use portwright_domain::ports::job_queue::{JobFilter, QueueStatus, REMEMBERED, Removed};
use portwright_domain::user::{SortKey, UserId};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::columns::{Columns, lane, life, progress, spec};
use super::record::number_of;
use super::writer::Failure;

/// Connections that read, each asked by one caller at a time on a thread where blocking is fine.
pub(super) struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    wait: Duration,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, readers: u32, wait: Duration) -> Self {
        let places = Arc::new(Semaphore::new(readers.max(1) as usize));
        Self { path, places, wait, idle: Arc::default() }
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        question: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let unavailable = |detail| PortError::new(ErrorKind::Unavailable, operation, detail);
        let place = match timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_closed)) => return Err(unavailable("the queue is closed")),
            Err(_elapsed) => return Err(unavailable("no connection was free in time")),
        };
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let asked = tokio::task::spawn_blocking(move || {
            let at_rest = lock(&idle).pop();
            let connection = at_rest.map_or_else(|| super::open::reader(&path), Ok)?;
            let answer = question(&connection)?;
            lock(&idle).push(connection);
            drop(place);
            Ok(answer)
        });
        let answer = asked.await.map_err(|error| unavailable("the question broke off").with_source(error))?;
        answer.map_err(|error: rusqlite::Error| Failure::of(&error).during(operation))
    }

    /// Answers nothing more.
    pub(super) fn close(&self) {
        self.places.close();
        lock(&self.idle).clear();
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

const JOB: &str = concat!(
    "SELECT ",
    lane!(),
    ", ",
    spec!(),
    ", ",
    life!(),
    ", ",
    progress!(),
    ", created_at FROM jobs JOIN lanes USING (lane)"
);

fn job(row: &Row<'_>, now: Timestamp) -> Result<Job> {
    let mut columns = Columns::of(row);
    let lane = columns.lane()?;
    let (spec, mut life, progress) = (columns.spec(&lane)?, columns.life()?, columns.progress()?);
    // The writer will say so presently.
    life.fall_due(now);
    Ok(Job {
        spec,
        state: life.state(),
        attempts: life.attempts,
        progress,
        outcome: life.outcome().cloned(),
        created_at: columns.get().map(Timestamp::from_unix_micros)?,
        started_at: life.started_at,
        finished_at: life.finished_at(),
    })
}

pub(super) fn find(connection: &Connection, id: JobId, now: Timestamp) -> Result<Option<Job>> {
    let sql = format!("{JOB} WHERE id = ?");
    connection.prepare_cached(&sql)?.query_row([id.0.as_bytes().as_slice()], |row| job(row, now)).optional()
}

/// Every worker that holds a job.
pub(super) fn holders(connection: &Connection) -> Result<Vec<WorkerId>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT worker FROM jobs WHERE state = 2")?;
    let holders =
        statement.query_map([], |row| Columns::of(row).parsed(|text| WorkerId::parse(text).ok()))?;
    holders.collect()
}

/// What is left of the job of this id.
pub(super) fn removed(connection: &Connection, id: JobId, now: Timestamp) -> Result<Option<Removed>> {
    const SQL: &str = "SELECT created_by, removed_at FROM removed WHERE id = ? AND removed_at > ?";
    let remembered = now.minus(REMEMBERED).unix_micros();
    let read = |row: &Row<'_>| {
        let mut columns = Columns::of(row);
        let created_by = columns.uuid()?.map(UserId);
        Ok(Removed { created_by, at: columns.get().map(Timestamp::from_unix_micros)? })
    };
    connection.prepare_cached(SQL)?.query_row(params![id.0.as_bytes(), remembered], read).optional()
}

/// A condition, and the values that it mentions.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn of(filter: &JobFilter) -> Self {
        let mut condition = Self { sql: "TRUE".to_owned(), values: Vec::new() };
        if let Some(state) = filter.state {
            condition.and("state = ?", [Value::Integer(number_of(state))]);
        }
        if let Some(task) = &filter.task {
            condition.and("task = ?", [Value::Text(task.as_str().to_owned())]);
        }
        if let Some(queue) = &filter.queue {
            condition.and("queue = ?", [Value::Text(queue.as_str().to_owned())]);
        }
        condition
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

pub(super) fn list(
    connection: &Connection,
    filter: &JobFilter,
    page: &PageRequest,
    now: Timestamp,
) -> Result<Page<Job>> {
    let limit = page.limit().get();
    let mut condition = Condition::of(filter);
    let mut skipped = 0;
    match page {
        PageRequest::Numbered { page, .. } => skipped = u64::from(page.saturating_sub(1)) * u64::from(limit),
        PageRequest::Walk { after: Some(Position { key: SortKey::Time(created_at), id }), .. } => {
            let position = [Value::Integer(created_at.unix_micros()), Value::Blob(id.as_bytes().to_vec())];
            condition.and("(created_at, id) < (?, ?)", position);
        }
        PageRequest::Walk { .. } => {}
    }
    let Condition { sql, values } = condition;
    // One more row tells whether there are more.
    let asked =
        format!("{JOB} WHERE {sql} ORDER BY created_at DESC, id DESC LIMIT {limit} + 1 OFFSET {skipped}");
    let mut statement = connection.prepare_cached(&asked)?;
    let found = statement.query_map(params_from_iter(&values), |row| job(row, now))?;
    let mut rows = found.collect::<Result<Vec<_>>>()?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let rest = match page {
        PageRequest::Numbered { .. } => {
            let count = format!("SELECT count(*) FROM jobs JOIN lanes USING (lane) WHERE {sql}");
            Rest::Total(
                connection.prepare_cached(&count)?.query_row(params_from_iter(&values), |row| row.get(0))?,
            )
        }
        PageRequest::Walk { .. } => {
            let last = rows.last().filter(|_| more);
            Rest::Next(last.map(|job| Position { key: SortKey::Time(job.created_at), id: job.spec.id.0 }))
        }
    };
    Ok(Page { rows, rest })
}

pub(super) fn queues(connection: &Connection, now: Timestamp) -> Result<Vec<QueueStatus>> {
    // Each part is answered from the index of its state alone.
    const SQL: &str = "SELECT queue, sum(scheduled), sum(ready), sum(running), sum(dead), min(since), \
         EXISTS (SELECT 1 FROM paused WHERE paused.queue = lanes.queue) \
         FROM lanes JOIN ( \
             SELECT lane, count(*) AS scheduled, 0 AS ready, 0 AS running, 0 AS dead, NULL AS since, 0 AS ended \
             FROM jobs WHERE state = 0 GROUP BY lane \
             UNION ALL SELECT lane, 0, count(*), 0, 0, min(since), 0 FROM jobs WHERE state = 1 GROUP BY lane \
             UNION ALL SELECT lane, 0, 0, count(*), 0, NULL, 0 FROM jobs WHERE state = 2 GROUP BY lane \
             UNION ALL SELECT lane, 0, 0, 0, count(*) FILTER (WHERE state = 5), NULL, 1 FROM jobs WHERE state > 2 \
                 GROUP BY lane \
         ) USING (lane) GROUP BY queue \
         UNION ALL SELECT queue, 0, 0, 0, 0, NULL, TRUE FROM paused \
         WHERE queue NOT IN (SELECT queue FROM jobs JOIN lanes USING (lane))";
    let status = |row: &Row<'_>| {
        let mut columns = Columns::of(row);
        Ok(QueueStatus {
            name: columns.parsed(|text| QueueName::parse(text).ok())?,
            scheduled: columns.get()?,
            ready: columns.get()?,
            running: columns.get()?,
            dead: columns.get()?,
            oldest_ready: columns.time()?.map(|since| now.since(since)),
            paused: columns.get()?,
        })
    };
    connection.prepare_cached(SQL)?.query_map([], status)?.collect()
}
