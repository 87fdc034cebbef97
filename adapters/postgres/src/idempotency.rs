//! The idempotency keys of a unit of work.

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyRecord, Progress, RecordedAnswer,
};
use portwright_domain::ports::IdempotencyRepository;
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::pooled::{Pooled, asked};
use crate::users::unsigned;

/// A [`Progress`] as columns.
struct Columns<'a> {
    progress: &'static str,
    status: Option<u16>,
    headers: Option<String>,
    body: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(progress: &'a Progress) -> Self {
        let name = |progress| Self { progress, status: None, headers: None, body: None };
        match progress {
            Progress::Running => name("running"),
            Progress::Withheld => name("withheld"),
            Progress::Answered(answer) => Self {
                progress: "answered",
                status: Some(answer.status),
                headers: Some(serde_json::json!(answer.headers).to_string()),
                body: Some(&answer.body),
            },
        }
    }
}

pub(crate) fn record(row: &PgRow, key: IdempotencyKey) -> Result<IdempotencyRecord, sqlx::Error> {
    let undecodable = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let fingerprint =
        row.try_get::<&[u8], _>(0)?.try_into().map_err(|wrong| sqlx::Error::Decode(Box::new(wrong)))?;
    let progress = match row.try_get(1)? {
        "running" => Progress::Running,
        "withheld" => Progress::Withheld,
        _ => Progress::Answered(RecordedAnswer {
            status: unsigned(row.try_get::<i32, _>(2)?.into())?,
            headers: serde_json::from_str(row.try_get(3)?).map_err(undecodable)?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>(4)?),
        }),
    };
    let expires_at = Timestamp::from_unix_micros(row.try_get(5)?);
    let begun_at = Timestamp::from_unix_micros(row.try_get(6)?);
    Ok(IdempotencyRecord { key, fingerprint: Fingerprint(fingerprint), progress, begun_at, expires_at })
}

#[async_trait]
impl IdempotencyRepository for Pooled {
    async fn find(&mut self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, PortError> {
        const SQL: &str = "SELECT fingerprint, progress, status, headers, body, expires_at, begun_at FROM idempotency_keys \
             WHERE scope = $1 AND key = $2";
        asked!(self, "idempotency.find", connection => async {
            let found = sqlx::query(SQL).bind(&key.scope).bind(&key.key).fetch_optional(connection).await?;
            found.map(|row| record(&row, key.clone())).transpose()
        })
    }

    async fn insert(&mut self, new: &IdempotencyRecord) -> Result<(), PortError> {
        const SQL: &str = "INSERT INTO idempotency_keys \
             (scope, key, fingerprint, progress, status, headers, body, expires_at, begun_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let columns = Columns::of(&new.progress);
        let inserted = asked!(self, "idempotency.insert", connection => sqlx::query(SQL)
            .bind(&new.key.scope)
            .bind(&new.key.key)
            .bind(&new.fingerprint.0[..])
            .bind(columns.progress)
            .bind(columns.status.map(i32::from))
            .bind(&columns.headers)
            .bind(columns.body)
            .bind(new.expires_at.unix_micros())
            .bind(new.begun_at.unix_micros())
            .execute(connection));
        match inserted?.rows_affected() {
            0 => Err(PortError::conflict("idempotency.insert", "idempotency.key")),
            _ => Ok(()),
        }
    }

    async fn update(
        &mut self,
        key: &IdempotencyKey,
        progress: &Progress,
        expires_at: Timestamp,
    ) -> Result<bool, PortError> {
        const SQL: &str = "UPDATE idempotency_keys SET progress = $1, status = $2, headers = $3, body = $4, \
             expires_at = $5 WHERE scope = $6 AND key = $7";
        let columns = Columns::of(progress);
        let updated = asked!(self, "idempotency.update", connection => sqlx::query(SQL)
            .bind(columns.progress)
            .bind(columns.status.map(i32::from))
            .bind(&columns.headers)
            .bind(columns.body)
            .bind(expires_at.unix_micros())
            .bind(&key.scope)
            .bind(&key.key)
            .execute(connection));
        Ok(updated?.rows_affected() > 0)
    }

    async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2";
        let removed = asked!(self, "idempotency.remove", connection => sqlx::query(SQL).bind(&key.scope).bind(&key.key).execute(connection));
        Ok(removed?.rows_affected() > 0)
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE ctid IN \
             (SELECT ctid FROM idempotency_keys WHERE expires_at <= $1 LIMIT 1000)";
        let removed = asked!(self, "idempotency.remove_expired", connection => sqlx::query(SQL).bind(now.unix_micros()).execute(connection));
        Ok(removed?.rows_affected())
    }
}
