//! The whole application from its configuration: what the world is, what we do with it, and how it is reached.
//!
//! Read [`wire`] from top to bottom. Every port is chosen in one `match`, in the open; a new adapter is one more arm.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::{Defaults, Reconciler, Relay, TaskRegistry};
use portwright_application::transact::Transactions;
use portwright_application::{Policy, Ports, Services, task_registry};
use portwright_domain::ports::{
    Clock, HealthProbe, IdGenerator, JobQueue, Observer, PasswordHasher, Storage, Unobserved,
};
use portwright_http::{
    ApiPolicy, ApiPorts, ConcurrencyLimit, Draining, HealthDetails, Protected, RouteLimits, ServerLimits, api,
};
use portwright_layers::{Layers, Policy as Patience, StoragePolicy, with_deadline};
use portwright_memory::{MemoryStorage, SystemClock, UuidV7};
use portwright_security::{AeadSealer, Argon2Hasher, Capacity, Cost, JwtIssuer, KeyError, SigningKey};
use portwright_socket::QueueClient;
use portwright_storage::{OpendalStorage, StorageHealth};

use crate::config::{self, AppEnv, Config, Queue, Registration, SigningKeySource};
use crate::dispensable::dispensable;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::open_queue::OpenQueue;
use crate::open_store::OpenStore;
use crate::shared::Shared;

/// Tokens are made by this service for this service.
const ISSUER: &str = "portwright";

/// The name of the signing key's file in the data directory.
pub(crate) const KEY_FILE: &str = "signing-key.pem";

/// How long a sign-in waits for its turn to be hashed.
const HASHING_PATIENCE: Duration = Duration::from_secs(10);

/// Time and identity: the two things of the world that a test wants in its hand.
#[derive(Clone)]
pub struct Ambient {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// New identities.
    pub ids: Arc<dyn IdGenerator>,
    /// Whether a queue that many processes share goes by this clock, too, and not by that of its server: so that a test
    /// can move it.
    pub rules_queue: bool,
}

impl Ambient {
    /// The system's clock, and identities that follow it.
    #[must_use]
    pub fn system() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self { ids: Arc::new(UuidV7::new(clock.clone())), clock, rules_queue: false }
    }
}

/// A program: the product, or the product with tasks of its own.
#[derive(Clone)]
pub struct Program {
    /// Time and identity.
    pub ambient: Ambient,
    /// Every task that its workers run.
    pub tasks: Tasks,
}

/// The tasks of these services.
pub type Tasks = fn(&Services) -> TaskRegistry;

impl Program {
    /// The product, in the world as it is.
    #[must_use]
    pub fn product() -> Self {
        Self { ambient: Ambient::system(), tasks: task_registry }
    }
}

/// The queue as this process reaches it, and how everything around it is.
pub struct Backstage {
    /// Where calls go.
    pub queue: Arc<dyn JobQueue>,
    /// How patient they are there.
    pub patience: Patience,
    /// The health of it.
    pub probes: Vec<Arc<dyn HealthProbe>>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

impl Backstage {
    /// The queue and nothing around it but who watches.
    #[must_use]
    pub fn without_probes(open: &OpenQueue, observer: Arc<dyn Observer>) -> Self {
        Self { queue: open.queue.clone(), patience: open.patience, probes: Vec::new(), observer }
    }

