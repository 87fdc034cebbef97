//! [`PostgresHealth`]: who is the primary, and how far behind the others are.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};

use crate::pooled::bounded;
use crate::status::{ServerRole, ServerStatus};
use crate::store::PostgresStore;

/// The probe named `database`: asks the primary like anybody else, and tells what each server is.
///
/// It passes while every server does its part, warns while one is away or only reads are answered, and fails when
/// nothing can be read.
pub struct PostgresHealth(PostgresStore);

impl PostgresHealth {
    /// Watches this store.
    #[must_use]
    pub const fn of(store: PostgresStore) -> Self {
        Self(store)
    }

    async fn ask_the_primary(&self) -> Result<(), PortError> {
        const OPERATION: &str = "health.check";
        let routing = self.0.routing();
        let (mut connection, server) = routing.primary_connection(OPERATION).await?;
        let answer = bounded(
            std::time::Duration::from_secs(1),
            sqlx::query("SELECT FROM users LIMIT 1").fetch_optional(&mut *connection),
        );
        if let Err(error) = answer.await {
            drop(deadpool::managed::Object::take(connection));
            routing.doubt(server);
            return Err(crate::error::port_error(OPERATION, error));
        }
        Ok(())
    }
}

#[async_trait]
impl HealthProbe for PostgresHealth {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Health {
        let primary = self.ask_the_primary().await;
        let (mut away, mut replicas, mut told) = (0, 0, Vec::new());
        for ServerStatus { name, role, open, in_use } in self.0.servers() {
            let is = match role {
                ServerRole::Away => {
                    away += 1;
                    "away".to_owned()
                }
                ServerRole::Primary => "primary".to_owned(),
                ServerRole::Replica { bytes_behind, behind } => {
                    replicas += 1;
                    let bytes = bytes_behind.map_or("?".to_owned(), |bytes| bytes.to_string());
                    let age = behind.map_or("?".to_owned(), |age| age.as_millis().to_string());
                    format!("replica, {bytes} bytes and {age} ms behind")
                }
            };
            told.push(format!("{name}: {is}; {in_use} of {open} connections in use"));
        }
        let mut health = match primary {
            Ok(()) => Health::pass(),
            Err(error) if replicas > 0 => {
                Health { status: HealthStatus::Warn, ..Health::pass() }.with("primary", error.to_string())
            }
            Err(error) => Health::fail(error.to_string()),
        };
        if away > 0 || self.0.routing().standings().writable().is_err() {
            health.status = health.status.max(HealthStatus::Warn);
        }
        health.with("servers", told.join(" | "))
    }
}
