//! The idempotency keys of a unit of work.

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyRecord, Progress, RecordedAnswer,
};
use portwright_domain::ports::IdempotencyRepository;
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::pool::Pooled;

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

pub(crate) fn record(row: &SqliteRow, key: IdempotencyKey) -> Result<IdempotencyRecord, sqlx::Error> {
    let undecodable = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let fingerprint =
        row.try_get::<&[u8], _>(0)?.try_into().map_err(|wrong| sqlx::Error::Decode(Box::new(wrong)))?;
    let progress = match row.try_get(1)? {
        "running" => Progress::Running,
        "withheld" => Progress::Withheld,
        _ => Progress::Answered(RecordedAnswer {
            status: row.try_get(2)?,
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
             WHERE scope = ? AND key = ?";
        let connection = self.ask("idempotency.find")?;
        let found = sqlx::query(SQL).bind(&key.scope).bind(&key.key).fetch_optional(connection).await;
        let read = found.and_then(|row| row.map(|row| record(&row, key.clone())).transpose());
        self.heard("idempotency.find", read)
    }

    async fn insert(&mut self, new: &IdempotencyRecord) -> Result<(), PortError> {
        const SQL: &str = "INSERT INTO idempotency_keys \
             (scope, key, fingerprint, progress, status, headers, body, expires_at, begun_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let columns = Columns::of(&new.progress);
        let connection = self.ask("idempotency.insert")?;
        let inserted = sqlx::query(SQL)
            .bind(&new.key.scope)
            .bind(&new.key.key)
            .bind(&new.fingerprint.0[..])
            .bind(columns.progress)
            .bind(columns.status)
            .bind(columns.headers)
            .bind(columns.body)
            .bind(new.expires_at.unix_micros())
            .bind(new.begun_at.unix_micros())
            .execute(connection)
            .await;
        self.heard("idempotency.insert", inserted).map(drop)
    }

    async fn update(
        &mut self,
        key: &IdempotencyKey,
        progress: &Progress,
        expires_at: Timestamp,
    ) -> Result<bool, PortError> {
        const SQL: &str = "UPDATE idempotency_keys SET progress = ?, status = ?, headers = ?, body = ?, \
             expires_at = ? WHERE scope = ? AND key = ?";
        let columns = Columns::of(progress);
        let connection = self.ask("idempotency.update")?;
        let updated = sqlx::query(SQL)
            .bind(columns.progress)
            .bind(columns.status)
            .bind(columns.headers)
            .bind(columns.body)
            .bind(expires_at.unix_micros())
            .bind(&key.scope)
            .bind(&key.key)
            .execute(connection)
            .await;
        Ok(self.heard("idempotency.update", updated)?.rows_affected() > 0)
    }

    async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE scope = ? AND key = ?";
        let connection = self.ask("idempotency.remove")?;
        let removed = sqlx::query(SQL).bind(&key.scope).bind(&key.key).execute(connection).await;
        Ok(self.heard("idempotency.remove", removed)?.rows_affected() > 0)
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE rowid IN \
             (SELECT rowid FROM idempotency_keys WHERE expires_at <= ? LIMIT 1000)";
        let connection = self.ask("idempotency.remove_expired")?;
        let removed = sqlx::query(SQL).bind(now.unix_micros()).execute(connection).await;
        Ok(self.heard("idempotency.remove_expired", removed)?.rows_affected())
    }
}
