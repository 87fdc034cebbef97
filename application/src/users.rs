//! Users: create, look up, list, change, remove; each asks the access table first.

use std::sync::Arc;

use portwright_domain::access::{Access, Action, Principal, Relation, Role, decide};
use portwright_domain::page::{Direction, Page, PageRequest};
use portwright_domain::password::NewPassword;
use portwright_domain::ports::{Clock, Consistency, IdGenerator, PasswordHasher, Seen, Store, UnitOfWork};
use portwright_domain::user::{Email, PasswordHash, PersonName, User, UserFilter, UserId, UserSort, Version};
use portwright_domain::{PortError, Race};

use crate::avatars::Avatars;
use crate::reads;
use crate::transact;
use crate::transact::{Committed, MaybeContended, Transactions, race_for_user};

/// Why a use case on users did not happen.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The caller's role may never do that.
    #[error("the role may not do that")]
    Forbidden,
    /// There is no such user, or the caller may not know of it.
    #[error("no such user")]
    NotFound,
    /// Another user has that address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Nobody would be left to administer.
    #[error("the last active admin must stay")]
    LastAdmin,
    /// The user is not at a version that the caller expected.
    #[error("the user has changed meanwhile")]
    Changed,
    /// The outside world failed.
    #[error(transparent)]
    Port(PortError),
}

impl From<PortError> for UserError {
    fn from(error: PortError) -> Self {
        if error.conflicts_on("users.email") { Self::EmailTaken } else { Self::Port(error) }
    }
}

impl MaybeContended for UserError {
    fn lost_race(&self) -> Option<Race> {
        match self {
            Self::Port(error) => race_for_user(error),
            _ => None,
        }
    }
}

/// A user to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Unique.
    pub email: Email,
    /// The first password.
    pub password: NewPassword,
    /// Given name.
    pub first_name: PersonName,
    /// Family name.
    pub last_name: PersonName,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may sign in.
    pub is_active: bool,
}

impl NewUser {
    /// The user as it will be stored.
    pub(crate) fn complete(self, password: PasswordHash, ids: &dyn IdGenerator, clock: &dyn Clock) -> User {
        self.complete_as(UserId(ids.next()), password, clock)
    }

    /// The same under an identity that is known already.
    pub(crate) fn complete_as(self, id: UserId, password: PasswordHash, clock: &dyn Clock) -> User {
        let now = clock.now();
        User {
            id,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            role: self.role,
            is_active: self.is_active,
            is_email_verified: false,
            password,
            avatar: None,
            avatar_upload: None,
            last_login: None,
            created_at: now,
            updated_at: now,
            version: Version::FIRST,
        }
    }
}

/// What is to be different; `None` leaves a field alone.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// A new address, which is not verified then.
    pub email: Option<Email>,
    /// Given name.
    pub first_name: Option<PersonName>,
    /// Family name.
    pub last_name: Option<PersonName>,
    /// What the user may do; another role ends the user's sessions.
    pub role: Option<Role>,
    /// Whether the user may sign in; `false` ends the user's sessions.
    pub is_active: Option<bool>,
}

impl UserChange {
    fn touches_standing(&self) -> bool {
        self.role.is_some() || self.is_active.is_some()
    }

    fn apply(&self, to: &User) -> User {
        let mut user = to.clone();
        if let Some(email) = self.email.as_ref().filter(|email| email.as_str() != to.email.as_str()) {
            user.is_email_verified &= *email == to.email;
            user.email = email.clone();
        }
        if let Some(name) = &self.first_name {
            user.first_name = name.clone();
        }
        if let Some(name) = &self.last_name {
            user.last_name = name.clone();
        }
        user.role = self.role.unwrap_or(to.role);
        user.is_active = self.is_active.unwrap_or(to.is_active);
        user
    }
}

/// Which users a caller wants to see, and how.
#[derive(Debug, Clone)]
pub struct UserListing {
    /// Who belongs in it.
    pub filter: UserFilter,
    /// What it is ordered by.
    pub sort: UserSort,
    /// In which direction.
    pub direction: Direction,
    /// Which page of it.
    pub page: PageRequest,
}

/// The use cases on users.
pub struct Users {
    store: Arc<dyn Store>,
    transactions: Transactions,
    avatars: Arc<Avatars>,
    hasher: Arc<dyn PasswordHasher>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
}

impl Users {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        transactions: Transactions,
        avatars: Arc<Avatars>,
        hasher: Arc<dyn PasswordHasher>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Self {
        Self { store, transactions, avatars, hasher, clock, ids }
    }

