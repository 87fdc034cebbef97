//! The sessions of a view or a unit of work.

use async_trait::async_trait;
use portwright_domain::ports::{SessionQueries, SessionRepository};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::port_error;
use crate::pooled::{Pooled, asked};
use crate::seen::place_now;
use crate::users::{unsigned, user_at, user_columns};

/// The place, the columns of a session, of which there are five, and those of its user.
const FIND_WITH_USER: &str = concat!(
    "SELECT seen.place, sessions.id, sessions.user_id, sessions.generation, sessions.created_at, ",
    "sessions.expires_at, ",
    user_columns!(),
    " FROM ",
    place_now!(),
    " AS seen LEFT JOIN (sessions JOIN users ON users.id = sessions.user_id) ON sessions.id = $1"
);

fn session_with_user(row: &PgRow) -> Result<Option<(Session, User)>, sqlx::Error> {
    let Some(id) = row.try_get(1)? else { return Ok(None) };
    let session = Session {
        id: SessionId(id),
        user_id: UserId(row.try_get(2)?),
        generation: Generation(unsigned(row.try_get(3)?)?),
        created_at: Timestamp::from_unix_micros(row.try_get(4)?),
        expires_at: Timestamp::from_unix_micros(row.try_get(5)?),
    };
    Ok(Some((session, user_at(row, 6)?)))
}

#[async_trait]
impl SessionQueries for Pooled {
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        const OPERATION: &str = "sessions.find_with_user";
        let row = asked!(self, "sessions.find_with_user", connection =>
            sqlx::query(FIND_WITH_USER).bind(id.0).fetch_one(connection))?;
        self.saw(OPERATION, &row)?;
        session_with_user(&row).map_err(|error| port_error(OPERATION, error))
    }
}

#[async_trait]
impl SessionRepository for Pooled {
    async fn insert(&mut self, session: &Session) -> Result<(), PortError> {
        const SQL: &str = "INSERT INTO sessions (id, user_id, generation, created_at, expires_at) \
             SELECT $1, id, $3, $4, $5 FROM users WHERE id = $2 FOR KEY SHARE";
        let inserted = asked!(self, "sessions.insert", connection => sqlx::query(SQL)
            .bind(session.id.0)
            .bind(session.user_id.0)
            .bind(i64::from(session.generation.0))
            .bind(session.created_at.unix_micros())
            .bind(session.expires_at.unix_micros())
            .execute(connection));
        match inserted?.rows_affected() {
            0 => Err(PortError::conflict("sessions.insert", "sessions.user")),
            _ => Ok(()),
        }
    }

    async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError> {
        const SQL: &str =
            "UPDATE sessions SET generation = $1, expires_at = $2 WHERE id = $3 AND generation = $4";
        let rotated = asked!(self, "sessions.rotate", connection => sqlx::query(SQL)
            .bind(i64::from(session.generation.0))
            .bind(session.expires_at.unix_micros())
            .bind(session.id.0)
            .bind(i64::from(from.0))
            .execute(connection));
        Ok(rotated?.rows_affected() > 0)
    }

    async fn remove(&mut self, id: SessionId) -> Result<bool, PortError> {
        let removed = asked!(self, "sessions.remove", connection => sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id.0).execute(connection));
        Ok(removed?.rows_affected() > 0)
    }

    async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError> {
        const SQL: &str = "DELETE FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2";
        let removed = asked!(self, "sessions.remove_all", connection => sqlx::query(SQL).bind(user.0).bind(keep.map(|id| id.0)).execute(connection));
        Ok(removed?.rows_affected())
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        const SQL: &str =
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT 1000)";
        let removed = asked!(self, "sessions.remove_expired", connection => sqlx::query(SQL).bind(now.unix_micros()).execute(connection));
        Ok(removed?.rows_affected())
    }
}
