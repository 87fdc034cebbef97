//! [`Flaky`]: a port that works until a test gives it a cue.
//!
//! ```
//! # use std::sync::Arc;
//! use portwright_domain::ErrorKind;
//! use portwright_domain::ports::Store;
//! use portwright_testkit::faults::{Fault, Flaky, When};
//!
//! # fn wire(store: Arc<dyn Store>) {
//! let store: Arc<Flaky<dyn Store>> = Arc::new(Flaky::new(store));
//! // The service under test is given `store.clone()`; the first commit from now on loses its race.
//! store.cue(When::NthOf("store.commit", 1), Fault::Refuse(ErrorKind::Contended));
//! # }
//! ```

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{
    Cache, CacheKey, CommitToken, Consistency, Decision, IdempotencyRepository, Outbox, PasswordHasher,
    Quota, RateKey, RateLimiter, ReadView, SessionRepository, Store, UnitOfWork, UserRepository, Verdict,
};
use portwright_domain::user::PasswordHash;
use portwright_domain::{ErrorKind, PortError};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing happened.
    Refuse(ErrorKind),
    /// It fails although everything happened: the answer was lost on its way.
    LoseAnswer(ErrorKind),
    /// It takes this much longer, in real time.
    Delay(Duration),
}

/// Which calls go wrong. An operation is named as in the table at [`Flaky`]; calls count from 1, from the cue on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every call.
    Always,
    /// The call of this number.
    Nth(u64),
    /// Every call of this operation.
    Every(&'static str),
    /// The call of this operation of this number.
    NthOf(&'static str, u64),
}

/// A port that misbehaves on cue, and otherwise does what the port inside does.
///
/// | port | operations |
/// |---|---|
/// | [`Store`] | `store.read`, `store.begin`, `store.commit` |
/// | [`Cache`] | `cache.get`, `cache.put`, `cache.remove` |
/// | [`RateLimiter`] | `limiter.take`, `limiter.peek` |
/// | [`PasswordHasher`] | `hasher.hash`, `hasher.verify`, `hasher.verify_nobody` |
#[derive(Debug)]
pub struct Flaky<P: ?Sized> {
    faults: Arc<Faults>,
    port: Arc<P>,
}

#[derive(Debug, Default)]
struct Faults(Mutex<Script>);

#[derive(Debug, Default)]
struct Script {
    cues: Vec<Cue>,
    calls: u64,
}

#[derive(Debug)]
struct Cue {
    when: When,
    fault: Fault,
    /// How many calls that the cue is about were seen.
    seen: u64,
}

impl<P: ?Sized> Flaky<P> {
    /// Works like `port` until it is given a cue.
    #[must_use]
    pub fn new(port: Arc<P>) -> Self {
        Self { faults: Arc::default(), port }
    }

    /// From now on these calls go wrong like this. Of several cues for one call the first one given counts.
    pub fn cue(&self, when: When, fault: Fault) {
        self.faults.script().cues.push(Cue { when, fault, seen: 0 });
    }

    /// Forgets all cues: every call works again.
    pub fn recover(&self) {
        self.faults.script().cues.clear();
    }

    /// How often the port was called, whatever came of it.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.faults.script().calls
    }
}

impl Cue {
    /// Takes note of a call; whether it goes wrong.
    fn strikes(&mut self, operation: &str) -> bool {
        let (about, number) = match self.when {
            When::Always => (true, None),
            When::Nth(number) => (true, Some(number)),
            When::Every(wanted) => (wanted == operation, None),
            When::NthOf(wanted, number) => (wanted == operation, Some(number)),
        };
        self.seen += u64::from(about);
        about && number.is_none_or(|number| number == self.seen)
    }
}

impl Faults {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, operation: &str) -> Option<Fault> {
        let mut script = self.script();
        script.calls += 1;
        // Every cue takes note of every call, also of those that go wrong by another one.
        let mut fault = None;
        for cue in &mut script.cues {
            if cue.strikes(operation) {
                fault = fault.or(Some(cue.fault));
            }
        }
        fault
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        match self.next(operation) {
            None => call.await,
            Some(Fault::Refuse(kind)) => Err(PortError::new(kind, operation, "refused on cue")),
            Some(Fault::LoseAnswer(kind)) => {
                call.await?;
                Err(PortError::new(kind, operation, "the answer was lost on cue"))
            }
            Some(Fault::Delay(by)) => {
                tokio::time::sleep(by).await;
                call.await
            }
        }
    }
}

#[async_trait]
impl<P: Store + ?Sized> Store for Flaky<P> {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        self.faults.call("store.read", self.port.read(consistency)).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        let unit = self.faults.call("store.begin", self.port.begin()).await?;
        Ok(Box::new(FlakyUnit { faults: self.faults.clone(), unit }))
    }
}

/// A unit of work whose commit misbehaves on the cues of its store.
struct FlakyUnit {
    faults: Arc<Faults>,
    unit: Box<dyn UnitOfWork>,
}

#[async_trait]
impl UnitOfWork for FlakyUnit {
    fn users(&mut self) -> &mut dyn UserRepository {
        self.unit.users()
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        self.unit.sessions()
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        self.unit.idempotency()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.unit.outbox()
    }

    async fn commit(self: Box<Self>) -> Result<CommitToken, PortError> {
        self.faults.call("store.commit", self.unit.commit()).await
    }

    async fn rollback(self: Box<Self>) -> Result<(), PortError> {
        self.unit.rollback().await
    }
}

#[async_trait]
impl<P: Cache + ?Sized> Cache for Flaky<P> {
    async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError> {
        self.faults.call("cache.get", self.port.get(key)).await
    }

    async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError> {
        self.faults.call("cache.put", self.port.put(key, value, ttl)).await
    }

    async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError> {
        self.faults.call("cache.remove", self.port.remove(keys)).await
    }
}

#[async_trait]
impl<P: RateLimiter + ?Sized> RateLimiter for Flaky<P> {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.faults.call("limiter.take", self.port.take(key, quota)).await
    }

    async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError> {
        self.faults.call("limiter.peek", self.port.peek(key, quota)).await
    }
}

#[async_trait]
impl<P: PasswordHasher + ?Sized> PasswordHasher for Flaky<P> {
    fn at_once(&self) -> usize {
        self.port.at_once()
    }

    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError> {
        self.faults.call("hasher.hash", self.port.hash(password)).await
    }

    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError> {
        self.faults.call("hasher.verify", self.port.verify(password, hash)).await
    }

    async fn verify_nobody(&self, password: &Password) -> Result<(), PortError> {
        self.faults.call("hasher.verify_nobody", self.port.verify_nobody(password)).await
    }
}