    /// For those who never ask the queue: the jobs that they write wait in the store until a server finds them.
    #[must_use]
    pub fn unasked(config: &Config) -> Self {
        let queue = Arc::new(QueueClient::of(&config.data_dir));
        Self { queue, patience: Patience::LOCAL, probes: Vec::new(), observer: Arc::new(Unobserved) }
    }
}

/// The application, ready to be used.
pub struct App {
    /// The use cases.
    pub services: Services,
    /// Their tasks.
    pub tasks: Arc<TaskRegistry>,
    /// Brings jobs that were written in transactions to the queue.
    pub relay: Relay,
    /// Brings them there again, if it has lost them.
    pub reconciler: Reconciler,
    /// What reaching them over HTTP takes besides; see [`reach`].
    pub ports: ApiPorts,
    /// Protects what is reached besides these, such as the worker's half of the queue.
    pub layers: Layers,
    /// What must be closed when everything else has ended.
    pub store: OpenStore,
}

/// Opens the storage that the configuration names, for whoever wants to hear of every failure.
pub(crate) async fn unprotected_storage(
    config: &config::Storage,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Storage>, Failure> {
    Ok(match config {
        config::Storage::Local { folder } => Arc::new(OpendalStorage::local(folder, clock).await?),
        config::Storage::S3(bucket) => Arc::new(OpendalStorage::s3(bucket, clock).await?),
        config::Storage::Memory => Arc::new(MemoryStorage::new(clock)),
    })
}

/// Opens the storage that the configuration names. What looks after its health asks it directly: it tells how the storage
/// is, not how calls went lately.
async fn open_storage(
    config: &config::Storage,
    Ambient { clock, ids, .. }: Ambient,
    layers: &Layers,
) -> Result<(Arc<dyn Storage>, Arc<dyn HealthProbe>), Failure> {
    let policy = match config {
        config::Storage::S3(_) => StoragePolicy::REMOTE,
        config::Storage::Local { .. } | config::Storage::Memory => StoragePolicy::LOCAL,
    };
    let storage = unprotected_storage(config, clock).await?;
    let health = dispensable(StorageHealth::of(storage.clone(), ids));
    Ok((layers.storage(storage, policy), health))
}

/// Builds the application.
///
/// # Errors
/// What cannot be opened, with its cause and the fix.
pub async fn wire(
    config: &Config,
    program: Program,
    backstage: Backstage,
    migrate: bool,
) -> Result<App, Failure> {
    // What surrounds us
    let Program { ambient, tasks } = program;
    let Backstage { queue, patience, probes, observer } = backstage;
    let layers = Layers::new(observer.clone());

    // The outside world
    let open_store = OpenStore::open(&config.database, migrate, observer.clone()).await?;
    let (store, store_health) = open_store.ports(&layers);
    let queue = layers.job_queue(queue, patience);
    let (storage, storage_health) = open_storage(&config.storage, ambient.clone(), &layers).await?;
    let Ambient { clock, ids, .. } = ambient;
    let Shared { cache, limiter, health: shared_health } = Shared::open(config, &clock, &layers).await?;
    let key = signing_key(config)?;
    let others = accepted_keys(config, &key)?;
    let tokens = JwtIssuer::new(&key, ISSUER, ISSUER);
    let tokens = Arc::new(others.iter().fold(tokens, JwtIssuer::accepting));
    let sealer = Arc::new(others.iter().fold(AeadSealer::new(&key), AeadSealer::accepting));
    let hasher: Arc<dyn PasswordHasher> = Arc::new(hasher(config)?);

    // What we do with it
    let relayed = Transactions::new(store.clone(), observer.clone());
    let ports = Ports {
        store,
        queue: queue.clone(),
        cache,
        storage,
        hasher,
        tokens: tokens.clone(),
        sealer: sealer.clone(),
        limiter: limiter.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        observer: observer.clone(),
        probes: [store_health, storage_health, shared_health]
            .into_iter()
            .chain(probes)
            .chain([layers.health()])
            .collect(),
    };
    let policy = Policy {
        registration_open: config.registration == Registration::Open,
        access_ttl: config.jwt.access_ttl,
        session: config.session,
        login: config.login,
        jobs: Defaults {
            attempts: config.jobs.attempts,
            backoff: config.jobs.backoff,
            ..Defaults::default()
        },
    };
    let services = Services::new(ports, policy);
    let tasks = Arc::new(tasks(&services));
    services.compute.seal(tasks.keys());
    let relay = Relay::new(relayed.clone(), queue.clone(), services.compute.bell().clone());
    let relay = match &config.queue {
        Queue::Embedded => relay,
        // It can lose what it took: flushed, failed over, or killed before its last second was on the disk.
        Queue::Redis(_) => relay.keeping_jobs(),
    };
    let reconciler = Reconciler::new(relayed, queue);

    let ports = ApiPorts {
        tokens,
        sealer,
        limiter,
        clock,
        ids,
        observer,
        exposition: None,
        with_deadline: Arc::new(|at, handling| Box::pin(with_deadline(at, handling))),
    };
    Ok(App { services, tasks, relay, reconciler, ports, layers, store: open_store })
}

/// The services over HTTP.
#[must_use]
pub fn reach(config: &Config, services: &Services, ports: ApiPorts, draining: Draining) -> Arc<Protected> {
    let policy = ApiPolicy {
        quota: config.rate_limit,
        proxies: config.trusted_proxies.clone(),
        health: health_details(config),
        limits: ServerLimits {
            route: RouteLimits { deadline: config.http.request_timeout, ..RouteLimits::DEFAULT },
            ..ServerLimits::default()
        },
        concurrency: ConcurrencyLimit::of(config.http.max_concurrent),
        sampler: config.tracing.sampler(),
    };
    Arc::new(api(services, ports, policy, draining))
}

/// The key that signs access tokens and seals what clients hand back.
///
/// # Errors
/// If it cannot be read or is none.
pub fn signing_key(config: &Config) -> Result<SigningKey, Failure> {
    let key = match &config.jwt.key {
        SigningKeySource::DataDir => SigningKey::create(&config.data_dir.join(KEY_FILE)),
        SigningKeySource::File(path) => SigningKey::load(path),
        SigningKeySource::Secret(secret) => SigningKey::from_secret(secret.expose().as_bytes()),
    };
    key.map_err(|error| no_key(&error))
}

/// The other keys whose tokens are taken. The one that signs may be among them, so that a change of keys need not change this.
///
/// # Errors
/// If one cannot be read or is none.
pub(crate) fn accepted_keys(config: &Config, signing: &SigningKey) -> Result<Vec<SigningKey>, Failure> {
    let keys = config.jwt.accepted.iter().map(|path| SigningKey::load(path));
    let others = keys.filter(|key| key.as_ref().map_or(true, |key| key.id() != signing.id()));
    others.collect::<Result<_, _>>().map_err(|error| no_key(&error))
}

fn no_key(error: &KeyError) -> Failure {
    Failure::new(Exit::Config, Problem::new(error.to_string()))
}

fn hasher(config: &Config) -> Result<Argon2Hasher, Failure> {
    let capacity = Capacity {
        threads: config.hashing.threads.get(),
        waiting: config.hashing.queue,
        patience: HASHING_PATIENCE,
    };
    Ok(Argon2Hasher::try_new(Cost::default(), capacity)?)
}

pub(crate) fn health_details(config: &Config) -> HealthDetails {
    match config.app_env {
        AppEnv::Development | AppEnv::Test => HealthDetails::Everybody,
        AppEnv::Production => {
            HealthDetails::Trusted(config.health_secret.as_ref().map(|secret| secret.expose().to_owned()))
        }
    }
}
