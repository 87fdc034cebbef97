//! Users in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::Timestamp;
use portwright_domain::page::{Direction, Page, PageRequest, Position, Rest};
use portwright_domain::ports::{UserQueries, UserRepository};
use portwright_domain::user::{Email, PasswordHash, User, UserFilter, UserId, UserSort};

use crate::store::Rows;

#[async_trait]
impl UserQueries for Rows {
    async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError> {
        Ok(self.get().users.get(&id).map(|user| User::clone(user)))
    }

    async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError> {
        let tables = self.get();
        let user = tables.emails.get(email.key()).and_then(|id| tables.users.get(id));
        Ok(user.map(|user| User::clone(user)))
    }

    async fn list(
        &mut self,
        filter: &UserFilter,
        sort: UserSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<User>, PortError> {
        let directed = |order: Ordering| match direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        };
        let mut found: Vec<(Position, &Arc<User>)> = self
            .get()
            .users
            .values()
            .filter(|user| filter.matches(user))
            .map(|user| (Position { key: sort.key_of(user), id: user.id.0 }, user))
            .collect();
        found.sort_by(|(a, _), (b, _)| directed(a.cmp(b)));

        let total = found.len();
        let limit = page.limit().get() as usize;
        let skipped = match page {
            PageRequest::Numbered { page, .. } => (*page as usize).saturating_sub(1).saturating_mul(limit),
            PageRequest::Walk { after: None, .. } => 0,
            PageRequest::Walk { after: Some(after), .. } => {
                found.partition_point(|(position, _)| directed(position.cmp(after)).is_le())
            }
        };
        let mut shown = found.into_iter().skip(skipped).take(limit).peekable();
        let mut rows = Vec::new();
        let mut last = None;
        while let Some((position, user)) = shown.next() {
            rows.push(User::clone(user));
            if shown.peek().is_none() {
                last = Some(position);
            }
        }
        let rest = match page {
            PageRequest::Numbered { .. } => Rest::Total(total as u64),
            PageRequest::Walk { .. } => Rest::Next(last.filter(|_| skipped + rows.len() < total)),
        };
        Ok(Page { rows, rest })
    }
}

#[async_trait]
impl UserRepository for Rows {
    async fn insert(&mut self, user: &User) -> Result<(), PortError> {
        const OPERATION: &str = "users.insert";
        if self.get().users.contains_key(&user.id) {
            return Err(PortError::conflict(OPERATION, "users.id"));
        }
        self.claim_email(user, OPERATION)?;
        self.change().users.insert(user.id, Arc::new(user.clone()));
        Ok(())
    }

    async fn update(&mut self, user: &User) -> Result<(), PortError> {
        const OPERATION: &str = "users.update";
        let stored = self.get().users.get(&user.id).filter(|stored| stored.version.next() == user.version);
        let Some(stored) = stored.cloned() else {
            return Err(PortError::conflict(OPERATION, "users.version"));
        };
        self.claim_email(user, OPERATION)?;
        let tables = self.change();
        if stored.email != user.email {
            tables.emails.remove(stored.email.key());
        }
        let updated = User { created_at: stored.created_at, last_login: stored.last_login, ..user.clone() };
        tables.users.insert(user.id, Arc::new(updated));
        Ok(())
    }

    async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError> {
        if let Some(user) = self.change().users.get_mut(&id) {
            Arc::make_mut(user).last_login = Some(at);
        }
        Ok(())
    }

    async fn rehash(&mut self, id: UserId, from: &PasswordHash, to: &PasswordHash) -> Result<(), PortError> {
        if let Some(user) = self.change().users.get_mut(&id).filter(|user| user.password == *from) {
            Arc::make_mut(user).password = to.clone();
        }
        Ok(())
    }

    async fn remove(&mut self, id: UserId) -> Result<bool, PortError> {
        let tables = self.change();
        let Some(user) = tables.users.remove(&id) else {
            return Ok(false);
        };
        tables.emails.remove(user.email.key());
        tables.sessions.retain(|_, session| session.user_id != id);
        Ok(true)
    }

    async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError> {
        let users = self.get().users.values();
        Ok(users.filter(|user| user.is_active_admin() && user.id != id).count() as u64)
    }
}

impl Rows {
    /// Enters the address of `user` unless it is another's.
    fn claim_email(&mut self, user: &User, operation: &'static str) -> Result<(), PortError> {
        if self.get().emails.get(user.email.key()).is_some_and(|owner| *owner != user.id) {
            return Err(PortError::conflict(operation, "users.email"));
        }
        self.change().emails.insert(user.email.key().to_owned(), user.id);
        Ok(())
    }
}
