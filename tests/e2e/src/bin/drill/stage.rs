//! [`Stage`]: everything that runs: two servers of ours, and what they depend on behind a proxy for each of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portwright_testkit::proxy::Proxy;
use portwright_testkit::servers::{Postgres, Redis, S3};

use crate::fault::{NODES, Peer, name_of};
use crate::journal::Journal;
use crate::node::Node;

/// The administrator.
pub(crate) const EMAIL: &str = "admin@drill.example";
/// Its password, and everybody's.
pub(crate) const PASSWORD: &str = "granite-otter-lagoon-37";
/// Opens the details of the health.
pub(crate) const HEALTH_KEY: &str = "drill-health-key-0123456789";

/// What runs.
pub(crate) struct Stage {
    pub(crate) primary: Postgres,
    pub(crate) standby: Postgres,
    pub(crate) redis: Redis,
    pub(crate) files: S3,
    pub(crate) nodes: Vec<Node>,
    pub(crate) database: String,
    /// For each server, in the order of [`Peer::ALL`].
    wires: Vec<Vec<Proxy>>,
}

impl Stage {
    /// Starts everything; logs go to this folder.
    pub(crate) async fn set(binary: &Path, place: &Path, journal: &Arc<Journal>) -> Self {
        let (primary, redis) = tokio::task::block_in_place(|| {
            // A server that is killed right after it has answered has written everything: with `everysec`, what was
            // acknowledged while the disk syncs may be lost (decision record 11), and loss is what is looked for.
            (Postgres::primary(), Redis::with_options(&["--appendfsync", "always"]))
        });
        let (standby, files) = tokio::task::block_in_place(|| (primary.standby(), S3::run()));
        let database = tokio::task::block_in_place(|| {
            let database = primary.fresh_database();
            standby.await_database(&database);
            database
        });
        let port = |peer| match peer {
            Peer::Primary => primary.port(),
            Peer::Standby => standby.port(),
            Peer::Redis => redis.port(),
            Peer::Files => {
                files.endpoint().rsplit(':').next().and_then(|it| it.parse().ok()).expect("a port")
            }
        };
        let (mut wires, mut nodes) = (Vec::new(), Vec::new());
        for number in 0..NODES {
            let mut of_node = Vec::new();
            for peer in Peer::ALL {
                of_node.push(Proxy::to(port(peer)).await);
            }
            let home = place.join(format!("server-{}", name_of(number)));
            std::fs::create_dir(&home).expect("a folder");
            let environment = environment(&home, &database, &of_node);
            nodes.push(Node::new(number, binary.to_owned(), environment, home.join("log"), journal.clone()));
            wires.push(of_node);
        }
        // One after the other: the first makes the tables, and the administrator.
        for node in &nodes {
            node.start().await;
        }
        Self { primary, standby, redis, files, nodes, database, wires }
    }

    /// What is between a server of ours and a peer.
    pub(crate) fn wire(&self, node: usize, peer: Peer) -> &Proxy {
        let at = Peer::ALL.iter().position(|it| *it == peer).expect("all of them");
        &self.wires[node][at]
    }

    /// The PostgreSQL server of this name. Panics for what is none.
    pub(crate) fn postgres(&self, peer: Peer) -> &Postgres {
        match peer {
            Peer::Primary => &self.primary,
            Peer::Standby => &self.standby,
            Peer::Redis | Peer::Files => panic!("{peer} is no PostgreSQL"),
        }
    }
}

/// Production, with times that a drill has time for and limits that are out of its way.
fn environment(home: &Path, database: &str, wires: &[Proxy]) -> Vec<(&'static str, String)> {
    let [primary, standby, redis, files] = wires else { panic!("a wire for each peer") };
    let postgres = |wire: &Proxy| format!("postgres://postgres@127.0.0.1:{}/{database}", wire.port());
    let data: PathBuf = home.join("data");
    let own = [
        ("DATA_DIR", data.to_str().expect("text").to_owned()),
        ("DATABASE_URL", postgres(primary)),
        ("DATABASE_REPLICA_URLS", postgres(standby)),
        ("REDIS_URL", format!("redis://127.0.0.1:{}", redis.port())),
        ("STORAGE_ENDPOINT", format!("http://127.0.0.1:{}", files.port())),
    ];
    let common = [
        ("APP_ENV", "production"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        ("ADMIN_EMAIL", EMAIL),
        ("ADMIN_PASSWORD", PASSWORD),
        ("JWT_SECRET", "q3Yt0nR6dJ1vXwq8Zb7sKf2uM5hLgC4e"),
        // A session that is not refreshed lasts as long as the longest drill.
        ("JWT_EXPIRES_IN", "7d"),
        ("HEALTH_CHECK_SECRET", HEALTH_KEY),
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_BUCKET_NAME", S3::BUCKET),
        ("STORAGE_REGION", "us-east-1"),
        ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
        ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
        ("STORAGE_FORCE_PATH_STYLE", "true"),
        ("RATE_LIMIT_MAX_REQUESTS", "1000000000"),
        ("RATE_LIMIT_SERVERS", "2"),
        ("LOGIN_MAX_FAILURES", "1000000"),
        ("SHUTDOWN_READY_DELAY", "500ms"),
        ("SHUTDOWN_TIMEOUT", "10s"),
        // What a killed worker held is run by another one after this.
        ("COMPUTE_LEASE", "2s"),
        ("COMPUTE_MIN_WORKERS", "1"),
        ("COMPUTE_MAX_WORKERS", "2"),
        ("COMPUTE_CONCURRENCY", "4"),
        // An outage takes longer than the usual three tries, and nobody wants to wait for a fourth.
        ("QUEUE_ATTEMPTS", "1000"),
        ("QUEUE_BACKOFF_TYPE", "fixed"),
        ("QUEUE_BACKOFF_DELAY", "500ms"),
        // Everything is looked for at the end.
        ("QUEUE_REMOVE_ON_COMPLETE", "30d"),
        ("QUEUE_REMOVE_ON_FAIL", "30d"),
    ];
    let common = common.into_iter().map(|(name, value)| (name, value.to_owned()));
    own.into_iter().chain(common).collect()
}
