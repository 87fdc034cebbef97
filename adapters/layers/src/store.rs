//! The store behind its guards.
//!
//! Three of them, because parts of a store are down alone: without a primary there are still reads; while its disk is
//! full, or two servers claim to be the primary, the newest state can still be read, on which every signed-in request
//! depends. A view or a unit of work belongs to the guard that let it in.

mod opened;

use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Consistency, ReadView, Store, UnitOfWork};

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

#[async_trait]
impl Store for GuardedStore {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        let guard = match consistency {
            Consistency::Strong => &self.strong,
            Consistency::Eventual | Consistency::After(_) => &self.reads,
        };
        let view = guard.call("store.read", self.store.read(consistency)).await?;
        Ok(Box::new(Opened::new(view, guard, &self.policy)))
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        let unit = self.writes.call("store.begin", self.store.begin()).await?;
        Ok(Box::new(Opened::new(unit, &self.writes, &self.policy)))
    }
}
