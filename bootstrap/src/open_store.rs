//! The store that the configuration names, open: one file, or servers.

use std::sync::Arc;

use portwright_domain::ports::{HealthProbe, Observer, Store};
use portwright_layers::{Layers, StorePolicy};
use portwright_metrics::Source;
use portwright_postgres::{PostgresConfig, PostgresHealth, PostgresStore};
use portwright_sqlite::{SqliteConfig, SqliteHealth, SqliteStore};

use crate::config::{Database, Secret};
use crate::database_gauges::DatabaseGauges;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

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

    /// The port behind its layers, and its health.
    pub(crate) fn ports(&self, layers: &Layers) -> (Arc<dyn Store>, Arc<dyn HealthProbe>) {
        match self {
            Self::Sqlite(store) => (
                layers.store(Arc::new(store.clone()), StorePolicy::LOCAL),
                Arc::new(SqliteHealth::of(store.clone())),
            ),
            Self::Postgres(store) => (
                layers.store(Arc::new(store.clone()), StorePolicy::REMOTE),
                Arc::new(PostgresHealth::of(store.clone())),
            ),
        }
    }

    /// What it says at each scrape; a file has neither connections to servers nor replicas.
    #[must_use]
    pub fn source(&self) -> Option<Arc<dyn Source>> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(store) => Some(Arc::new(DatabaseGauges::of(store.clone()))),
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
