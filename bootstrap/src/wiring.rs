//! The whole application from its configuration: what the world is, what we do with it, and how it is reached.
//!
//! Read [`wire`] from top to bottom. Every port is chosen in one `match`, in the open; a new adapter is one more arm.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::{Defaults, Relay, TaskRegistry};
use portwright_application::transact::Transactions;
use portwright_application::{Policy, Ports, Services, task_registry};
use portwright_domain::ports::{
    Clock, HealthProbe, IdGenerator, JobQueue, Observer, PasswordHasher, Storage, Store, Unobserved,
};
use portwright_http::{ApiPolicy, ApiPorts, HealthDetails, Protected, ServerLimits, api};
use portwright_memory::{MemoryRateLimiter, MemoryStorage, SystemClock, UuidV7};
use portwright_postgres::{PostgresConfig, PostgresHealth, PostgresStore};
use portwright_security::{AeadSealer, Argon2Hasher, Capacity, Cost, JwtIssuer, SigningKey};
use portwright_socket::QueueClient;
use portwright_sqlite::{SqliteConfig, SqliteHealth, SqliteStore};
use portwright_storage::{OpendalStorage, StorageHealth};
use tokio_util::sync::CancellationToken;

use crate::config::{self, AppEnv, Config, Database, Registration, Secret, SigningKeySource};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// Tokens are made by this service for this service.
const ISSUER: &str = "portwright";

/// The name of the signing key's file in the data directory.
const KEY_FILE: &str = "signing-key.pem";

/// How many clients the embedded limiter tells apart; the oldest are forgotten beyond that.
const LIMITER_KEYS: usize = 100_000;

/// How long a sign-in waits for its turn to be hashed.
const HASHING_PATIENCE: Duration = Duration::from_secs(10);

/// Time and identity: the two things of the world that a test wants in its hand.
#[derive(Clone)]
pub struct Ambient {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// New identities.
    pub ids: Arc<dyn IdGenerator>,
}

impl Ambient {
    /// The system's clock, and identities that follow it.
    #[must_use]
    pub fn system() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self { ids: Arc::new(UuidV7::new(clock.clone())), clock }
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
    /// The health of it.
    pub probes: Vec<Arc<dyn HealthProbe>>,
}

