//! Passwords with Argon2id (RFC 9106), kept as PHC strings.
//!
//! A hash takes tens of milliseconds and 19 MiB, by design. So hashes are made by a few threads of their own, which
//! yield to the threads that serve requests; who comes while too many wait is refused at once. That bounds time and
//! memory, whatever the number of callers.

mod pool;
mod recipe;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::argon2::password_hash::phc;
use async_trait::async_trait;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{PasswordHasher, Verdict};
use portwright_domain::user::PasswordHash;
use portwright_domain::{ErrorKind, PortError};

use self::pool::{Memory, Pool, Refused};
use self::recipe::{Recipe, Stored};

/// What one hash costs whoever makes it: us once, and the thief of a hash once per guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, from 8 per lane up to [`Cost::MAX_MEMORY_KIB`].
    pub memory_kib: u32,
    /// Passes over the memory, from 1 up to [`Cost::MAX_PASSES`].
    pub passes: u32,
    /// Parts of the memory that could be filled side by side; we fill them one after the other.
    pub lanes: u32,
}

impl Cost {
    /// The most memory, 256 MiB; a stored hash that asks for more is corrupt.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes; a stored hash that asks for more is corrupt.
    pub const MAX_PASSES: u32 = 64;
    /// As cheap as the algorithm allows. It protects nothing, and makes tests fast.
    pub const NEGLIGIBLE: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };
}

impl Default for Cost {
    /// What OWASP's Password Storage Cheat Sheet asks for: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// How many hashes are made at once, and how many callers may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Threads, at least one. Each keeps the memory of one hash.
    pub threads: usize,
    /// Callers who may wait while every thread is at work; the next one is refused.
    pub waiting: usize,
    /// How long a caller waits for its answer, all in all.
    pub patience: Duration,
}

impl Default for Capacity {
    /// Two threads, 32 waiting, 5 seconds.
    fn default() -> Self {
        Self { threads: 2, waiting: 32, patience: Duration::from_secs(5) }
    }
}

/// Hashes passwords on threads of its own, which end with it. A caller that goes away gives up its place.
pub struct Argon2Hasher {
    today: Recipe,
    nobody: Arc<Stored>,
    pool: Pool,
    at_once: usize,
}

impl Argon2Hasher {
    /// Starts the threads. `Misconfigured` if the cost is out of bounds or there is to be no thread, `Unavailable` if
    /// the operating system gives no thread or no randomness.
    pub fn try_new(cost: Cost, capacity: Capacity) -> Result<Self, PortError> {
        const OPERATION: &str = "password_hasher.try_new";
        let misconfigured = |detail| PortError::new(ErrorKind::Misconfigured, OPERATION, detail);
        let unavailable = |detail| PortError::new(ErrorKind::Unavailable, OPERATION, detail);
        if capacity.threads == 0 {
            return Err(misconfigured("at least one thread must hash"));
        }
        let today = Recipe::new(cost).ok_or_else(|| misconfigured("the cost is out of bounds"))?;
        let nobody = Stored::unmatchable(&today).ok_or_else(|| unavailable("no randomness"))?;
        let pool = Pool::start(capacity).map_err(|error| unavailable("no thread").with_source(error))?;
        Ok(Self { today, nobody: Arc::new(nobody), pool, at_once: capacity.threads })
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, ::argon2::Error> + Send + 'static,
    ) -> Result<T, PortError> {
        let unavailable = |detail| PortError::new(ErrorKind::Unavailable, operation, detail);
        match self.pool.run(work).await {
            Ok(outcome) => outcome.map_err(|error| unavailable("the hash cannot be made").with_source(error)),
            Err(Refused::Full) => Err(unavailable("too many are waiting")),
            Err(Refused::TooSlow) => Err(unavailable("it took too long")),
            Err(Refused::Panicked) => Err(unavailable("the hashing thread panicked")),
        }
    }

    async fn check(
        &self,
        operation: &'static str,
        password: &Password,
        stored: Arc<Stored>,
    ) -> Result<Verdict, PortError> {
        let (password, today) = (password.clone(), self.today.clone());
        self.run(operation, move |memory| {
            let output = stored.recipe.output(&password, &stored.salt, memory)?;
            Ok(match output == stored.output {
                false => Verdict::Mismatch,
                true if stored.recipe.is_weaker_than(&today) => Verdict::MatchOutdated,
                true => Verdict::Match,
            })
        })
        .await
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    fn at_once(&self) -> usize {
        self.at_once
    }

    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError> {
        let (password, recipe) = (password.as_password().clone(), self.today.clone());
        self.run("password_hasher.hash", move |memory| {
            let salt = phc::Salt::generate();
            let output = recipe.output(&password, &salt, memory)?;
            Ok(PasswordHash::new(Stored { recipe, salt, output }.to_string()))
        })
        .await
    }

    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError> {
        const OPERATION: &str = "password_hasher.verify";
        let corrupt = || PortError::new(ErrorKind::Corrupt, OPERATION, "the hash does not parse");
        let stored = Stored::parse(hash).ok_or_else(corrupt)?;
        self.check(OPERATION, password, Arc::new(stored)).await
    }

    async fn verify_nobody(&self, password: &Password) -> Result<(), PortError> {
        self.check("password_hasher.verify_nobody", password, Arc::clone(&self.nobody)).await.map(drop)
    }
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher").field("today", &self.today).finish_non_exhaustive()
    }
}
