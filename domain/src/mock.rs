//! A [mockall](https://docs.rs/mockall) mock of every port, for what a complete fake does not do: being absent, failing,
//! and counting its calls. For everything else use the adapters of `portwright-memory`, which keep their promises.
//!
//! ```
//! use portwright_domain::mock::MockCache;
//! use portwright_domain::{ErrorKind, PortError};
//!
//! let mut cache = MockCache::new();
//! cache.expect_get().returning(|_| Err(PortError::new(ErrorKind::Unavailable, "cache.get", "away")));
//! ```

mod store;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mockall::mock;
use uuid::Uuid;

pub use self::store::{
    MockIdempotencyRepository, MockOutbox, MockReadView, MockSessionQueries, MockSessionRepository,
    MockStore, MockUnitOfWork, MockUserQueries, MockUserRepository,
};
use crate::error::PortError;
use crate::job::{Enqueued, Job, JobId, Lease, NewJob, Outcome, Progress, QueueName, WorkerId};
use crate::page::{Page, PageRequest};
use crate::password::{NewPassword, Password};
use crate::ports::job_queue::{
    Cancelled, Exchange, JobFilter, LeaseRequest, QueueStatus, Removed, Renewal, Settlement,
};
use crate::ports::{
    AccessToken, Cache, CacheKey, Clock, Decision, Event, Health, HealthProbe, IdGenerator, JobQueue,
    JobSource, Object, ObjectBody, ObjectInfo, ObjectKey, Observer, PasswordHasher, Purpose, Quota, RateKey,
    RateLimiter, Sealer, Storage, TokenIssuer, TokenRejected, Verdict,
};
use crate::session::Claims;
use crate::time::Timestamp;
use crate::user::PasswordHash;

mock! {
    /// The caller's half of a queue.
    #[derive(Debug)]
    pub JobQueue {}

    #[async_trait]
    impl JobQueue for JobQueue {
        async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, PortError>;
        async fn find(&self, id: JobId) -> Result<Option<Job>, PortError>;
        async fn removed(&self, id: JobId) -> Result<Option<Removed>, PortError>;
        async fn call(&self, job: &NewJob, wait: Duration) -> Result<Option<Outcome>, PortError>;
        async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<Outcome>, PortError>;
        async fn changed(&self, seen: &Job, wait: Duration) -> Result<Option<Job>, PortError>;
        async fn list(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, PortError>;
        async fn cancel(&self, id: JobId) -> Result<Cancelled, PortError>;
        async fn retry(&self, id: JobId) -> Result<bool, PortError>;
        async fn queues(&self) -> Result<Vec<QueueStatus>, PortError>;
        async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), PortError>;
    }
}

mock! {
    /// The worker's half of a queue.
    #[derive(Debug)]
    pub JobSource {}

    #[async_trait]
    impl JobSource for JobSource {
        async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError>;
        async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError>;
        async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError>;
        async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError>;
        async fn reclaim(&self) -> Result<u64, PortError>;
    }
}

mock! {
    /// A cache.
    #[derive(Debug)]
    pub Cache {}

    #[async_trait]
    impl Cache for Cache {
        async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, PortError>;
        async fn put(&self, key: &CacheKey, value: Bytes, ttl: Duration) -> Result<(), PortError>;
        async fn remove(&self, keys: &[CacheKey]) -> Result<(), PortError>;
    }
}

mock! {
    /// A storage. Its methods are synchronous, and `list` takes `after` by value; the port is implemented on them,
    /// because mockall cannot mock an asynchronous method with a borrow inside an `Option`.
    #[derive(Debug)]
    pub Storage {
        /// [`Storage::put`].
        pub fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError>;
        /// [`Storage::get`].
        pub fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError>;
        /// [`Storage::remove`].
        pub fn remove(&self, key: &ObjectKey) -> Result<(), PortError>;
        /// [`Storage::list`].
        pub fn list(&self, prefix: &str, after: Option<ObjectKey>, limit: u32)
            -> Result<Vec<ObjectInfo>, PortError>;
        /// [`Storage::presign`].
        pub fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError>;
    }
}

#[async_trait]
impl Storage for MockStorage {
    async fn put(&self, key: &ObjectKey, body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        Self::put(self, key, body)
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        Self::get(self, key)
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        Self::remove(self, key)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        Self::list(self, prefix, after.cloned(), limit)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError> {
        Self::presign(self, key, ttl)
    }
}

mock! {
    /// A limiter.
    #[derive(Debug)]
    pub RateLimiter {}

    #[async_trait]
    impl RateLimiter for RateLimiter {
        async fn take(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError>;
        async fn peek(&self, key: &RateKey, quota: Quota) -> Result<Decision, PortError>;
    }
}

mock! {
    /// A hasher.
    #[derive(Debug)]
    pub PasswordHasher {}

    #[async_trait]
    impl PasswordHasher for PasswordHasher {
        fn at_once(&self) -> usize;
        async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError>;
        async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError>;
        async fn verify_nobody(&self, password: &Password) -> Result<(), PortError>;
    }
}

mock! {
    /// An issuer.
    #[derive(Debug)]
    pub TokenIssuer {}

    impl TokenIssuer for TokenIssuer {
        fn issue(&self, claims: &Claims) -> Result<AccessToken, PortError>;
        fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRejected>;
        fn public_keys(&self) -> String;
    }
}

mock! {
    /// A sealer.
    #[derive(Debug)]
    pub Sealer {}

    impl Sealer for Sealer {
        fn seal(&self, purpose: Purpose, content: &[u8]) -> String;
        fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>>;
    }
}

mock! {
    /// A probe.
    #[derive(Debug)]
    pub HealthProbe {}

    #[async_trait]
    impl HealthProbe for HealthProbe {
        fn name(&self) -> &'static str;
        async fn check(&self) -> Health;
    }
}

mock! {
    /// A clock.
    #[derive(Debug)]
    pub Clock {}

    impl Clock for Clock {
        fn now(&self) -> Timestamp;
    }
}

mock! {
    /// A generator of identities.
    #[derive(Debug)]
    pub IdGenerator {}

    impl IdGenerator for IdGenerator {
        fn next(&self) -> Uuid;
    }
}

mock! {
    /// An observer.
    #[derive(Debug)]
    pub Observer {}

    impl Observer for Observer {
        fn observe<'a>(&self, event: &Event<'a>);
    }
}