impl Backstage {
    /// The queue of the server on this data directory, which is asked when there is something to ask.
    #[must_use]
    pub fn of_server(config: &Config) -> Self {
        Self { queue: Arc::new(QueueClient::of(&config.data_dir)), probes: Vec::new() }
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
    /// What reaching them over HTTP takes besides; see [`reach`].
    pub ports: ApiPorts,
    /// What must be closed when everything else has ended.
    pub store: OpenStore,
}

/// The store, as what it is: to be closed in the end.
pub enum OpenStore {
    /// One file.
    Sqlite(SqliteStore),
    /// Servers.
    Postgres(PostgresStore),
}

impl OpenStore {
    /// Opens the store that the configuration names. `migrate` says whether its tables are brought up to date; if not,
    /// one that is not up to date is refused, and one that is missing is not made.
    pub async fn open(
        database: &Database,
        migrate: bool,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Failure> {
        match database {
            Database::Sqlite { file } => {
                let config = SqliteConfig { migrate, ..SqliteConfig::at(file) };
                if !migrate
                    && let Some(next) = portwright_sqlite::migrate::status(&config).await?.pending.first()
                {
                    let (file, number, name) = (file.display(), next.number, next.name);
                    let problem = Problem::new(format!("{file} is without migration {number:04} ({name})"));
                    return Err(Failure::new(
                        Exit::Config,
                        problem.fix("`portwright migrate up` applies all that are missing"),
                    ));
                }
                Ok(Self::Sqlite(SqliteStore::init(&config).await?))
            }
            Database::Postgres { urls, connections } => {
                let mut config = postgres(urls, *connections)?;
                config.migrate = migrate;
                // On the heap, since everybody who waits for a start would carry it otherwise.
                Ok(Self::Postgres(Box::pin(PostgresStore::init(&config, observer)).await?))
            }
        }
    }

    /// What opening it will find and do, in a few words for the operator.
    pub async fn describe(database: &Database, migrate: bool) -> String {
        match database {
            Database::Sqlite { file } => {
                let created = if file.exists() { "" } else { "created, " };
                // What is wrong with the file is told by opening it.
                let status = portwright_sqlite::migrate::status(&SqliteConfig::at(file)).await;
                let pending = status.map_or(0, |status| status.pending.len());
                let file = file.display();
                match pending {
                    1 if migrate => format!("sqlite {file} ({created}1 migration applied)"),
                    2.. if migrate => format!("sqlite {file} ({created}{pending} migrations applied)"),
                    _ => format!("sqlite {file}"),
                }
            }
            Database::Postgres { urls, connections } => {
                // What is wrong with them is told by opening them.
                let servers = postgres(urls, *connections).map(|config| config.names()).unwrap_or_default();
                let (primary, replicas) =
                    servers.split_first().map_or(("", 0), |(first, rest)| (first.as_str(), rest.len()));
                match replicas {
                    0 => format!("postgres {primary}"),
                    1 => format!("postgres {primary} (and 1 replica)"),
                    _ => format!("postgres {primary} (and {replicas} replicas)"),
                }
            }
        }
    }

    fn ports(&self) -> (Arc<dyn Store>, Arc<dyn HealthProbe>) {
        match self {
            Self::Sqlite(store) => (Arc::new(store.clone()), Arc::new(SqliteHealth::of(store.clone()))),
            Self::Postgres(store) => (Arc::new(store.clone()), Arc::new(PostgresHealth::of(store.clone()))),
        }
    }

    /// Waits for what is still going on, and closes.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// The servers that the configuration names.
pub(crate) fn postgres(urls: &[Secret], connections: u32) -> Result<PostgresConfig, Failure> {
    let mut config = PostgresConfig::at(urls.iter().map(Secret::expose))?;
    config.connections = connections;
    Ok(config)
}

/// Opens the storage that the configuration names.
async fn open_storage(config: &config::Storage, clock: Arc<dyn Clock>) -> Result<Arc<dyn Storage>, Failure> {
    Ok(match config {
        config::Storage::Local { folder } => Arc::new(OpendalStorage::local(folder, clock).await?),
        config::Storage::S3(bucket) => Arc::new(OpendalStorage::s3(bucket, clock).await?),
        config::Storage::Memory => Arc::new(MemoryStorage::new(clock)),
    })
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
    let Program { ambient: Ambient { clock, ids }, tasks } = program;
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);

    // The outside world
    let open_store = OpenStore::open(&config.database, migrate, observer.clone()).await?;
    let (store, store_health) = open_store.ports();
    let Backstage { queue, probes } = backstage;
    let storage = open_storage(&config.storage, clock.clone()).await?;
    let storage_health: Arc<dyn HealthProbe> = Arc::new(StorageHealth::of(storage.clone(), ids.clone()));
    let key = signing_key(config)?;
    let tokens = Arc::new(JwtIssuer::new(&key, ISSUER, ISSUER));
    let sealer = Arc::new(AeadSealer::new(&key));
    let hasher: Arc<dyn PasswordHasher> = Arc::new(hasher(config)?);
    let limiter = Arc::new(MemoryRateLimiter::new(LIMITER_KEYS, clock.clone()));

    // What we do with it
    let relayed = Transactions::new(store.clone(), observer.clone());
    let ports = Ports {
        store,
        queue: queue.clone(),
        storage,
        hasher,
        tokens: tokens.clone(),
        sealer: sealer.clone(),
        limiter: limiter.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        observer,
        probes: [store_health, storage_health].into_iter().chain(probes).collect(),
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
    let relay = Relay::new(relayed, queue, services.compute.bell().clone());

    let ports = ApiPorts { tokens, sealer, limiter, clock, ids };
    Ok(App { services, tasks, relay, ports, store: open_store })
}

/// The services over HTTP. `draining` is cancelled as soon as the process is about to stop.
#[must_use]
pub fn reach(
    config: &Config,
    services: &Services,
    ports: ApiPorts,
    draining: CancellationToken,
) -> Arc<Protected> {
    let policy = ApiPolicy {
        quota: config.rate_limit,
        proxies: config.trusted_proxies.clone(),
        health: health_details(config),
        limits: ServerLimits::default(),
    };
    Arc::new(api(services, ports, policy, draining))
}

fn signing_key(config: &Config) -> Result<SigningKey, Failure> {
    let key = match &config.jwt.key {
        SigningKeySource::DataDir => SigningKey::create(&config.data_dir.join(KEY_FILE)),
        SigningKeySource::File(path) => SigningKey::load(path),
        SigningKeySource::Secret(secret) => SigningKey::from_secret(secret.expose().as_bytes()),
    };
    key.map_err(|error| Failure::new(Exit::Config, Problem::new(error.to_string())))
}

fn hasher(config: &Config) -> Result<Argon2Hasher, Failure> {
    let capacity = Capacity {
        threads: config.hashing.threads.get(),
        waiting: config.hashing.queue,
        patience: HASHING_PATIENCE,
    };
    Ok(Argon2Hasher::try_new(Cost::default(), capacity)?)
}

fn health_details(config: &Config) -> HealthDetails {
    match config.app_env {
        AppEnv::Development | AppEnv::Test => HealthDetails::Everybody,
        AppEnv::Production => {
            HealthDetails::Trusted(config.health_secret.as_ref().map(|secret| secret.expose().to_owned()))
        }
    }
}
