//! The jobs that wait in the store until the queue has them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::job::{Backoff, JobId, NewJob, Priority, QueueName, TaskName, UniqueKey};
use portwright_domain::ports::Outbox;
use portwright_domain::user::UserId;
use portwright_domain::{Invalid, PortError, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::pooled::{Pooled, asked};
use crate::users::unsigned;

/// Nanoseconds; what is longer than 292 years is as good as those.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}

/// Every column of a job, in the order in which [`job`] reads them.
macro_rules! select {
    () => {
        "SELECT id, task, version, queue, priority, payload, max_attempts, backoff, backoff_cap, timeout, \
         scheduled_for, unique_key, created_by, trace FROM outbox "
    };
}

pub(crate) fn job(row: &PgRow) -> Result<NewJob, sqlx::Error> {
    let invalid = |invalid: Invalid| sqlx::Error::Decode(Box::new(invalid));
    let time = |column: usize| row.try_get(column).map(duration);
    let first_wait = time(7)?;
    let backoff = match row.try_get::<Option<i64>, _>(8)? {
        None => Backoff::Fixed(first_wait),
        Some(cap) => Backoff::Exponential { base: first_wait, cap: duration(cap) },
    };
    let unique = row.try_get::<Option<&str>, _>(11)?.map(UniqueKey::parse).transpose();
    Ok(NewJob {
        id: JobId(row.try_get(0)?),
        task: TaskName::parse(row.try_get(1)?).map_err(invalid)?,
        version: unsigned(row.try_get(2)?)?,
        queue: QueueName::parse(row.try_get(3)?).map_err(invalid)?,
        priority: Priority::parse(unsigned(row.try_get::<i16, _>(4)?.into())?).map_err(invalid)?,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>(5)?),
        max_attempts: unsigned(row.try_get(6)?)?,
        backoff,
        timeout: time(9)?,
        scheduled_for: row.try_get::<Option<i64>, _>(10)?.map(Timestamp::from_unix_micros),
        unique: unique.map_err(invalid)?,
        created_by: row.try_get::<Option<_>, _>(12)?.map(UserId),
        trace: row.try_get(13)?,
    })
}

#[async_trait]
impl Outbox for Pooled {
    async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError> {
        const SQL: &str = "INSERT INTO outbox (id, task, version, queue, priority, payload, max_attempts, backoff, \
             backoff_cap, timeout, scheduled_for, unique_key, created_by, trace) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (id) DO NOTHING";
        let (first_wait, cap) = match job.backoff {
            Backoff::Fixed(wait) => (wait, None),
            Backoff::Exponential { base, cap } => (base, Some(cap)),
        };
        let recorded = asked!(self, "outbox.enqueue", connection => sqlx::query(SQL)
            .bind(job.id.0)
            .bind(job.task.as_str())
            .bind(i64::from(job.version))
            .bind(job.queue.as_str())
            .bind(i16::from(job.priority.get()))
            .bind(&job.payload[..])
            .bind(i64::from(job.max_attempts))
            .bind(nanos(first_wait))
            .bind(cap.map(nanos))
            .bind(nanos(job.timeout))
            .bind(job.scheduled_for.map(Timestamp::unix_micros))
            .bind(job.unique.as_ref().map(UniqueKey::as_str))
            .bind(job.created_by.map(|user| user.0))
            .bind(job.trace.as_deref())
            .execute(connection));
        recorded.map(drop)
    }

    async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError> {
        const SQL: &str = concat!(select!(), "WHERE NOT handed_over ORDER BY sequence LIMIT $1");
        asked!(self, "outbox.pending", connection => async {
            let found = sqlx::query(SQL).bind(i64::from(max)).fetch_all(connection).await?;
            found.iter().map(job).collect()
        })
    }

    async fn hand_over(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        let noted = asked!(self, "outbox.hand_over", connection =>
            sqlx::query("UPDATE outbox SET handed_over = TRUE WHERE id = ANY($1)").bind(&ids).execute(connection));
        noted.map(drop)
    }

    async fn handed_over(&mut self, after: Option<JobId>, max: u32) -> Result<Vec<NewJob>, PortError> {
        const SQL: &str =
            concat!(select!(), "WHERE handed_over AND ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2");
        asked!(self, "outbox.handed_over", connection => async {
            let after = after.map(|job| job.0);
            let found = sqlx::query(SQL).bind(after).bind(i64::from(max)).fetch_all(connection).await?;
            found.iter().map(job).collect()
        })
    }

    async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        let removed = asked!(self, "outbox.remove", connection =>
            sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(&ids).execute(connection));
        removed.map(drop)
    }
}
