//! [`World`]: what the servers of the tests stand on. The same suite runs in each, and `TEST_WORLD` says in which.
//!
//! A run of tests shares the database servers of its world, since these take seconds to start: `with-servers` (beside
//! the library, in `bin`) starts them for a command. Within them, each app has what it has to itself; see `home`.

use std::sync::Arc;

use portwright::config::{Database, Secret};
use portwright::open_store::OpenStore;
use portwright_domain::ports::Unobserved;
use portwright_testkit::servers::{Postgres, Redis};

/// The variable that names the world.
const WORLD: &str = "TEST_WORLD";
/// The variable with the ports of the PostgreSQL servers, the primary's first.
const POSTGRES: &str = "TEST_POSTGRES_PORTS";
/// The variable with the port of Redis.
const REDIS: &str = "TEST_REDIS_PORT";

/// The database that each app's begins as a copy of: its tables are there, and empty.
pub(crate) const TEMPLATE: &str = "portwright_template";

/// The standbys of the third world: two, so that what one shows another may not.
const STANDBYS: usize = 2;

/// What the servers of the tests stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Files and one process: what is there where nothing is configured.
    Embedded,
    /// Users and sessions in one PostgreSQL server.
    Postgres,
    /// PostgreSQL with replicas, Redis and S3.
    Cluster,
}

impl World {
    /// The world of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "embedded" => Some(Self::Embedded),
            "postgres" => Some(Self::Postgres),
            "cluster" => Some(Self::Cluster),
            _ => None,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Postgres => "postgres",
            Self::Cluster => "cluster",
        }
    }

    /// The one that `TEST_WORLD` names, or the embedded one. Panics if there is none of that name: a run that was meant
    /// for another world must not pass in this one.
    #[must_use]
    pub fn of_this_run() -> Self {
        let Some(name) = variable(WORLD) else { return Self::Embedded };
        Self::named(&name).unwrap_or_else(|| panic!("{WORLD} is embedded, postgres or cluster, not {name}"))
    }
}

/// The servers of a world, for as long as this lives.
#[derive(Debug)]
pub struct Servers {
    world: World,
    /// The primary is the first.
    postgres: Vec<Postgres>,
    redis: Option<Redis>,
}

impl Servers {
    /// Starts them, and makes the template of all databases. Panics if one cannot be run.
    pub async fn start(world: World) -> Self {
        let standbys = match world {
            World::Embedded => return Self { world, postgres: Vec::new(), redis: None },
            World::Postgres => 0,
            World::Cluster => STANDBYS,
        };
        let primary = Postgres::primary();
        primary.create_database(TEMPLATE, "template0");
        let database = Database::Postgres { urls: vec![Secret::new(primary.url(TEMPLATE))], connections: 2 };
        let store = OpenStore::open(&database, true, Arc::new(Unobserved)).await;
        store.expect("the tables are made").close().await;
        let standbys: Vec<_> = (0..standbys).map(|_| primary.standby()).collect();
        let redis = (world == World::Cluster).then(Redis::new);
        Self { world, postgres: [primary].into_iter().chain(standbys).collect(), redis }
    }

    /// The variables by which tests find them.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let ports: Vec<_> = self.postgres.iter().map(|server| server.port().to_string()).collect();
        let redis = self.redis.iter().map(|server| (REDIS, server.port().to_string()));
        let databases = [(WORLD, self.world.name().to_owned()), (POSTGRES, ports.join(","))];
        databases.into_iter().chain(redis).collect()
    }
}

/// The PostgreSQL servers of this run, the primary first.
pub(crate) fn postgres() -> Vec<Postgres> {
    let ports = needed(POSTGRES);
    ports.split(',').map(|port| Postgres::attached(port.parse().expect("a port"))).collect()
}

/// The Redis of this run.
pub(crate) fn redis() -> Redis {
    Redis::attached(needed(REDIS).parse().expect("a port"))
}

fn needed(name: &str) -> String {
    let found = variable(name).filter(|text| !text.is_empty());
    found.unwrap_or_else(|| panic!("{name} is not set: this world's tests run in `with-servers`"))
}

#[expect(clippy::disallowed_methods, reason = "it says where tests run, not how the program is configured")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