    /// One user, if it is there.
    pub async fn get(
        &self,
        caller: Principal,
        id: UserId,
        consistency: Consistency,
    ) -> Result<Seen<Option<User>>, UserError> {
        authorize(caller, Action::ReadUser, caller.relation_to(id))?;
        Ok(reads::user(&*self.store, id, consistency).await?)
    }

    /// A page of users.
    pub async fn list(
        &self,
        caller: Principal,
        listing: &UserListing,
        consistency: Consistency,
    ) -> Result<Seen<Page<User>>, UserError> {
        authorize(caller, Action::ListUsers, Relation::Others)?;
        let mut view = reads::view(&*self.store, consistency).await?;
        let UserListing { filter, sort, direction, page } = listing;
        let value = view.users().list(filter, *sort, *direction, page).await?;
        Ok(Seen { value, token: view.seen() })
    }

    /// Creates a user.
    pub async fn create(&self, caller: Principal, new: NewUser) -> Result<Committed<User>, UserError> {
        authorize(caller, Action::CreateUser, Relation::Others)?;
        let hash = self.hasher.hash(&new.password).await?;
        let user = new.complete(hash, &*self.ids, &*self.clock);
        let created: Result<Committed<()>, PortError> =
            transact!(self.transactions, "users.create", |uow| uow.users().insert(&user).await);
        Ok(created?.map(|()| user))
    }

    /// Changes a user. `expected` names the versions that the caller knows; the user must be at one of them.
    ///
    /// A change that changes nothing leaves the version alone.
    pub async fn change(
        &self,
        caller: Principal,
        id: UserId,
        change: UserChange,
        expected: Option<Vec<Version>>,
    ) -> Result<Committed<User>, UserError> {
        // First what a role may never do, then what it may not do to this user.
        if change.touches_standing() {
            authorize(caller, Action::ChangeStanding, caller.relation_to(id))?;
        }
        authorize(caller, Action::ChangeProfile, caller.relation_to(id))?;
        transact!(self.transactions, "users.change", |uow| {
            self.change_in(uow, id, &change, expected.as_deref()).await
        })
    }

    /// As [`Users::change`] by an admin, within the caller's transaction.
    pub(crate) async fn change_in(
        &self,
        uow: &mut dyn UnitOfWork,
        id: UserId,
        change: &UserChange,
        expected: Option<&[Version]>,
    ) -> Result<User, UserError> {
        let before = uow.users().find(id).await?.ok_or(UserError::NotFound)?;
        check_version(&before, expected)?;
        let mut after = change.apply(&before);
        if after == before && after.email.as_str() == before.email.as_str() {
            return Ok(before);
        }
        if before.is_active_admin() && !after.is_active_admin() {
            leave_an_admin(uow, id).await?;
        }
        after.version = before.version.next();
        after.updated_at = self.clock.now();
        uow.users().update(&after).await?;
        if after.role != before.role || !after.is_active {
            uow.sessions().remove_all(id, None).await?;
        }
        Ok(after)
    }

    /// Removes a user with all its sessions and pictures. `expected` as for [`Users::change`].
    pub async fn remove(
        &self,
        caller: Principal,
        id: UserId,
        expected: Option<Vec<Version>>,
    ) -> Result<Committed<()>, UserError> {
        authorize(caller, Action::RemoveUser, caller.relation_to(id))?;
        transact!(self.transactions, "users.remove", |uow| {
            self.remove_in(uow, id, expected.as_deref()).await
        })
    }

    async fn remove_in(
        &self,
        uow: &mut dyn UnitOfWork,
        id: UserId,
        expected: Option<&[Version]>,
    ) -> Result<(), UserError> {
        let user = uow.users().find(id).await?.ok_or(UserError::NotFound)?;
        check_version(&user, expected)?;
        if user.is_active_admin() {
            leave_an_admin(uow, id).await?;
        }
        uow.users().remove(id).await?;
        self.avatars.forget_in(uow, &user).await?;
        Ok(())
    }
}

fn check_version(user: &User, expected: Option<&[Version]>) -> Result<(), UserError> {
    if expected.is_some_and(|versions| !versions.contains(&user.version)) {
        return Err(UserError::Changed);
    }
    Ok(())
}

async fn leave_an_admin(uow: &mut dyn UnitOfWork, id: UserId) -> Result<(), UserError> {
    if uow.users().active_admins_besides(id).await? == 0 {
        return Err(UserError::LastAdmin);
    }
    Ok(())
}

fn authorize(caller: Principal, action: Action, relation: Relation) -> Result<(), UserError> {
    match decide(caller.role, action, relation) {
        Access::Granted => Ok(()),
        Access::Forbidden => Err(UserError::Forbidden),
        Access::Hidden => Err(UserError::NotFound),
    }
}
