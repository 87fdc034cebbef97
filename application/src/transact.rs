//! Transactions that start over when they lose a race.
//!
//! A unit of work that answers `Contended` did nothing, so the same work may be tried again from its start: with
//! decorrelated jitter, ten times at most, within five seconds. Whoever has lost five races works alone in this process,
//! so that the same ones do not lose for ever. It is a loop, not a closure, because closures that borrow a unit of work
//! across an await do not compile as `Send` (decision record 4).
//!
//! Only what happens inside the unit of work is repeated. Hash passwords and issue tokens outside of it.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Event, Observer, Store, UnitOfWork};
use portwright_domain::{PortError, Race};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::{Instant, timeout};

use crate::compute::Bell;
use crate::jitter::random_share;

const MOST_TRIES: u32 = 10;
/// Tries beside others.
const TRIES_IN_COMPANY: u32 = 5;
/// Nobody waits longer than this for others to end before working alone, or for who works alone.
const LONGEST_TURN: Duration = Duration::from_secs(1);
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
    /// Held by everybody at once, or by one alone.
    company: Arc<RwLock<()>>,
}

impl Transactions {
    /// Transactions on this store.
    pub fn new(store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Self {
        Self { store, observer, bell: Bell::default(), company: Arc::default() }
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
        Attempts { transactions: self, operation, tries: 0, last_wait: SHORTEST_WAIT, deadline, turn: None }
    }
}

/// The tries of one piece of work.
pub struct Attempts<'a> {
    transactions: &'a Transactions,
    operation: &'static str,
    tries: u32,
    last_wait: Duration,
    deadline: Instant,
    turn: Option<Turn>,
}

/// The right to a try. Nobody needs it for the work to be right, so whoever does not get it in time goes on without.
enum Turn {
    InCompany { _held: OwnedRwLockReadGuard<()> },
    Alone { _held: OwnedRwLockWriteGuard<()> },
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
            self.turn = self.turn().await;
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

    /// Waits for those who work alone to end; after five lost races, for everybody.
    async fn turn(&self) -> Option<Turn> {
        let company = self.transactions.company.clone();
        let turn = async {
            if self.tries > TRIES_IN_COMPANY {
                Turn::Alone { _held: company.write_owned().await }
            } else {
                Turn::InCompany { _held: company.read_owned().await }
            }
        };
        timeout(LONGEST_TURN, turn).await.ok()
    }

    /// Ends the turn, and waits before another try; false if there is none left.
    async fn wait(&mut self, race: Race) -> bool {
        self.turn = None;
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
