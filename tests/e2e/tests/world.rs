//! The world that a run names is the one that it has: nothing passes in another one by mistake.

use portwright_e2e::{TestApp, World};
use serde_json::{Value, json};

/// What `/health` tells of a component.
async fn told(app: &TestApp, component: &str) -> Value {
    let health = app.nobody().get("/health").await.expect(200);
    let told = &health["checks"][component];
    assert!(!told.is_null(), "{health}");
    told.clone()
}

#[tokio::test]
async fn the_server_stands_on_what_the_run_names() {
    let app = TestApp::embedded().await;
    app.admin().await.start_primes(100).await;
    let database = told(&app, "database").await.to_string();
    let replicas = database.matches(": replica, ").count();
    let jobs = app.queue_bytes();
    let in_redis = jobs.starts_with(b"{app_");
    assert_eq!(in_redis, World::of_this_run() == World::Cluster, "{} bytes", jobs.len());
    match World::of_this_run() {
        World::Embedded => assert!(database.contains("wal_bytes"), "{database}"),
        World::Postgres => assert_eq!((database.contains(": primary"), replicas), (true, 0), "{database}"),
        World::Cluster => assert_eq!((database.contains(": primary"), replicas), (true, 2), "{database}"),
    }
}

#[tokio::test]
async fn what_one_app_keeps_no_other_sees() {
    let (one, other) = (TestApp::embedded().await, TestApp::embedded().await);
    let ada = portwright_e2e::app::new_user("ada@example.com", &json!({}));
    one.admin().await.post("/users", &ada).await.expect(201);
    let population =
        async |app: &TestApp| app.admin().await.get("/users").await.body(200)["pagination"]["total"].clone();
    assert_eq!((population(&one).await, population(&other).await), (json!(2), json!(1)));
    let has = |bytes: Vec<u8>| bytes.windows(15).any(|window| window == b"ada@example.com");
    assert!(has(one.database_bytes()) && !has(other.database_bytes()));
}

#[test]
fn a_world_that_is_not_known_is_none() {
    for world in [World::Embedded, World::Postgres, World::Cluster] {
        assert_eq!(World::named(world.name()), Some(world));
    }
    assert_eq!(World::named("redis"), None);
    assert_eq!(World::named(""), None);
}
