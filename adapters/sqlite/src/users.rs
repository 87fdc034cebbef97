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
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use crate::pool::Pooled;

/// The columns that [`user_at`] reads, in its order.
macro_rules! user_columns {
    () => {
        "users.id, users.email, users.first_name, users.last_name, users.role, users.is_active, \
         users.is_email_verified, users.password, users.last_login, users.created_at, users.updated_at, users.version, \
         users.avatar_id, users.avatar_type, users.avatar_upload"
    };
}
pub(crate) use user_columns;

/// The user whose columns begin at this one.
pub(crate) fn user_at(row: &SqliteRow, first: usize) -> Result<User, sqlx::Error> {
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
        version: Version(row.try_get(first + 11)?),
        avatar,
        avatar_upload: row.try_get::<Option<_>, _>(first + 14)?.map(AvatarId),
    })
}

fn kind_at(row: &SqliteRow, column: usize) -> Result<PictureKind, sqlx::Error> {
    let media_type: &str = row.try_get(column)?;
    media_type.parse().map_err(|unknown| sqlx::Error::Decode(Box::new(unknown)))
}

/// A user alone in its row.
struct UserRow(User);

impl FromRow<'_, SqliteRow> for UserRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        user_at(row, 0).map(Self)
    }
}

#[async_trait]
impl UserQueries for Pooled {
    async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError> {
        const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?");
        let connection = self.ask("users.find")?;
        let found = sqlx::query_as::<_, UserRow>(SQL).bind(id.0).fetch_optional(connection).await;
        Ok(self.heard("users.find", found)?.map(|row| row.0))
    }

    async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError> {
        const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email_key = ?");
        let connection = self.ask("users.find_by_email")?;
        let found = sqlx::query_as::<_, UserRow>(SQL).bind(email.key()).fetch_optional(connection).await;
        Ok(self.heard("users.find_by_email", found)?.map(|row| row.0))
    }

    async fn list(
        &mut self,
        filter: &UserFilter,
        sort: UserSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<User>, PortError> {
        let connection = self.ask("users.list")?;
        let listed = list::page(connection, filter, sort, direction, page).await;
        self.heard("users.list", listed)
    }
}

#[async_trait]
impl UserRepository for Pooled {
    async fn insert(&mut self, user: &User) -> Result<(), PortError> {
        const SQL: &str = "INSERT INTO users (id, email, email_key, first_name, first_name_key, last_name, \
             last_name_key, role, is_active, is_email_verified, password, last_login, created_at, updated_at, version, \
             avatar_id, avatar_type, avatar_upload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let connection = self.ask("users.insert")?;
        let inserted = sqlx::query(SQL)
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
            .bind(user.version.0)
            .bind(user.avatar.map(|avatar| avatar.id.0))
            .bind(user.avatar.map(|avatar| avatar.kind.media_type()))
            .bind(user.avatar_upload.map(|upload| upload.0))
            .execute(connection)
            .await;
        self.heard("users.insert", inserted).map(drop)
    }

    async fn update(&mut self, user: &User) -> Result<(), PortError> {
        const SQL: &str = "UPDATE users SET email = ?, email_key = ?, first_name = ?, first_name_key = ?, \
             last_name = ?, last_name_key = ?, role = ?, is_active = ?, is_email_verified = ?, password = ?, \
             updated_at = ?, version = ?, avatar_id = ?, avatar_type = ?, avatar_upload = ? WHERE id = ? AND version = ?";
        let connection = self.ask("users.update")?;
        let updated = sqlx::query(SQL)
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
            .bind(user.version.0)
            .bind(user.avatar.map(|avatar| avatar.id.0))
            .bind(user.avatar.map(|avatar| avatar.kind.media_type()))
            .bind(user.avatar_upload.map(|upload| upload.0))
            .bind(user.id.0)
            .bind(i64::from(user.version.0) - 1)
            .execute(connection)
            .await;
        match self.heard("users.update", updated)?.rows_affected() {
            0 => Err(PortError::conflict("users.update", "users.version")),
            _ => Ok(()),
        }
    }

    async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError> {
        const SQL: &str = "UPDATE users SET last_login = ? WHERE id = ?";
        let connection = self.ask("users.record_login")?;
        let recorded = sqlx::query(SQL).bind(at.unix_micros()).bind(id.0).execute(connection).await;
        self.heard("users.record_login", recorded).map(drop)
    }

    async fn rehash(&mut self, id: UserId, from: &PasswordHash, to: &PasswordHash) -> Result<(), PortError> {
        const SQL: &str = "UPDATE users SET password = ? WHERE id = ? AND password = ?";
        let connection = self.ask("users.rehash")?;
        let replaced =
            sqlx::query(SQL).bind(to.expose()).bind(id.0).bind(from.expose()).execute(connection).await;
        self.heard("users.rehash", replaced).map(drop)
    }

    async fn remove(&mut self, id: UserId) -> Result<bool, PortError> {
        // The sessions go with it: ON DELETE CASCADE.
        const SQL: &str = "DELETE FROM users WHERE id = ?";
        let connection = self.ask("users.remove")?;
        let removed = sqlx::query(SQL).bind(id.0).execute(connection).await;
        Ok(self.heard("users.remove", removed)?.rows_affected() > 0)
    }

    async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError> {
        const SQL: &str = "SELECT count(*) FROM users WHERE role = 'admin' AND is_active = 1 AND id <> ?";
        let connection = self.ask("users.active_admins_besides")?;
        let counted = sqlx::query_scalar::<_, u64>(SQL).bind(id.0).fetch_one(connection).await;
        self.heard("users.active_admins_besides", counted)
    }
}
