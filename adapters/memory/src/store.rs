//! [`MemoryStore`]: all rows in maps that are copied when a unit of work first writes.
//!
//! A unit of work changes its own copy; committing puts it in place of the one that everybody reads. So a reader never
//! waits, sees the last commit as a whole, and keeps what it saw. Units of work come one after another, so no two
//! can break a rule together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use portwright_domain::job::{JobId, NewJob};
use portwright_domain::ports::{
    CommitToken, Consistency, IdempotencyRepository, Outbox, ReadView, SessionQueries, SessionRepository,
    Store, UnitOfWork, UserQueries, UserRepository,
};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::OwnedMutexGuard;

/// How many expired rows one call forgets.
pub(crate) const SWEEP: usize = 1_000;

/// What the text of every commit token of this store begins with.
const TOKEN_PREFIX: &str = "memory-";

/// A store that lives as long as the process.
#[derive(Debug)]
pub struct MemoryStore {
    committed: Arc<Mutex<Committed>>,
    /// Held by the one open unit of work.
    turn: Arc<tokio::sync::Mutex<()>>,
    patience: Duration,
}

/// What everybody reads.
#[derive(Debug, Default)]
struct Committed {
    rows: Rows,
    commits: u64,
}

/// One state of the store, shared until somebody changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows(Arc<Tables>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) users: BTreeMap<UserId, Arc<User>>,
    /// By [`Email::key`](portwright_domain::user::Email::key), which is unique.
    pub(crate) emails: HashMap<String, UserId>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) idempotency: HashMap<IdempotencyKey, IdempotencyRecord>,
    /// Not handed over yet; oldest first.
    pub(crate) outbox: Vec<NewJob>,
    pub(crate) handed_over: BTreeMap<JobId, NewJob>,
}

impl Rows {
    pub(crate) fn get(&self) -> &Tables {
        &self.0
    }

    /// The tables to be changed, copied first if somebody else still reads them.
    pub(crate) fn change(&mut self) -> &mut Tables {
        Arc::make_mut(&mut self.0)
    }
}

impl MemoryStore {
    /// An empty store, where a unit of work waits up to 5 s for the one before it.
    #[must_use]
    pub fn new() -> Self {
        Self::with_patience(Duration::from_secs(5))
    }

    /// An empty store, where a unit of work waits this long for the one before it, and then is `Contended`.
    #[must_use]
    pub fn with_patience(patience: Duration) -> Self {
        Self { committed: Arc::default(), turn: Arc::default(), patience }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Consistency::After(token) = &consistency {
            let commit =
                token.as_str().strip_prefix(TOKEN_PREFIX).and_then(|count| count.parse::<u64>().ok());
            // Every commit is visible at once, so the only question is whether it was one of ours.
            if commit.is_none_or(|commit| commit > committed.commits) {
                let detail = "the commit token is not of this store";
                return Err(PortError::new(ErrorKind::Unsupported, "store.read", detail));
            }
        }
        Ok(Box::new(committed.rows.clone()))
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        let turn =
            tokio::time::timeout(self.patience, self.turn.clone().lock_owned()).await.map_err(|elapsed| {
                let detail = "the unit of work before this one does not end";
                PortError::new(ErrorKind::Contended, "store.begin", detail).with_source(elapsed)
            })?;
        let rows = self.committed.lock().unwrap_or_else(PoisonError::into_inner).rows.clone();
        Ok(Box::new(MemoryUnitOfWork { rows, committed: self.committed.clone(), _turn: turn }))
    }
}

impl ReadView for Rows {
    fn users(&mut self) -> &mut dyn UserQueries {
        self
    }

    fn sessions(&mut self) -> &mut dyn SessionQueries {
        self
    }

    fn seen(&self) -> Option<CommitToken> {
        None
    }
}

/// Dropping it forgets its copy, which is all that a rollback is.
struct MemoryUnitOfWork {
    rows: Rows,
    committed: Arc<Mutex<Committed>>,
    _turn: OwnedMutexGuard<()>,
}

#[async_trait]
impl UnitOfWork for MemoryUnitOfWork {
    fn users(&mut self) -> &mut dyn UserRepository {
        &mut self.rows
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        &mut self.rows
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        &mut self.rows
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        &mut self.rows
    }

    async fn commit(self: Box<Self>) -> Result<CommitToken, PortError> {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.rows = self.rows.clone();
        committed.commits += 1;
        Ok(CommitToken::new(format!("{TOKEN_PREFIX}{}", committed.commits)))
    }

    async fn rollback(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_unit_of_work_does_not_wait_for_ever_for_the_one_before_it() {
        let store = MemoryStore::with_patience(Duration::from_millis(20));
        let open = store.begin().await.expect("nobody is before it");
        let refused = store.begin().await.err().expect("the first one is still open");
        assert_eq!(refused.kind(), ErrorKind::Contended);
        drop(open);
        assert!(store.begin().await.is_ok());
    }

    #[tokio::test]
    async fn a_token_of_a_commit_that_never_was_is_unsupported() {
        let ahead = MemoryStore::new();
        let mut token = None;
        for _ in 0..2 {
            token = Some(ahead.begin().await.expect("it begins").commit().await.expect("it commits"));
        }
        let behind = MemoryStore::new();
        behind.begin().await.expect("it begins").commit().await.expect("it commits");
        let after = Consistency::After(token.expect("there were two commits"));
        assert!(ahead.read(after.clone()).await.is_ok());
        let refused = behind.read(after).await.err().expect("it had one commit only");
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}
