//! What an operator does at the command line, where nobody is signed in and the access table does not apply.

use std::sync::Arc;

use portwright_domain::access::Role;
use portwright_domain::page::{Direction, Limit, PageRequest, Position, Rest};
use portwright_domain::password::NewPassword;
use portwright_domain::ports::{Clock, Consistency, IdGenerator, PasswordHasher, Store, UnitOfWork};
use portwright_domain::user::{Email, PasswordHash, User, UserFilter, UserSort};
use portwright_domain::{PortError, Timestamp};

use crate::transact;
use crate::transact::{Committed, Transactions};
use crate::users::{NewUser, UserChange, UserError, Users};

/// The use cases of an operator.
pub struct Operators {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transactions: Transactions,
    pub(crate) users: Arc<Users>,
    pub(crate) hasher: Arc<dyn PasswordHasher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGenerator>,
}

impl Operators {
    /// Whether there is any user yet.
    pub async fn has_users(&self) -> Result<bool, UserError> {
        let mut view = self.store.read(Consistency::Strong).await?;
        let page = PageRequest::Walk { after: None, limit: Limit::DEFAULT };
        let all = UserFilter::default();
        let page = view.users().list(&all, UserSort::CreatedAt, Direction::Ascending, &page).await?;
        Ok(!page.rows.is_empty())
    }

    /// Creates a user of any role; the address counts as verified, since the operator gave it.
    pub async fn create(&self, new: NewUser) -> Result<User, UserError> {
        let hash = self.hasher.hash(&new.password).await?;
        let mut user = new.complete(hash, &*self.ids, &*self.clock);
        user.is_email_verified = true;
        let done: Result<Committed<()>, PortError> =
            transact!(self.transactions, "operators.create", |uow| uow.users().insert(&user).await);
        done?;
        Ok(user)
    }

    /// Gives a user another password and ends all its sessions.
    pub async fn set_password(&self, email: &Email, password: &NewPassword) -> Result<User, UserError> {
        let hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        let done: Result<Committed<User>, UserError> =
            transact!(self.transactions, "operators.set_password", |uow| {
                set_password_in(uow, email, &hash, now).await
            });
        done.map(|committed| committed.value)
    }

    /// Gives a user another role.
    pub async fn set_role(&self, email: &Email, role: Role) -> Result<User, UserError> {
        self.change(email, UserChange { role: Some(role), ..UserChange::default() }).await
    }

    /// Lets a user sign in, or not.
    pub async fn set_active(&self, email: &Email, is_active: bool) -> Result<User, UserError> {
        self.change(email, UserChange { is_active: Some(is_active), ..UserChange::default() }).await
    }

    async fn change(&self, email: &Email, change: UserChange) -> Result<User, UserError> {
        let done: Result<Committed<User>, UserError> =
            transact!(self.transactions, "operators.change", |uow| {
                self.change_in(uow, email, &change).await
            });
        done.map(|committed| committed.value)
    }

    async fn change_in(
        &self,
        uow: &mut dyn UnitOfWork,
        email: &Email,
        change: &UserChange,
    ) -> Result<User, UserError> {
        let user = uow.users().find_by_email(email).await?.ok_or(UserError::NotFound)?;
        self.users.change_in(uow, user.id, change, None).await
    }

    /// Up to 100 users, oldest first, behind `after`, and whether there are more.
    pub async fn list(&self, after: Option<&User>) -> Result<(Vec<User>, bool), UserError> {
        let sort = UserSort::CreatedAt;
        let after = after.map(|user| Position { key: sort.key_of(user), id: user.id.0 });
        let page = PageRequest::Walk { after, limit: Limit::MAX };
        let mut view = self.store.read(Consistency::Strong).await?;
        let page = view.users().list(&UserFilter::default(), sort, Direction::Ascending, &page).await?;
        Ok((page.rows, matches!(page.rest, Rest::Next(Some(_)))))
    }
}

async fn set_password_in(
    uow: &mut dyn UnitOfWork,
    email: &Email,
    hash: &PasswordHash,
    now: Timestamp,
) -> Result<User, UserError> {
    let before = uow.users().find_by_email(email).await?.ok_or(UserError::NotFound)?;
    let user = User { password: hash.clone(), updated_at: now, version: before.version.next(), ..before };
    uow.users().update(&user).await?;
    uow.sessions().remove_all(user.id, None).await?;
    Ok(user)
}
