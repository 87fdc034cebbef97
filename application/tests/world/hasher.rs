//! [`WatchedHasher`]: counts what it is asked, and holds it up while a test does something else.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{PasswordHasher, Verdict};
use portwright_domain::user::PasswordHash;
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::Semaphore;

pub(crate) struct WatchedHasher {
    inner: Arc<dyn PasswordHasher>,
    hashed: AtomicU32,
    verified: AtomicU32,
    is_busy: AtomicBool,
    gate: Mutex<Option<Arc<Gate>>>,
}

/// Where verifications stand until a test lets them go on, in the order in which they came.
pub(crate) struct Gate {
    arrived: Semaphore,
    passes: Semaphore,
}

impl WatchedHasher {
    pub(crate) fn new(inner: Arc<dyn PasswordHasher>) -> Self {
        Self {
            inner,
            hashed: AtomicU32::default(),
            verified: AtomicU32::default(),
            is_busy: AtomicBool::default(),
            gate: Mutex::default(),
        }
    }

    /// How many passwords were hashed and how many verified since the last call.
    pub(crate) fn take_counts(&self) -> (u32, u32) {
        (self.hashed.swap(0, Ordering::SeqCst), self.verified.swap(0, Ordering::SeqCst))
    }

    /// From here on no password is hashed; verifying still works.
    pub(crate) fn refuse_to_hash(&self) {
        self.is_busy.store(true, Ordering::SeqCst);
    }

    /// From here on every verification waits at the gate.
    pub(crate) fn hold(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate { arrived: Semaphore::new(0), passes: Semaphore::new(0) });
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
        gate
    }

    /// From here on nobody waits who does not wait already.
    pub(crate) fn hold_no_more(&self) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn count_verification(&self) {
        self.verified.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(gate) = gate {
            gate.arrived.add_permits(1);
            gate.passes.acquire().await.expect("never closed").forget();
        }
    }
}

impl Gate {
    /// Waits until this many more stand at the gate.
    pub(crate) async fn arrivals(&self, count: u32) {
        self.arrived.acquire_many(count).await.expect("never closed").forget();
    }

    /// Lets the next `count` go on.
    pub(crate) fn pass(&self, count: usize) {
        self.passes.add_permits(count);
    }
}

#[async_trait]
impl PasswordHasher for WatchedHasher {
    fn at_once(&self) -> usize {
        self.inner.at_once()
    }

    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError> {
        self.hashed.fetch_add(1, Ordering::SeqCst);
        if self.is_busy.load(Ordering::SeqCst) {
            return Err(PortError::new(ErrorKind::Unavailable, "hasher.hash", "too many are waiting"));
        }
        self.inner.hash(password).await
    }

    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError> {
        self.count_verification().await;
        self.inner.verify(password, hash).await
    }

    async fn verify_nobody(&self, password: &Password) -> Result<(), PortError> {
        self.count_verification().await;
        self.inner.verify_nobody(password).await
    }
}
