//! `PostgreSQL` keeps every promise of the store: alone, and with a replica that answers whenever it may.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::sync::Arc;

use portwright_domain::ports::{Store, Unobserved};
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_testkit::Fixture;
use portwright_testkit::contract::store;
use portwright_testkit::servers::Postgres;

async fn store_on(servers: Vec<Postgres>) -> Fixture<dyn Store> {
    let database = servers.first().expect("a primary").fresh_database();
    let urls = servers.iter().map(|server| server.url(&database));
    let store = PostgresStore::init(&PostgresConfig::at(urls).expect("URLs"), Arc::new(Unobserved))
        .await
        .expect("a store");
    Fixture::<dyn Store>::new(Arc::new(store)).keeping(servers)
}

mod alone {
    use super::*;

    async fn fresh_store() -> Fixture<dyn Store> {
        store_on(vec![Postgres::primary()]).await
    }

    portwright_testkit::store_contract!(fresh_store);
}

/// On one pair of servers, since these take longer to start: the promises do not change with a replica.
#[tokio::test]
async fn it_keeps_every_promise_with_a_replica_too() {
    let primary = Arc::new(Postgres::primary());
    let standby = Arc::new(primary.standby());
    let fresh_store = || async {
        let database = primary.fresh_database();
        let urls = [primary.url(&database), standby.url(&database)];
        let store = PostgresStore::init(&PostgresConfig::at(urls).expect("URLs"), Arc::new(Unobserved))
            .await
            .expect("a store");
        Fixture::<dyn Store>::new(Arc::new(store))
    };
    let broken = portwright_testkit::broken_promises(store::PROMISES, fresh_store).await;
    assert_eq!(broken, [""; 0]);
}
