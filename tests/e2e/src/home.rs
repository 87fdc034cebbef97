//! [`Home`]: what one app has to itself in its world, and what is found in there. It is gone with the app.

use std::sync::Arc;
use std::time::Duration;

use portwright::config::{self, Config, Database, Queue, Secret, Sharing, Storage};
use portwright_domain::ports::Clock;
use portwright_storage::S3Config;
use portwright_testkit::servers::{Postgres, Redis, S3};
use tempfile::TempDir;
use uuid::Uuid;

use crate::world::{self, World};

/// Connections of an app to each database server at most: so many that no test's requests wait for one. What becomes of
/// those that do is for the tests of the adapter.
const CONNECTIONS: u32 = 50;

/// A directory; outside of the embedded world a database, too; and in the last one keys in Redis, and a bucket.
pub(crate) struct Home {
    database: Option<OwnDatabase>,
    keys: Option<OwnKeys>,
    files: Option<S3>,
    directory: TempDir,
}

impl Home {
    /// A new one in this world.
    pub(crate) fn in_world(world: World) -> Self {
        let name = format!("app_{}", Uuid::new_v4().simple());
        let (has_servers, is_cluster) = (world != World::Embedded, world == World::Cluster);
        Self {
            database: has_servers.then(|| OwnDatabase::new(name.clone())),
            keys: is_cluster.then(|| OwnKeys { redis: world::redis(), namespace: name }),
            // A thread of the test, with a bucket that nobody else sees.
            files: is_cluster.then(S3::run),
            directory: TempDir::new().expect("a directory"),
        }
    }

    /// From now on this clock says when a file was stored, where that is not the server's to say.
    pub(crate) fn go_by(&self, clock: Arc<dyn Clock>) {
        if let Some(files) = &self.files {
            files.go_by(clock);
        }
    }

    /// Lets time pass for what is counted and remembered in Redis, where that goes by the time of Redis.
    pub(crate) fn pass(&self, time: Duration) {
        if let Some(OwnKeys { redis, namespace }) = &self.keys {
            for kept in ["limit", "cache"] {
                redis.pass(&format!("{{{namespace}}}:{kept}:*"), time);
            }
        }
    }

    /// Whether what is counted goes by a clock that stands still while nobody moves it.
    pub(crate) fn time_stands_still(&self) -> bool {
        self.keys.is_none()
    }

    /// The defaults of a server that lives here.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::embedded(self.directory.path());
        let urls = self.database.as_ref().map(|own| own.urls.clone()).unwrap_or_default();
        stand_on(&mut config, urls, self.files.as_ref());
        if let Some(OwnKeys { redis, namespace }) = &self.keys {
            config.queue = queue_in(redis, namespace);
            config.sharing = Sharing::Redis(keys_in(redis, namespace));
        }
        config
    }

    /// Every byte of the database, also what it has not folded in yet.
    pub(crate) fn database_bytes(&self) -> Vec<u8> {
        match &self.database {
            Some(own) => own.primary.contents(&own.name),
            None => self.read(["portwright.db", "portwright.db-wal"]),
        }
    }

    /// Every byte of the queue.
    pub(crate) fn queue_bytes(&self) -> Vec<u8> {
        match &self.keys {
            Some(own) => own.redis.contents(&format!("{{{}}}", own.namespace)),
            None => self.read(["queue.db", "queue.db-wal"]),
        }
    }

    fn read(&self, names: [&str; 2]) -> Vec<u8> {
        let files = names.map(|name| self.directory.path().join(name)).into_iter();
        files.filter(|file| file.exists()).flat_map(|file| std::fs::read(file).expect("readable")).collect()
    }

    /// How many files there are in a folder of the storage.
    pub(crate) fn stored_files(&self, folder: &str) -> usize {
        if let Some(files) = &self.files {
            return files.keys(&format!("{folder}/")).len();
        }
        let folder = self.directory.path().join("storage/objects").join(format!("{folder}+"));
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

/// Has a server keep its users in this database, which is that of several servers, and its files in this bucket. What is
/// not given stays as it is.
pub fn stand_on(config: &mut Config, urls: Vec<String>, files: Option<&S3>) {
    if !urls.is_empty() {
        let urls = urls.into_iter().map(Secret::new).collect();
        config.database = Database::Postgres { urls, connections: CONNECTIONS };
    }
    if let Some(files) = files {
        config.storage = Storage::S3(bucket_of(files));
    }
}

/// A queue in this Redis, with keys that begin with this.
#[must_use]
pub fn queue_in(redis: &Redis, namespace: &str) -> Queue {
    Queue::Redis(keys_in(redis, namespace))
}

fn keys_in(redis: &Redis, namespace: &str) -> config::Redis {
    let urls = vec![Secret::new(redis.url())];
    config::Redis { urls, namespace: namespace.to_owned(), may_lose_jobs: false }
}

fn bucket_of(files: &S3) -> S3Config {
    S3Config {
        endpoint: Some(files.endpoint()),
        region: "us-east-1".to_owned(),
        bucket: S3::BUCKET.to_owned(),
        access_key: S3::ACCESS_KEY.to_owned(),
        secret_key: S3::SECRET_KEY.to_owned(),
        force_path_style: true,
    }
}

/// Keys of the Redis of this run, which go with it.
struct OwnKeys {
    redis: Redis,
    namespace: String,
}

/// A database of the servers of this run.
struct OwnDatabase {
    primary: Postgres,
    name: String,
    urls: Vec<String>,
}

impl OwnDatabase {
    fn new(name: String) -> Self {
        let mut servers = world::postgres();
        let urls = servers.iter().map(|server| server.url(&name)).collect();
        let standbys = servers.split_off(1);
        let primary = servers.pop().expect("a primary");
        primary.create_database(&name, world::TEMPLATE);
        // Else the replicas would be away for as long as the app does not look again.
        for standby in &standbys {
            standby.await_database(&name);
        }
        Self { primary, name, urls }
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        self.primary.drop_database(&self.name);
    }
}
