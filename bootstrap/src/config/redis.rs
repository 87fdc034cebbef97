//! A Redis that processes share, and what is kept there if there is one.

use super::AppEnv;
use super::compute::QueueBackend;
use super::database::{Database, Node, escaped, host_in_url};
use super::reader::Reader;
use super::secret::Secret;
use super::variables as v;

/// The servers of one Redis, and what is ours there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Their URLs, in any order; at least one. Several are a primary with its replicas, or some members of a cluster.
    pub urls: Vec<Secret>,
    /// What our keys begin with.
    pub namespace: String,
    /// Whether jobs may be kept there although it may lose them.
    pub may_lose_jobs: bool,
}

/// Where jobs wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// In a file in the data directory, for the workers of this host.
    Embedded,
    /// In Redis, for servers and workers on any host.
    Redis(Redis),
}

/// Where processes count requests, and remember what they computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// Each by itself, in its memory.
    Alone,
    /// Together, in Redis.
    Redis(Redis),
}

impl Sharing {
    /// Together where they can.
    pub(super) fn through(redis: Option<Redis>) -> Self {
        redis.map_or(Self::Alone, Self::Redis)
    }
}

/// Reads everything about Redis. A URL wins over its parts; `None` if there is none, or after a problem.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Redis> {
    let urls = reader.read(&v::REDIS_URL);
    let (host, port) = (reader.read(&v::REDIS_HOST), reader.read(&v::REDIS_PORT));
    let password = reader.read(&v::REDIS_PASSWORD);
    let number = reader.read(&v::REDIS_DB);
    let members = reader.read(&v::REDIS_CLUSTER_NODES);
    let namespace = reader.read(&v::REDIS_NAMESPACE);
    let may_lose_jobs = reader.read(&v::REDIS_MAY_LOSE_JOBS);

    if !is_given(reader) {
        refuse_parts_of_nothing(reader);
        return None;
    }
    let (port, number) = (port?, number?);
    if members.is_some() && number != 0 {
        reader.refuse(
            &[&v::REDIS_CLUSTER_NODES.spec, &v::REDIS_DB.spec],
            "a Redis cluster has one database, and it is number 0",
            "remove REDIS_DB; REDIS_NAMESPACE keeps applications apart",
        );
    }
    let urls = match (urls, members, host) {
        (Some(urls), ..) => urls,
        (None, Some(nodes), _) => nodes.iter().map(|node| url_of(node, port, password.as_ref(), 0)).collect(),
        (None, None, host) => {
            vec![url_of(&Node { host: host?, port: None }, port, password.as_ref(), number)]
        }
    };
    Some(Redis { urls, namespace: namespace?, may_lose_jobs: may_lose_jobs? })
}

fn is_given(reader: &Reader<'_>) -> bool {
    [&v::REDIS_URL.spec, &v::REDIS_HOST.spec, &v::REDIS_CLUSTER_NODES.spec]
        .into_iter()
        .any(|spec| reader.is_given(spec))
}

/// Whoever gives a password means a server that then is not used.
fn refuse_parts_of_nothing(reader: &mut Reader<'_>) {
    let parts = [
        &v::REDIS_PORT.spec,
        &v::REDIS_PASSWORD.spec,
        &v::REDIS_DB.spec,
        &v::REDIS_NAMESPACE.spec,
        &v::REDIS_MAY_LOSE_JOBS.spec,
    ];
    let given: Vec<_> = parts.into_iter().filter(|spec| reader.is_given(spec)).collect();
    if !given.is_empty() {
        reader.refuse(
            &given,
            "a Redis is described, but not where it is",
            "set REDIS_HOST, REDIS_CLUSTER_NODES or REDIS_URL; without any of these variables, jobs are kept in DATA_DIR",
        );
    }
}

/// Where jobs wait: in Redis if there is one, unless somebody says otherwise.
pub(super) fn queue(
    reader: &mut Reader<'_>,
    database: Option<&Database>,
    redis: Option<&Redis>,
) -> Option<Queue> {
    let backend = reader.read(&v::QUEUE_BACKEND);
    match (backend, redis) {
        (Some(QueueBackend::Redis) | None, Some(redis)) => Some(Queue::Redis(redis.clone())),
        (Some(QueueBackend::Embedded), _) => Some(Queue::Embedded),
        (Some(QueueBackend::Redis), None) => {
            // What is wrong with one that was given has been said.
            if !is_given(reader) {
                reader.refuse(
                    &[&v::QUEUE_BACKEND.spec],
                    "jobs are to wait in Redis, and no Redis is configured",
                    "set REDIS_URL or REDIS_HOST, or remove QUEUE_BACKEND",
                );
            }
            None
        }
        (None, None) => {
            name_the_queue(reader, database);
            Some(Queue::Embedded)
        }
    }
}

/// A queue in a file of one host, beside a database for many, is either a mistake or a decision.
fn name_the_queue(reader: &mut Reader<'_>, database: Option<&Database>) {
    let serves_many_hosts = matches!(database, Some(Database::Postgres { .. }));
    if serves_many_hosts && reader.app_env == AppEnv::Production && !is_given(reader) {
        reader.refuse(
            &[&v::DATABASE_URL.spec, &v::DB_HOST.spec],
            "jobs would wait in a file of this host, beside a database that many hosts may use",
            "REDIS_URL says where they wait for all; QUEUE_BACKEND=embedded says that one host is meant",
        );
    }
}

fn url_of(node: &Node, port: u16, password: Option<&Secret>, number: u16) -> Secret {
    let user = password.map(|password| format!(":{}@", escaped(password.expose()))).unwrap_or_default();
    Secret::new(format!("redis://{user}{}/{number}", host_in_url(node, port)))
}
