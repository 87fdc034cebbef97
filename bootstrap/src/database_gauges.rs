//! The servers of the database, for metrics.

use std::collections::BTreeMap;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_metrics::{Readings, Source, name};
use portwright_postgres::{PostgresStore, ServerRole, ServerStatus};

/// Tells what the store knows of its servers.
pub struct DatabaseGauges(PostgresStore);

impl DatabaseGauges {
    /// Those of this store.
    #[must_use]
    pub const fn of(store: PostgresStore) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Source for DatabaseGauges {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        Ok(readings(&self.0.servers()))
    }
}

/// Connections are added up by role: replicas share the work, so that what is left is left of all of them.
fn readings(servers: &[ServerStatus]) -> Readings {
    let mut connections = BTreeMap::<_, f64>::new();
    let mut readings = Readings::default();
    for server in servers {
        let ServerStatus { name: replica, role, open, in_use } = server;
        for (state, count) in [("used", *in_use), ("idle", open.saturating_sub(*in_use))] {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            *connections.entry((state, role.as_str())).or_default() += count;
        }
        if let ServerRole::Replica { bytes_behind: Some(bytes), .. } = role {
            readings = readings.with(&name::DB_LAG, &[replica], bytes_as_f64(*bytes));
        }
    }
    connections.into_iter().fold(readings, |readings, ((state, role), count)| {
        readings.with(&name::DB_CONNECTIONS, &[state, role], count)
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody minds a byte among petabytes")]
const fn bytes_as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portwright_memory::SystemClock;
    use portwright_metrics::{Exposition, Metrics};
    use portwright_testkit::Scrape;

    use super::*;

    /// Servers that are as they are.
    struct Fixed(Vec<ServerStatus>);

    #[async_trait]
    impl Source for Fixed {
        fn name(&self) -> &'static str {
            "database"
        }

        async fn read(&self) -> Result<Readings, PortError> {
            Ok(readings(&self.0))
        }
    }

    #[tokio::test]
    async fn replicas_lag_each_and_share_their_connections() {
        let server =
            |name: &str, role, open, in_use| ServerStatus { name: name.to_owned(), role, open, in_use };
        let behind = |bytes| ServerRole::Replica { bytes_behind: Some(bytes), behind: None };
        let servers = vec![
            server("a:5432", ServerRole::Primary, 8, 3),
            server("b:5432", behind(0), 4, 1),
            server("c:5432", behind(4096), 2, 2),
            server("d:5432", ServerRole::Replica { bytes_behind: None, behind: None }, 0, 0),
        ];
        let metrics = Arc::new(Metrics::new(Arc::new(SystemClock)));
        let scrape = Scrape::parse(&Exposition::new(metrics, vec![Arc::new(Fixed(servers))]).text().await);
        let connections =
            |state, role| scrape.whole("db_client_connections", &[("state", state), ("role", role)]);
        assert_eq!((connections("used", "primary"), connections("idle", "primary")), (3, 5));
        assert_eq!((connections("used", "replica"), connections("idle", "replica")), (3, 3));
        assert_eq!(scrape.whole("db_replica_lag_bytes", &[("replica", "c:5432")]), 4096);
        assert_eq!(scrape.values_of("db_replica_lag_bytes", "replica"), ["b:5432", "c:5432"]);
    }
}
