//! The store behind its guards.
//!
//! Three of them, because parts of a store are down alone: without a primary there are still reads; while its disk is
//! full, or two servers claim to be the primary, the newest state can still be read, on which every signed-in request
//! depends. A view or a unit of work belongs to the guard that let it in.

mod opened;

use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Consistency, ReadView, Seen, Store, UnitOfWork};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};

use self::opened::Opened;
use crate::guard::Guard;
use crate::policy::StorePolicy;

pub(crate) struct GuardedStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writes: Guard,
    pub(crate) strong: Guard,
    pub(crate) reads: Guard,
    pub(crate) policy: StorePolicy,
}

impl GuardedStore {
    const fn guard_of(&self, consistency: &Consistency) -> &Guard {
        match consistency {
            Consistency::Strong => &self.strong,
            Consistency::Eventual | Consistency::After(_) => &self.reads,
        }
    }
}

#[async_trait]
impl Store for GuardedStore {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        let guard = self.guard_of(&consistency);
        let view = guard.call("store.read", self.store.read(consistency)).await?;
        Ok(Box::new(Opened::new(view, guard, &self.policy)))
    }

    async fn session(&self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        let guard = self.strong.with_deadline(self.policy.question);
        guard.call("sessions.find_with_user", self.store.session(id)).await
    }

    async fn user(&self, id: UserId, consistency: Consistency) -> Result<Seen<Option<User>>, PortError> {
        let guard = self.guard_of(&consistency).with_deadline(self.policy.question);
        guard.call("users.find", self.store.user(id, consistency)).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        let unit = self.writes.call("store.begin", self.store.begin()).await?;
        Ok(Box::new(Opened::new(unit, &self.writes, &self.policy)))
    }
}
