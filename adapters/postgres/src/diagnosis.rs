//! What an operator wants to know of the servers when something is wrong, or before it is. Nothing is changed by asking.

use std::time::Duration;

use portwright_domain::ports::Obstacle;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::PostgresConfig;
use crate::pooled::bounded;
use crate::server::{name_of, open};

mod facts;

pub use facts::{Facts, Replay, examine};

/// `invalid_authorization_specification`: whom no rule lets in, or whom it does not know.
const NO_RULE: &str = "28000";

/// No question of a diagnosis takes longer than this.
const ANSWER: Duration = Duration::from_secs(2);

/// One server, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `host:port`.
    pub server: String,
    /// The name or address alone.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it is, or why that cannot be found out.
    pub role: Result<Role, Obstacle>,
}

/// What a server is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Standby,
}

/// Looks at every server at once, in the order of their URLs; takes six seconds at most.
pub async fn look(config: &PostgresConfig) -> Vec<Found> {
    let mut looks = JoinSet::new();
    for (at, server) in config.servers.iter().cloned().enumerate() {
        let connect = config.connect;
        looks.spawn(async move {
            let role = match role_of(&server, connect).await {
                Err(error) if takes_only_tls(&server, connect, &error).await => Err(Obstacle::OnlyTls),
                role => role.map_err(|error| obstacle(&error)),
            };
            let (host, port) = (server.get_host().to_owned(), server.get_port());
            (at, Found { server: name_of(&server), host, port, role })
        });
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

/// Whether a PostgreSQL answers there, whoever may sign in to it.
pub async fn is_there(host: &str, port: u16) -> bool {
    /// Asks whether there is TLS: the length of the question, and its number (chapter 55.7 of the manual).
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let asked = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_u8().await
    };
    matches!(timeout(ANSWER, asked).await, Ok(Ok(b'S' | b'N')))
}

async fn role_of(server: &PgConnectOptions, connect: Duration) -> Result<Role, sqlx::Error> {
    let mut connection = open(server, connect).await?;
    let is_standby = ask_role(&mut connection).await?;
    // Who hangs up without a word is in the server's log.
    let _ = bounded(ANSWER, connection.close()).await;
    Ok(if is_standby { Role::Standby } else { Role::Primary })
}

/// Whether a server that refused us would not have over TLS. What it says then is that there is no rule for us, in its own
/// language, and the same to a user whom it does not know.
async fn takes_only_tls(server: &PgConnectOptions, connect: Duration, refusal: &sqlx::Error) -> bool {
    let is_no_rule = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.as_deref() == Some(NO_RULE)
    };
    if !matches!(server.get_ssl_mode(), PgSslMode::Disable) || !is_no_rule(refusal) {
        return false;
    }
    let over_tls = server.clone().ssl_mode(PgSslMode::Require);
    match open(&over_tls, connect).await {
        Ok(connection) => bounded(ANSWER, connection.close()).await.is_ok(),
        Err(error) => error.as_database_error().is_some() && !is_no_rule(&error),
    }
}

async fn ask_role(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    bounded(ANSWER, sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection)).await
}

/// Why the server cannot be used.
pub(crate) fn obstacle(error: &sqlx::Error) -> Obstacle {
    match error {
        sqlx::Error::Io(error) => Obstacle::of_io(error),
        sqlx::Error::Tls(error) if error.to_string().contains("does not support TLS") => Obstacle::NoTls,
        sqlx::Error::Tls(error) => Obstacle::Tls(error.to_string()),
        sqlx::Error::Protocol(_) => Obstacle::HungUp,
        sqlx::Error::Database(reported) => {
            let said = reported.message().to_owned();
            match reported.code().as_deref().unwrap_or_default() {
                // invalid_password
                "28P01" | NO_RULE => Obstacle::Credentials(said),
                // invalid_catalog_name
                "3D000" => Obstacle::Absent(said),
                // insufficient_privilege
                "42501" => Obstacle::Forbidden(said),
                // too_many_connections, operator intervention
                code if code == "53300" || code.starts_with("57") => Obstacle::Busy(said),
                _ => Obstacle::Other(said),
            }
        }
        other => Obstacle::Other(other.to_string()),
    }
}
