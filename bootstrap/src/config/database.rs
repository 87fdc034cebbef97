//! Where users and sessions are kept: one SQLite file, or a PostgreSQL database with its replicas.

use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::secret::Secret;
use super::variables as v;

/// Where users and sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In one file, which is created where it is missing.
    Sqlite {
        /// The file.
        file: PathBuf,
    },
    /// On PostgreSQL servers.
    Postgres {
        /// Their URLs, the one that was named as the primary first; at least one.
        urls: Vec<Secret>,
        /// Connections to each at most.
        connections: u32,
    },
}

impl Database {
    pub(crate) fn sqlite_in(data_dir: &Path) -> Self {
        Self::Sqlite { file: data_dir.join("portwright.db") }
    }
}

/// A server in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// What libpq calls `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub(super) const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// What is asked of TLS.
#[derive(Debug, Clone, Copy)]
struct Tls<'a> {
    mode: SslMode,
    authorities: Option<&'a Path>,
}

/// Reads everything about the database. A URL wins over its parts; without either, it is SQLite.
pub(super) fn database(reader: &mut Reader<'_>, data_dir: Option<&Path>) -> Option<Database> {
    let url = reader.read(&v::DATABASE_URL);
    let replica_urls = reader.read(&v::DATABASE_REPLICA_URLS);
    let host = reader.read(&v::DB_HOST);
    let port = reader.read(&v::DB_PORT);
    let (user, password, name) =
        (reader.read(&v::DB_USER), reader.read(&v::DB_PASSWORD), reader.read(&v::DB_NAME));
    let ssl_mode = reader.read(&v::DB_SSLMODE);
    let authorities = reader.read(&v::DB_SSLROOTCERT);
    let replica_hosts = reader.read(&v::DB_REPLICA_HOSTS);
    let connections = reader.read(&v::DB_CONNECTION_LIMIT);

    let is_given =
        |reader: &Reader<'_>| reader.is_given(&v::DATABASE_URL.spec) || reader.is_given(&v::DB_HOST.spec);
    if !is_given(reader) {
        refuse_parts_of_nothing(reader);
        return Some(Database::sqlite_in(data_dir?));
    }
    let (port, user, name, ssl_mode) = (port?, user?, name?, ssl_mode?);
    if authorities.is_some() && ssl_mode == SslMode::Disable {
        reader.refuse(
            &[&v::DB_SSLMODE.spec, &v::DB_SSLROOTCERT.spec],
            "the authority of a certificate is given, and no certificate is asked for",
            "set DB_SSLMODE to verify-full, or remove DB_SSLROOTCERT",
        );
    }
    let tls = Tls { mode: ssl_mode, authorities: authorities.as_deref() };
    let parts = |node: &Node| url_of(node, port, &user, password.as_ref(), &name, tls);
    let primary = match (url, host) {
        (Some(url), _) => url,
        (None, Some(host)) => parts(&Node { host, port: None }),
        (None, None) => return None,
    };
    let replicas = match (replica_urls, replica_hosts) {
        (Some(urls), _) => urls,
        (None, hosts) => hosts.unwrap_or_default().iter().map(parts).collect(),
    };
    let urls = std::iter::once(primary).chain(replicas).collect();
    Some(Database::Postgres { urls, connections: connections? })
}

/// Whoever names a user or a replica means a database that then is not used.
fn refuse_parts_of_nothing(reader: &mut Reader<'_>) {
    let parts = [
        &v::DATABASE_REPLICA_URLS.spec,
        &v::DB_PORT.spec,
        &v::DB_USER.spec,
        &v::DB_PASSWORD.spec,
        &v::DB_NAME.spec,
        &v::DB_SSLMODE.spec,
        &v::DB_SSLROOTCERT.spec,
        &v::DB_REPLICA_HOSTS.spec,
    ];
    let given: Vec<_> = parts.into_iter().filter(|spec| reader.is_given(spec)).collect();
    if !given.is_empty() {
        reader.refuse(
            &given,
            "a PostgreSQL database is described, but not where it is",
            "set DB_HOST or DATABASE_URL; without any of these variables, everything is kept in SQLite",
        );
    }
}

fn url_of(node: &Node, port: u16, user: &str, password: Option<&Secret>, name: &str, tls: Tls<'_>) -> Secret {
    let server = host_in_url(node, port);
    let password = password.map(|password| format!(":{}", escaped(password.expose()))).unwrap_or_default();
    let (user, name, ssl_mode) = (escaped(user), escaped(name), tls.mode.as_str());
    let authorities =
        tls.authorities.map(|file| format!("&sslrootcert={}", escaped(&file.to_string_lossy())));
    let authorities = authorities.unwrap_or_default();
    Secret::new(format!("postgres://{user}{password}@{server}/{name}?sslmode={ssl_mode}{authorities}"))
}

/// The host and the port, which is this one unless the node has its own.
pub(super) fn host_in_url(node: &Node, port: u16) -> String {
    let port = node.port.unwrap_or(port);
    if node.host.contains(':') { format!("[{}]:{port}", node.host) } else { format!("{}:{port}", node.host) }
}

/// A part of a URL (RFC 3986): whatever is not unreserved is written in percents.
pub(super) fn escaped(text: &str) -> String {
    let escaped = text.bytes().map(|byte| {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_be_anything() {
        let node = Node { host: "::1".to_owned(), port: Some(6432) };
        let password = Secret::new("p@ss:w/rd? ä".to_owned());
        let tls = Tls { mode: SslMode::VerifyFull, authorities: Some(Path::new("/a b.pem")) };
        let url = url_of(&node, 5432, "me", Some(&password), "my db", tls);
        let expected = "postgres://me:p%40ss%3Aw%2Frd%3F%20%C3%A4@[::1]:6432/my%20db?sslmode=verify-full\
             &sslrootcert=%2Fa%20b.pem";
        assert_eq!(url.expose(), expected);
    }
}
