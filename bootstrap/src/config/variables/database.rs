//! The variables of the database.

use std::path::PathBuf;

use super::super::Secret;
use super::super::database::{Node, SslMode};
use super::DefaultValue::{Is, Unset};
use super::{Variable, parse};

pub(in crate::config) static DATABASE_URL: Variable<Secret> = Variable::new(
    "DATABASE_URL",
    "postgres://user:password@host:port/database, with ?sslmode=… if need be",
    parse::database_url,
    Unset("the DB_ variables, and without any SQLite in DATA_DIR"),
    "The PostgreSQL database; wins over the DB_ variables.",
)
.secret();

pub(in crate::config) static DATABASE_REPLICA_URLS: Variable<Vec<Secret>> = Variable::new(
    "DATABASE_REPLICA_URLS",
    "URLs as DATABASE_URL, separated by commas",
    |text| text.split(',').map(|url| parse::database_url(url.trim())).collect(),
    Unset("DB_REPLICA_HOSTS, and without any the primary answers everything"),
    "Streaming replicas of the database, which answer reads. Which server is the primary is found out.",
)
.secret();

pub(in crate::config) static DB_HOST: Variable<String> = Variable::new(
    "DB_HOST",
    "an IP address or a host name, without a port",
    parse::host,
    Unset("SQLite in DATA_DIR, unless DATABASE_URL is set"),
    "The host of the PostgreSQL database.",
);

pub(in crate::config) static DB_PORT: Variable<u16> = Variable::new(
    "DB_PORT",
    "a whole number from 1 to 65535",
    |text| parse::number(text, 1..=65_535),
    Is("5432"),
    "The port of the PostgreSQL database.",
);

pub(in crate::config) static DB_USER: Variable<String> = Variable::new(
    "DB_USER",
    "the name of a database user",
    |text| Ok(text.to_owned()),
    Is("postgres"),
    "Who we are to the database.",
)
.or_named(&["DB_USERNAME"]);

pub(in crate::config) static DB_PASSWORD: Variable<Secret> = Variable::new(
    "DB_PASSWORD",
    "the password of that user",
    |text| parse::secret(text, 1),
    Unset("no password is sent"),
    "How the database knows us.",
)
.secret();

pub(in crate::config) static DB_NAME: Variable<String> = Variable::new(
    "DB_NAME",
    "the name of a database",
    |text| Ok(text.to_owned()),
    Is("portwright"),
    "The database on that server.",
)
.or_named(&["DB_DATABASE"]);

pub(in crate::config) static DB_SSLMODE: Variable<SslMode> = Variable::new(
    "DB_SSLMODE",
    "disable, allow, prefer, require, verify-ca or verify-full",
    |text| parse::one_of(text, &SslMode::ALL.map(|mode| (mode.as_str(), mode))),
    Is("prefer"),
    "Whether the connection is encrypted, and who the server must prove to be.",
);

pub(in crate::config) static DB_SSLROOTCERT: Variable<PathBuf> = Variable::new(
    "DB_SSLROOTCERT",
    "the path of a file with certificates (PEM)",
    parse::certificates,
    Unset("the authorities that this machine trusts, or those in the file that SSL_CERT_FILE names"),
    "The authorities that may vouch for the database, besides those of this machine; makes verify-ca of require, and \
     verify-full of what is less.",
);

pub(in crate::config) static DB_REPLICA_HOSTS: Variable<Vec<Node>> = Variable::new(
    "DB_REPLICA_HOSTS",
    "host:port or host, separated by commas",
    parse::nodes,
    Unset("the primary answers everything"),
    "Streaming replicas of the database, with the user, password and name of the primary.",
);

pub(in crate::config) static DB_CONNECTION_LIMIT: Variable<u32> = Variable::new(
    "DB_CONNECTION_LIMIT",
    "a whole number from 2 to 1000",
    |text| parse::number(text, 2..=1_000),
    Is("10"),
    "Connections of one process to each database server at most.",
);
