//! The sessions of a view or a unit of work.

use async_trait::async_trait;
use portwright_domain::ports::{SessionQueries, SessionRepository};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::port_error;
use crate::pooled::{Pooled, asked};
use crate::seen::place_now;
use crate::together::LookUp;
use crate::users::{unsigned, user_at, user_columns};

/// Asks for the place, the columns of each such session, of which there are five, and those of its user.
macro_rules! with_user {
    ($which:literal) => {
        concat!(
            "SELECT seen.place, sessions.id, sessions.user_id, sessions.generation, sessions.created_at, ",
            "sessions.expires_at, ",
            user_columns!(),
            " FROM ",
            place_now!(),
            " AS seen LEFT JOIN (sessions JOIN users ON users.id = sessions.user_id) ON sessions.id ",
            $which
        )
    };
}

/// Sessions by their identity, each with its user.
pub(crate) struct SessionsWithUsers;

impl LookUp for SessionsWithUsers {
    type Found = (Session, User);
    const OPERATION: &'static str = "sessions.find_with_user";
    const SQL: &'static str = with_user!("= ANY ((SELECT $1)::uuid[])");

    fn read(row: &PgRow) -> Result<Option<(Uuid, Self::Found)>, sqlx::Error> {
        Ok(session_with_user(row)?.map(|found| (found.0.id.0, found)))
    }
}

fn session_with_user(row: &PgRow) -> Result<Option<(Session, User)>, sqlx::Error> {
    let is_found = row.try_get::<Option<Uuid>, _>(1)?.is_some();
    is_found.then(|| Ok((session_at(row, 1)?, user_at(row, 6)?))).transpose()
}

/// The session in the five columns from this one on.
pub(crate) fn session_at(row: &PgRow, first: usize) -> Result<Session, sqlx::Error> {
    Ok(Session {
        id: SessionId(row.try_get(first)?),
        user_id: UserId(row.try_get(first + 1)?),
        generation: Generation(unsigned(row.try_get(first + 2)?)?),
        created_at: Timestamp::from_unix_micros(row.try_get(first + 3)?),
        expires_at: Timestamp::from_unix_micros(row.try_get(first + 4)?),
    })
}

#[async_trait]
impl SessionQueries for Pooled {
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        const OPERATION: &str = "sessions.find_with_user";
        const SQL: &str = with_user!("= $1");
        let row = asked!(self, OPERATION, connection => sqlx::query(SQL).bind(id.0).fetch_one(connection))?;
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
