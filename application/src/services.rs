//! From ports to services: what the composition root gives, and what it gets.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{
    Cache, Clock, HealthProbe, IdGenerator, JobQueue, Observer, PasswordHasher, Quota, RateLimiter, Sealer,
    Storage, Store, TokenIssuer,
};
use portwright_domain::session::SessionLimits;

use crate::avatars::Avatars;
use crate::cached::Cached;
use crate::compute::{Compute, Defaults, TaskRegistry};
use crate::exports::Exports;
use crate::health::HealthChecks;
use crate::idempotency::Idempotency;
use crate::imports::Imports;
use crate::jobs::Jobs;
use crate::operators::Operators;
use crate::primes::Primes;
use crate::sessions::{Sessions, Tools};
use crate::sign_in_limit::SignInLimit;
use crate::transact::Transactions;
use crate::transfers;
use crate::users::Users;

/// The outside world.
pub struct Ports {
    /// Users, sessions and what else must survive.
    pub store: Arc<dyn Store>,
    /// Work for other processes.
    pub queue: Arc<dyn JobQueue>,
    /// Values that are computed once for all.
    pub cache: Arc<dyn Cache>,
    /// Files.
    pub storage: Arc<dyn Storage>,
    /// Passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Access tokens.
    pub tokens: Arc<dyn TokenIssuer>,
    /// Refresh tokens, cursors and commit tokens.
    pub sealer: Arc<dyn Sealer>,
    /// Failed sign-ins.
    pub limiter: Arc<dyn RateLimiter>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identity.
    pub ids: Arc<dyn IdGenerator>,
    /// Metrics.
    pub observer: Arc<dyn Observer>,
    /// Everything that has a health.
    pub probes: Vec<Arc<dyn HealthProbe>>,
}

/// What the operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Whether anyone may register.
    pub registration_open: bool,
    /// How long an access token is valid; whole seconds.
    pub access_ttl: Duration,
    /// How long a session lives.
    pub session: SessionLimits,
    /// How many failed sign-ins an account and an address may have in a window.
    pub login: Quota,
    /// What counts for tasks that do not say otherwise.
    pub jobs: Defaults,
}

/// The use cases, ready to be called.
#[derive(Clone)]
pub struct Services {
    /// Users.
    pub users: Arc<Users>,
    /// Their pictures.
    pub avatars: Arc<Avatars>,
    /// Sessions.
    pub sessions: Arc<Sessions>,
    /// Idempotency keys.
    pub idempotency: Arc<Idempotency>,
    /// The command line.
    pub operators: Arc<Operators>,
    /// Health.
    pub health: Arc<HealthChecks>,
    /// Jobs and queues.
    pub jobs: Arc<Jobs>,
    /// Users from files.
    pub imports: Arc<Imports>,
    /// Users into files.
    pub exports: Arc<Exports>,
    /// Calls of tasks.
    pub compute: Compute,
    /// What `#[cached]` remembers with.
    pub cached: Cached,
    /// Primes.
    pub primes: Arc<Primes>,
}

impl Services {
    /// Wires the use cases to the ports.
    #[must_use]
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let Ports {
            store,
            queue,
            cache,
            storage,
            hasher,
            tokens,
            sealer,
            limiter,
            clock,
            ids,
            observer,
            probes,
        } = ports;
        let cached = Cached::new(cache, observer.clone());
        let jobs = Jobs::new(queue.clone(), store.clone(), cached.clone());
        let compute = Compute::new(queue.clone(), clock.clone(), ids.clone(), observer.clone(), policy.jobs);
        let transactions = Transactions::new(store.clone(), observer.clone()).ringing(compute.bell().clone());
        let transfer = transfers::Tools {
            compute: compute.clone(),
            queue,
            store: store.clone(),
            transactions: transactions.clone(),
            storage,
            clock: clock.clone(),
        };
        let avatars = Arc::new(Avatars::new(&transfer, ids.clone()));
        let users = Arc::new(Users::new(
            store.clone(),
            transactions.clone(),
            avatars.clone(),
            hasher.clone(),
            clock.clone(),
            ids.clone(),
        ));
        let operators = Operators {
            store: store.clone(),
            transactions: transactions.clone(),
            users: users.clone(),
            hasher: hasher.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let imports = Imports::new(&transfer, hasher.clone());
        let idempotency = Idempotency::new(transactions.clone(), clock.clone());
        let limit = SignInLimit::new(limiter, policy.login, observer.clone());
        let tools = Tools { store, transactions, hasher, tokens, sealer, clock, ids, observer };
        Self {
            users,
            avatars,
            sessions: Arc::new(Sessions::new(tools, policy, limit)),
            idempotency: Arc::new(idempotency),
            operators: Arc::new(operators),
            health: Arc::new(HealthChecks::new(probes)),
            jobs: Arc::new(jobs),
            primes: Arc::new(Primes::new(compute.clone())),
            imports: Arc::new(imports),
            exports: Arc::new(Exports::new(&transfer)),
            compute,
            cached,
        }
    }
}

/// Every task of the product. A service with tasks is added here, once.
#[must_use]
pub fn task_registry(services: &Services) -> TaskRegistry {
    TaskRegistry::default()
        .serve(&services.primes)
        .serve(&services.imports)
        .serve(&services.exports)
        .serve(&services.avatars)
}
