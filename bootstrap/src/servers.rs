//! The servers of somebody else's that this one needs, asked whether they can be used before anything begins: so what is
//! wrong is told by its cause, with the variables that led there, and of all of them at once.
//!
//! A storage that does not answer is no reason not to start, since most requests do without; where there is another
//! reason, it is told all the same.

mod hint;

use portwright_domain::ErrorKind;
use portwright_domain::ports::Obstacle;
use portwright_postgres::diagnosis::{Found, Role};

use crate::config::{Config, Database, Origins, Outside, Redis, Storage};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::Lifecycle;
use crate::open_queue;
use crate::open_store::postgres;
pub(crate) use hint::Server;

/// Makes sure that everything outside that this process needs can be used.
///
/// # Errors
/// Everything that cannot: `Config` if somebody has to change something, `Unavailable` if waiting may help.
pub async fn reach(config: &Config) -> Result<(), Failure> {
    match blocked(&Outside::from(config)).await {
        found if found.iter().any(|it| it.is_fatal) => Err(failure(found)),
        _ => Ok(()),
    }
}

/// The same, unless the process is told to stop meanwhile. It is no step of the start, since what it finds speaks for
/// itself.
///
/// # Errors
/// As for [`reach`]; nothing to say, and [`Exit::Done`], if it is told to stop.
pub async fn reach_unless_stopped(config: &Config, life: &Lifecycle) -> Result<(), Failure> {
    let soft = life.soft();
    let reached = soft.run_until_cancelled(reach(config)).await;
    reached.unwrap_or_else(|| Err(Failure::silent(Exit::Done)))
}

/// The same of the database alone.
///
/// # Errors
/// As for [`reach`].
pub async fn reach_database(config: &Config) -> Result<(), Failure> {
    let outside = Outside { storage: None, redis: None, ..Outside::from(config) };
    match blocked(&outside).await {
        found if found.is_empty() => Ok(()),
        found => Err(failure(found)),
    }
}

/// The same failure, with everything that cannot be reached besides: who mends the one does not want to hear of the
/// other afterwards.
pub async fn complete(failure: Failure, outside: &Outside) -> Failure {
    failure.and(blocked(outside).await.into_iter().map(|it| it.problem))
}

/// A server that cannot be used.
struct Blocked {
    problem: Problem,
    kind: ErrorKind,
    /// Whether nothing can be done without it.
    is_fatal: bool,
}

fn failure(found: Vec<Blocked>) -> Failure {
    let must_change = found.iter().any(|it| it.kind == ErrorKind::Misconfigured);
    let exit = if must_change { Exit::Config } else { Exit::Unavailable };
    Failure::all(exit, found.into_iter().map(|it| it.problem).collect())
}

/// Asks all of them at once.
async fn blocked(outside: &Outside) -> Vec<Blocked> {
    let origins = &outside.origins;
    let (database, redis, storage) = tokio::join!(
        database(outside.database.as_ref(), origins),
        redis(outside.redis.as_ref(), origins),
        storage(outside.storage.as_ref(), origins)
    );
    database.into_iter().chain(redis).chain(storage).collect()
}

/// Why the database cannot be used; nothing if it can, even if a replica cannot.
async fn database(database: Option<&Database>, origins: &Origins) -> Vec<Blocked> {
    let Some(Database::Postgres { urls, connections }) = database else {
        return Vec::new();
    };
    // What is wrong with the URLs has been told by whoever read them.
    let Ok(config) = postgres(urls, *connections) else {
        return Vec::new();
    };
    let found = portwright_postgres::diagnosis::look(&config).await;
    if found.iter().any(|it| it.role == Ok(Role::Primary)) {
        return Vec::new();
    }
    let refused = |(at, it): (usize, &Found)| {
        let obstacle = match &it.role {
            Err(obstacle) => obstacle.clone(),
            Ok(_) => {
                Obstacle::Busy("it follows another server, and none that is named takes writes".to_owned())
            }
        };
        Server::postgres(it, at, origins).blocked(&obstacle, origins)
    };
    found.iter().enumerate().map(refused).collect()
}

/// Why Redis cannot be used; nothing if one of its servers answers, since the others are found through it.
async fn redis(redis: Option<&Redis>, origins: &Origins) -> Vec<Blocked> {
    let Some(Ok(servers)) = redis.map(open_queue::servers) else {
        return Vec::new();
    };
    let found = portwright_redis::diagnosis::look(&servers).await;
    let refused = found.iter().map(|it| {
        let obstacle = it.obstacle.as_ref()?;
        Some(Server::redis(it, origins).blocked(obstacle, origins))
    });
    refused.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Why the bucket cannot be used.
async fn storage(storage: Option<&Storage>, origins: &Origins) -> Option<Blocked> {
    let Some(Storage::S3(config)) = storage else {
        return None;
    };
    let obstacle = portwright_storage::diagnosis::look(config).await.err()?;
    let blocked = Server::bucket(config, origins).blocked(&obstacle, origins);
    Some(Blocked { is_fatal: blocked.kind == ErrorKind::Misconfigured, ..blocked })
}

impl Server {
    fn blocked(&self, obstacle: &Obstacle, origins: &Origins) -> Blocked {
        Blocked { problem: self.problem(obstacle, origins), kind: obstacle.kind(), is_fatal: true }
    }
}
