//! The users of a view or a unit of work.

mod list;

use async_trait::async_trait;
use portwright_domain::access::Role;
use portwright_domain::avatar::{Avatar, AvatarId, PictureKind};
use portwright_domain::page::{Direction, Page, PageRequest};
use portwright_domain::ports::{UserQueries, UserRepository};
use portwright_domain::user::{
    Email, PasswordHash, PersonName, User, UserFilter, UserId, UserSort, Version, folded,
};
use portwright_domain::{PortError, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::port_error;
use crate::pooled::{Pooled, asked};
use crate::seen::place_now;
use crate::together::LookUp;

/// The columns that [`user_at`] reads, in its order.
macro_rules! user_columns {
    () => {
        "users.id, users.email, users.first_name, users.last_name, users.role, users.is_active, \
         users.is_email_verified, users.password, users.last_login, users.created_at, users.updated_at, users.version, \
         users.avatar_id, users.avatar_type, users.avatar_upload"
    };
}
pub(crate) use user_columns;

/// Asks for the place and the users, if there are any, whose column is like this.
macro_rules! users_where {
    ($column:literal) => {
        concat!(
            "SELECT seen.place, ",
            user_columns!(),
            " FROM ",
            place_now!(),
            " AS seen LEFT JOIN users ON users.",
            $column
        )
    };
}

/// The user whose columns begin at this one.
pub(crate) fn user_at(row: &PgRow, first: usize) -> Result<User, sqlx::Error> {
    let text = |column| row.try_get::<String, _>(first + column);
    let time = |column| row.try_get(first + column).map(Timestamp::from_unix_micros);
    let role: Role = row
        .try_get::<&str, _>(first + 4)?
        .parse()
        .map_err(|unknown| sqlx::Error::Decode(Box::new(unknown)))?;
    let avatar = match row.try_get(first + 12)? {
        Some(id) => Some(Avatar { id: AvatarId(id), kind: kind_at(row, first + 13)? }),
        None => None,
    };
    Ok(User {
        id: UserId(row.try_get(first)?),
        email: Email::from_stored(text(1)?),
        first_name: PersonName::from_stored(text(2)?),
        last_name: PersonName::from_stored(text(3)?),
        role,
        is_active: row.try_get(first + 5)?,
        is_email_verified: row.try_get(first + 6)?,
        password: PasswordHash::new(text(7)?),
        last_login: row.try_get::<Option<i64>, _>(first + 8)?.map(Timestamp::from_unix_micros),
        created_at: time(9)?,
        updated_at: time(10)?,
        version: Version(unsigned(row.try_get(first + 11)?)?),
        avatar,
        avatar_upload: row.try_get::<Option<_>, _>(first + 14)?.map(AvatarId),
    })
}

fn kind_at(row: &PgRow, column: usize) -> Result<PictureKind, sqlx::Error> {
    let media_type: &str = row.try_get(column)?;
    media_type.parse().map_err(|unknown| sqlx::Error::Decode(Box::new(unknown)))
}

/// A count that is stored with a sign, since PostgreSQL knows no others.
pub(crate) fn unsigned<T: TryFrom<i64>>(stored: i64) -> Result<T, sqlx::Error>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(stored).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The user of a row whose first column is the place, if it has one.
fn user_beside_the_place(row: &PgRow) -> Result<Option<User>, sqlx::Error> {
    row.try_get::<Option<Uuid>, _>(1)?.map(|_| user_at(row, 1)).transpose()
}

/// Users by their identity.
pub(crate) struct Users;

impl LookUp for Users {
    type Found = User;
    const OPERATION: &'static str = "users.find";
    const SQL: &'static str = users_where!("id = ANY ((SELECT $1)::uuid[])");

    fn read(row: &PgRow) -> Result<Option<(Uuid, User)>, sqlx::Error> {
        Ok(user_beside_the_place(row)?.map(|user| (user.id.0, user)))
    }
}

impl Pooled {
    /// The answer to a question for one user, which comes with the place.
    fn shown(&mut self, operation: &'static str, row: &PgRow) -> Result<Option<User>, PortError> {
        self.saw(operation, row)?;
        user_beside_the_place(row).map_err(|error| port_error(operation, error))
    }
}

#[async_trait]
impl UserQueries for Pooled {
    async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError> {
        const SQL: &str = users_where!("id = $1");
        let row = asked!(self, "users.find", connection => sqlx::query(SQL).bind(id.0).fetch_one(connection));
        self.shown("users.find", &row?)
    }

    async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError> {
        const SQL: &str = users_where!("email_key = $1");
        let row = asked!(self, "users.find_by_email", connection =>
            sqlx::query(SQL).bind(email.key()).fetch_one(connection));
        self.shown("users.find_by_email", &row?)
    }

    async fn list(
        &mut self,
        filter: &UserFilter,
        sort: UserSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<User>, PortError> {
        const OPERATION: &str = "users.list";
        let rows =
            asked!(self, "users.list", connection => list::rows(connection, filter, sort, direction, page))?;
        if let Some(first) = rows.first() {
            self.saw(OPERATION, first)?;
        }
        list::page(&rows, sort, page).map_err(|error| port_error(OPERATION, error))
    }
}

/// A statement that fails ends the transaction, so a rule is checked in the statement that would break it. What still
/// breaks one comes of another transaction at the same time, and is [`Contended`](portwright_domain::ErrorKind).
#[async_trait]
impl UserRepository for Pooled {
    async fn insert(&mut self, user: &User) -> Result<(), PortError> {
        const OPERATION: &str = "users.insert";
        const SQL: &str = "INSERT INTO users (id, email, email_key, first_name, first_name_key, last_name, \
             last_name_key, role, is_active, is_email_verified, password, last_login, created_at, updated_at, version, \
             avatar_id, avatar_type, avatar_upload) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
             ON CONFLICT DO NOTHING";
        const ID_IS_TAKEN: &str = "SELECT EXISTS (SELECT FROM users WHERE id = $1)";
        let inserted = asked!(self, "users.insert", connection => sqlx::query(SQL)
            .bind(user.id.0)
            .bind(user.email.as_str())
            .bind(user.email.key())
            .bind(user.first_name.as_str())
            .bind(folded(user.first_name.as_str()))
            .bind(user.last_name.as_str())
            .bind(folded(user.last_name.as_str()))
            .bind(user.role.as_str())
            .bind(user.is_active)
            .bind(user.is_email_verified)
            .bind(user.password.expose())
            .bind(user.last_login.map(Timestamp::unix_micros))
            .bind(user.created_at.unix_micros())
            .bind(user.updated_at.unix_micros())
            .bind(i64::from(user.version.0))
            .bind(user.avatar.map(|avatar| avatar.id.0))
            .bind(user.avatar.map(|avatar| avatar.kind.media_type()))
            .bind(user.avatar_upload.map(|upload| upload.0))
            .execute(connection));
        if inserted?.rows_affected() > 0 {
            return Ok(());
        }
        let id_is_taken = asked!(self, "users.insert", connection =>
            sqlx::query_scalar::<_, bool>(ID_IS_TAKEN).bind(user.id.0).fetch_one(connection));
        Err(PortError::conflict(OPERATION, if id_is_taken? { "users.id" } else { "users.email" }))
    }

    async fn update(&mut self, user: &User) -> Result<(), PortError> {
        const OPERATION: &str = "users.update";
        const SQL: &str = "UPDATE users SET email = $1, email_key = $2, first_name = $3, first_name_key = $4, \
             last_name = $5, last_name_key = $6, role = $7, is_active = $8, is_email_verified = $9, password = $10, \
             updated_at = $11, version = $12, avatar_id = $15, avatar_type = $16, avatar_upload = $17 \
             WHERE id = $13 AND version = $14 \
             AND NOT EXISTS (SELECT FROM users AS other WHERE other.email_key = $2 AND other.id <> $13)";
        const IS_AT: &str = "SELECT EXISTS (SELECT FROM users WHERE id = $1 AND version = $2)";
        let before = i64::from(user.version.0) - 1;
        let updated = asked!(self, "users.update", connection => sqlx::query(SQL)
            .bind(user.email.as_str())
            .bind(user.email.key())
            .bind(user.first_name.as_str())
            .bind(folded(user.first_name.as_str()))
            .bind(user.last_name.as_str())
            .bind(folded(user.last_name.as_str()))
            .bind(user.role.as_str())
            .bind(user.is_active)
            .bind(user.is_email_verified)
            .bind(user.password.expose())
            .bind(user.updated_at.unix_micros())
            .bind(i64::from(user.version.0))
            .bind(user.id.0)
            .bind(before)
            .bind(user.avatar.map(|avatar| avatar.id.0))
            .bind(user.avatar.map(|avatar| avatar.kind.media_type()))
            .bind(user.avatar_upload.map(|upload| upload.0))
            .execute(connection));
        if updated?.rows_affected() > 0 {
            return Ok(());
        }
        let is_at_version = asked!(self, "users.update", connection =>
            sqlx::query_scalar::<_, bool>(IS_AT).bind(user.id.0).bind(before).fetch_one(connection));
        Err(PortError::conflict(OPERATION, if is_at_version? { "users.email" } else { "users.version" }))
    }

    async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError> {
        const SQL: &str = "UPDATE users SET last_login = $1 WHERE id = $2";
        let recorded = asked!(self, "users.record_login", connection =>
            sqlx::query(SQL).bind(at.unix_micros()).bind(id.0).execute(connection));
        recorded.map(drop)
    }

    async fn rehash(&mut self, id: UserId, from: &PasswordHash, to: &PasswordHash) -> Result<(), PortError> {
        const SQL: &str = "UPDATE users SET password = $1 WHERE id = $2 AND password = $3";
        let replaced = asked!(self, "users.rehash", connection =>
            sqlx::query(SQL).bind(to.expose()).bind(id.0).bind(from.expose()).execute(connection));
        replaced.map(drop)
    }

    async fn remove(&mut self, id: UserId) -> Result<bool, PortError> {
        // The sessions go with it: ON DELETE CASCADE.
        const SQL: &str = "DELETE FROM users WHERE id = $1";
        let removed =
            asked!(self, "users.remove", connection => sqlx::query(SQL).bind(id.0).execute(connection));
        Ok(removed?.rows_affected() > 0)
    }

    async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError> {
        const SQL: &str = "SELECT count(*) FROM users WHERE role = 'admin' AND is_active AND id <> $1";
        let counted = asked!(self, "users.active_admins_besides", connection =>
            sqlx::query_scalar::<_, i64>(SQL).bind(id.0).fetch_one(connection));
        counted.map(i64::unsigned_abs)
    }
}
