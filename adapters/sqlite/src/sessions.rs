//! The sessions of a view or a unit of work.

use async_trait::async_trait;
use portwright_domain::ports::{SessionQueries, SessionRepository};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::pool::Pooled;
use crate::users::{user_at, user_columns};

/// The columns of a session, of which there are five, and those of its user.
const FIND_WITH_USER: &str = concat!(
    "SELECT sessions.id, sessions.user_id, sessions.generation, sessions.created_at, sessions.expires_at, ",
    user_columns!(),
    " FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = ?"
);

fn session_with_user(row: &SqliteRow) -> Result<(Session, User), sqlx::Error> {
    Ok((session(row)?, user_at(row, 5)?))
}

/// The session in the first five columns.
pub(crate) fn session(row: &SqliteRow) -> Result<Session, sqlx::Error> {
    Ok(Session {
        id: SessionId(row.try_get(0)?),
        user_id: UserId(row.try_get(1)?),
        generation: Generation(row.try_get(2)?),
        created_at: Timestamp::from_unix_micros(row.try_get(3)?),
        expires_at: Timestamp::from_unix_micros(row.try_get(4)?),
    })
}

#[async_trait]
impl SessionQueries for Pooled {
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        let connection = self.ask("sessions.find_with_user")?;
        let found = sqlx::query(FIND_WITH_USER).bind(id.0).fetch_optional(connection).await;
        let read = found.and_then(|row| row.as_ref().map(session_with_user).transpose());
        self.heard("sessions.find_with_user", read)
    }
}

#[async_trait]
impl SessionRepository for Pooled {
    async fn insert(&mut self, session: &Session) -> Result<(), PortError> {
        const SQL: &str =
            "INSERT INTO sessions (id, user_id, generation, created_at, expires_at) VALUES (?, ?, ?, ?, ?)";
        let connection = self.ask("sessions.insert")?;
        let inserted = sqlx::query(SQL)
            .bind(session.id.0)
            .bind(session.user_id.0)
            .bind(session.generation.0)
            .bind(session.created_at.unix_micros())
            .bind(session.expires_at.unix_micros())
            .execute(connection)
            .await;
        self.heard("sessions.insert", inserted).map(drop)
    }

    async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError> {
        const SQL: &str =
            "UPDATE sessions SET generation = ?, expires_at = ? WHERE id = ? AND generation = ?";
        let connection = self.ask("sessions.rotate")?;
        let rotated = sqlx::query(SQL)
            .bind(session.generation.0)
            .bind(session.expires_at.unix_micros())
            .bind(session.id.0)
            .bind(from.0)
            .execute(connection)
            .await;
        Ok(self.heard("sessions.rotate", rotated)?.rows_affected() > 0)
    }

    async fn remove(&mut self, id: SessionId) -> Result<bool, PortError> {
        let connection = self.ask("sessions.remove")?;
        let removed = sqlx::query("DELETE FROM sessions WHERE id = ?").bind(id.0).execute(connection).await;
        Ok(self.heard("sessions.remove", removed)?.rows_affected() > 0)
    }

    async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError> {
        const SQL: &str = "DELETE FROM sessions WHERE user_id = ? AND id IS NOT ?";
        let connection = self.ask("sessions.remove_all")?;
        let removed = sqlx::query(SQL).bind(user.0).bind(keep.map(|id| id.0)).execute(connection).await;
        Ok(self.heard("sessions.remove_all", removed)?.rows_affected())
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        const SQL: &str =
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ? LIMIT 1000)";
        let connection = self.ask("sessions.remove_expired")?;
        let removed = sqlx::query(SQL).bind(now.unix_micros()).execute(connection).await;
        Ok(self.heard("sessions.remove_expired", removed)?.rows_affected())
    }
}
