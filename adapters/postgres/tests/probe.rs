//! The probe of `PostgreSQL` keeps every promise of a health probe.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::{HealthProbe, Unobserved};
use portwright_postgres::{PostgresConfig, PostgresHealth, PostgresStore};
use portwright_testkit::Fixture;
use portwright_testkit::servers::Postgres;

async fn fresh_probe() -> Fixture<dyn HealthProbe> {
    let server = Postgres::primary();
    let config = PostgresConfig::at([server.url(&server.fresh_database())]).expect("a URL");
    let store = PostgresStore::init(&config, Arc::new(Unobserved)).await.expect("a store");
    Fixture::<dyn HealthProbe>::new(Arc::new(PostgresHealth::of(store))).keeping(server)
}

portwright_testkit::health_probe_contract!(fresh_probe);
