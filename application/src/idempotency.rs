//! Idempotency keys: the first request with a key runs, every other gets its answer.
//!
//! A claim and the effect it guards are two transactions. If the process dies between them, the key stays claimed for
//! [`RUNNING_FOR`], and a retry after that runs again; rules such as a unique e-mail address decide then.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::idempotency::{Claim, Fingerprint, IdempotencyKey, IdempotencyRecord, Progress};
use portwright_domain::ports::{Clock, UnitOfWork};
use portwright_domain::{PortError, Race};

use tokio::time::{Instant, sleep};

use crate::transact;
use crate::transact::{Committed, MaybeContended, Transactions};

/// How long a first request may take before its key counts as abandoned; longer than any request may run.
pub const RUNNING_FOR: Duration = Duration::from_mins(2);
/// How long before the end of a claim nobody touches it any more: it may be another's soon.
const MARGIN: Duration = Duration::from_secs(10);
/// The first wait before a key is settled that could not be settled at once; twice as long after each further try, up to
/// [`LAST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long an answer is kept.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// The use cases on idempotency keys.
pub struct Idempotency {
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl Idempotency {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self { transactions, clock }
    }

    /// Claims a key for a request. After [`Claim::Granted`], the caller completes or abandons it. The token is that of the
    /// newest state, so a replay that tells it takes nobody back to the state of the first answer.
    pub async fn claim(
        &self,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Committed<Claim>, PortError> {
        let claimed: Result<Committed<Claim>, Lost> =
            transact!(self.transactions, "idempotency.claim", |uow| self
                .claim_in(uow, key, fingerprint)
                .await);
        claimed.map_err(|Lost(error)| error)
    }

    async fn claim_in(
        &self,
        uow: &mut dyn UnitOfWork,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Claim, Lost> {
        let now = self.clock.now();
        let keys = uow.idempotency();
        let mut begun_at = now;
        if let Some(record) = keys.find(key).await? {
            if let Some(claim) = record.claim(fingerprint, now) {
                return Ok(claim);
            }
            begun_at = record.begun(fingerprint).unwrap_or(now);
            keys.remove(key).await?;
        }
        // What failed may be tried again, for as long as an answer would have been kept.
        keys.remove_expired(now.minus(KEPT_FOR)).await?;
        let expires_at = now.plus(RUNNING_FOR);
        let (key, progress) = (key.clone(), Progress::Running);
        keys.insert(&IdempotencyRecord { key, fingerprint, progress, begun_at, expires_at }).await?;
        Ok(Claim::Granted { begun_at })
    }

    /// Completes a key with this, or abandons it if that is nothing, as soon as the store allows; gives up when the claim is
    /// about to expire, which was made then.
    ///
    /// # Errors
    /// Why the last try failed. Until the claim expires, a retry is told that the first request is still running.
    pub async fn settle(
        &self,
        key: &IdempotencyKey,
        kept: Option<Progress>,
        claimed: Instant,
    ) -> Result<(), PortError> {
        let deadline = claimed + RUNNING_FOR.saturating_sub(MARGIN);
        let mut wait = FIRST_WAIT;
        loop {
            let settled = match kept.clone() {
                Some(progress) => self.complete(key, progress).await,
                None => self.abandon(key).await,
            };
            if settled.is_ok() || Instant::now() + wait > deadline {
                return settled;
            }
            sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Keeps the answer of the first request, or that it may not be kept.
    pub async fn complete(&self, key: &IdempotencyKey, progress: Progress) -> Result<(), PortError> {
        let expires_at = self.clock.now().plus(KEPT_FOR);
        let done: Result<Committed<bool>, PortError> =
            transact!(self.transactions, "idempotency.complete", |uow| {
                uow.idempotency().update(key, &progress, expires_at).await
            });
        done.map(drop)
    }

    /// Ends a claim whose request failed, so that it may be sent again, or another with its key.
    pub async fn abandon(&self, key: &IdempotencyKey) -> Result<(), PortError> {
        let now = self.clock.now();
        let done: Result<Committed<bool>, PortError> =
            transact!(self.transactions, "idempotency.abandon", |uow| {
                uow.idempotency().update(key, &Progress::Running, now).await
            });
        done.map(drop)
    }
}

/// Losing the race for a key is a reason to look again: the winner's record is there now.
struct Lost(PortError);

impl From<PortError> for Lost {
    fn from(error: PortError) -> Self {
        Self(error)
    }
}

impl MaybeContended for Lost {
    fn lost_race(&self) -> Option<Race> {
        self.0.race().or_else(|| self.0.conflicts_on("idempotency.key").then_some(Race::Rule))
    }
}
