//! Transactions that start over when they lose a race.
//!
//! A unit of work that answers `Contended` did nothing, so the same work may be tried again from its start: with
//! decorrelated jitter, ten times at most, within five seconds. It is a loop, not a closure, because closures that
//! borrow a unit of work across an await do not compile as `Send` (decision record 4).
//!
//! Only what happens inside the unit of work is repeated. Hash passwords and issue tokens outside of it.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Event, Observer, Store, UnitOfWork};
use portwright_domain::{PortError, Race};
use tokio::time::Instant;

use crate::compute::Bell;
use crate::jitter::random_share;

const MOST_TRIES: u32 = 10;
const TIME_LIMIT: Duration = Duration::from_secs(5);
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What a committed transaction answered, with the proof of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T> {
    /// The answer.
    pub value: T,
    /// A later read that gives it back sees at least this commit.
    pub token: CommitToken,
}

impl<T> Committed<T> {
    /// The same commit with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Committed<U> {
        Committed { value: change(self.value), token: self.token }
    }
}

/// Errors of use cases, as far as a transaction must understand them.
pub trait MaybeContended: From<PortError> {
    /// The race that was lost, if it was one: the work may be tried again from its start then.
    fn lost_race(&self) -> Option<Race>;
}

impl MaybeContended for PortError {
    fn lost_race(&self) -> Option<Race> {
        self.race()
    }
}

/// The same for work that finds a row in its own transaction and changes it by its version: whoever has changed it since
/// won a race.
pub(crate) fn race_for_user(error: &PortError) -> Option<Race> {
    error.race().or_else(|| error.conflicts_on("users.version").then_some(Race::Rule))
}

/// Opens transactions for the use cases.
#[derive(Clone)]
pub struct Transactions {
    store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
    bell: Bell,
}

impl Transactions {
    /// Transactions on this store.
    pub fn new(store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Self {
        Self { store, observer, bell: Bell::default() }
    }

    /// Rings this bell after each commit, so that jobs written in a transaction start at once.
    #[must_use]
    pub fn ringing(mut self, bell: Bell) -> Self {
        self.bell = bell;
        self
    }

    /// The tries of one piece of work, named for the metrics; see [`transact!`](crate::transact!).
    #[must_use]
    pub fn attempts(&self, operation: &'static str) -> Attempts<'_> {
        let deadline = Instant::now() + TIME_LIMIT;
        Attempts { transactions: self, operation, tries: 0, last_wait: SHORTEST_WAIT, deadline }
    }
}

/// The tries of one piece of work.
pub struct Attempts<'a> {
    transactions: &'a Transactions,
    operation: &'static str,
    tries: u32,
    last_wait: Duration,
    deadline: Instant,
}

/// Whether a try decided the matter.
pub enum Settled<T, E> {
    /// It is decided.
    Done(Result<Committed<T>, E>),
    /// A race was lost, and there is time for another try.
    Again,
}

impl Attempts<'_> {
    /// Opens the unit of work of the next try.
    ///
    /// # Errors
    /// What the store answers, once there is no time for another try.
    pub async fn begin(&mut self) -> Result<Box<dyn UnitOfWork>, PortError> {
        loop {
            self.tries += 1;
            match self.transactions.store.begin().await {
                Err(error) => match error.race() {
                    Some(race) if self.wait(race).await => {}
                    _ => return Err(error),
                },
                begun => return begun,
            }
        }
    }

    /// Commits what succeeded, rolls back what failed, and says whether to try again.
    pub async fn settle<T, E: MaybeContended>(
        &mut self,
        unit: Box<dyn UnitOfWork>,
        result: Result<T, E>,
    ) -> Settled<T, E> {
        let error = match result {
            Ok(value) => match unit.commit().await {
                Ok(token) => {
                    self.transactions.bell.committed();
                    return Settled::Done(Ok(Committed { value, token }));
                }
                Err(error) => E::from(error),
            },
            Err(error) => {
                // The store undoes it anyway; that it could not be told must not hide the first error.
                if let Err(rollback) = unit.rollback().await {
                    tracing::warn!(error = %rollback, "could not roll back");
                }
                error
            }
        };
        match error.lost_race() {
            Some(race) if self.wait(race).await => Settled::Again,
            _ => Settled::Done(Err(error)),
        }
    }

    /// Waits before another try; false if there is none left.
    async fn wait(&mut self, race: Race) -> bool {
        let ceiling = (self.last_wait * 3).min(LONGEST_WAIT);
        let wait = SHORTEST_WAIT + (ceiling.saturating_sub(SHORTEST_WAIT)).mul_f64(random_share());
        if self.tries >= MOST_TRIES || Instant::now() + wait >= self.deadline {
            return false;
        }
        self.last_wait = wait;
        let operation = self.operation;
        self.transactions.observer.observe(&Event::TransactionRetried { operation, race });
        tokio::time::sleep(wait).await;
        true
    }
}

/// Runs an expression in a unit of work, again and again while it loses races:
/// `transact!(self.transactions, "users.change", |uow| self.change_in(uow, id, &change).await)` is a
/// `Result<Committed<T>, E>` where the expression is a `Result<T, E>`.
#[macro_export]
macro_rules! transact {
    ($transactions:expr, $operation:literal, |$uow:ident| $work:expr) => {{
        let mut attempts = $transactions.attempts($operation);
        loop {
            let mut unit = match attempts.begin().await {
                Ok(unit) => unit,
                Err(error) => break Err(::core::convert::From::from(error)),
            };
            let result = {
                let $uow = &mut *unit;
                $work
            };
            if let $crate::transact::Settled::Done(done) = attempts.settle(unit, result).await {
                break done;
            }
        }
    }};
}
