//! The variables of Redis.

use super::super::Secret;
use super::super::database::Node;
use super::DefaultValue::{Is, Unset};
use super::{Variable, parse};

pub(in crate::config) static REDIS_URL: Variable<Vec<Secret>> = Variable::new(
    "REDIS_URL",
    "redis://user:password@host:port/number, or rediss:// for TLS; several separated by commas",
    |text| text.split(',').map(|url| parse::redis_url(url.trim())).collect(),
    Unset("the other REDIS_ variables, and without any no Redis is used"),
    "The Redis that processes share; wins over the other variables. Several URLs are a primary with its replicas, or some \
     members of a cluster: which of them to ask is found out.",
)
.secret();

pub(in crate::config) static REDIS_HOST: Variable<String> = Variable::new(
    "REDIS_HOST",
    "an IP address or a host name, without a port",
    parse::host,
    Unset("no Redis is used, unless REDIS_URL or REDIS_CLUSTER_NODES is set"),
    "The host of the Redis.",
);

pub(in crate::config) static REDIS_PORT: Variable<u16> = Variable::new(
    "REDIS_PORT",
    "a whole number from 1 to 65535",
    |text| parse::number(text, 1..=65_535),
    Is("6379"),
    "The port of the Redis.",
);

pub(in crate::config) static REDIS_PASSWORD: Variable<Secret> = Variable::new(
    "REDIS_PASSWORD",
    "the password of the default user",
    |text| parse::secret(text, 1),
    Unset("no password is sent"),
    "How Redis knows us; REDIS_URL can name another user, too.",
)
.secret();

pub(in crate::config) static REDIS_DB: Variable<u16> = Variable::new(
    "REDIS_DB",
    "a whole number from 0 to 9999",
    |text| parse::number(text, 0..=9_999),
    Is("0"),
    "The number of the database in the Redis; a cluster has only 0.",
);

pub(in crate::config) static REDIS_CLUSTER_NODES: Variable<Vec<Node>> = Variable::new(
    "REDIS_CLUSTER_NODES",
    "host:port or host, separated by commas",
    parse::nodes,
    Unset("it is no cluster, or REDIS_URL names its members"),
    "Some members of a Redis cluster; wins over REDIS_HOST.",
);

pub(in crate::config) static REDIS_NAMESPACE: Variable<String> = Variable::new(
    "REDIS_NAMESPACE",
    "1 to 100 of a-z, 0-9, '.', '_' and '-'",
    |text| {
        parse::characters(text, 1..=100, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c)
        })
    },
    Is("portwright"),
    "What our keys in Redis begin with. Servers and workers that belong together share it; others have their own.",
);

pub(in crate::config) static REDIS_MAY_LOSE_JOBS: Variable<bool> = Variable::new(
    "REDIS_MAY_LOSE_JOBS",
    "true or false",
    |text| parse::one_of(text, &[("true", true), ("false", false)]),
    Is("false"),
    "Whether jobs are kept even in a Redis that removes keys when its memory is full, or forgets them when it ends. \
     Otherwise one without `maxmemory-policy noeviction` and `appendonly yes` is refused.",
);
