//! The database: reads go on without its primary, and nobody misses a replica.

use std::time::Duration;

use portwright_testkit::servers::{Postgres, Stop};
use serde_json::json;

use tokio::time::Instant;

use crate::{expect_unavailable, meanwhile, on, on_with, readiness, rename, until};

/// Nobody waits longer for a server that is away.
const PATIENCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_primary_reads_go_on_and_writes_are_refused_until_it_is_back() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let app = on(&[&primary, &standby], None).await;
    let admin = app.admin().await;
    rename(&admin, "Ada").await.expect(200);
    assert_eq!(readiness(&app, 200).await, json!("pass"));

    for stop in [Stop::Immediate, Stop::Kill] {
        meanwhile(|| primary.stop(stop));
        for _ in 0..3 {
            assert_eq!(admin.get(&admin.path()).await.expect(200)["firstName"], "Ada", "{stop:?}");
            admin.get("/users").await.expect(200);
            admin.get("/auth/me").await.expect(200);
        }
        for _ in 0..3 {
            expect_unavailable(PATIENCE, rename(&admin, "Eve")).await;
        }
        let refresh = json!({"refreshToken": admin.refresh_token()});
        expect_unavailable(PATIENCE, app.nobody().post("/auth/refresh", &refresh)).await;
        assert_eq!(readiness(&app, 200).await, json!("warn"), "{stop:?}");

        meanwhile(|| primary.start());
        let took = until(200, async || rename(&admin, "Ada").await).await;
        assert!(took < Duration::from_secs(2), "writes came back after {took:?}");
        // What was refused did not happen, and the session is what it was.
        assert_eq!(admin.get(&admin.path()).await.expect(200)["firstName"], "Ada");
    }
    let refresh = json!({"refreshToken": admin.refresh_token()});
    app.nobody().post("/auth/refresh", &refresh).await.expect(200);
    until(200, async || app.nobody().get("/health/ready").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_replica_is_gone() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let app = on(&[&primary, &standby], None).await;
    let admin = app.admin().await;
    for stop in [Stop::Fast, Stop::Kill] {
        // Some of them are on their way when it goes.
        let asking = async {
            for number in 0..40 {
                let name = format!("Ada {number}");
                rename(&admin, &name).await.expect(200);
                assert_eq!(admin.get(&admin.path()).await.expect(200)["firstName"], name.as_str());
                admin.get("/users").await.expect(200);
            }
        };
        let stopping = async {
            tokio::task::yield_now().await;
            meanwhile(|| standby.stop(stop));
        };
        tokio::join!(asking, stopping);
        assert_eq!(readiness(&app, 200).await, json!("warn"), "{stop:?}");
        meanwhile(|| standby.start());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_database_that_says_nothing_a_request_takes_the_time_it_has_and_no_more() {
    // Less than the layers before the database would wait.
    const BUDGET: Duration = Duration::from_millis(1_500);
    let primary = Postgres::primary();
    let app = on_with(&[&primary], None, |config| config.http.request_timeout = BUDGET).await;
    let admin = app.admin().await;
    meanwhile(|| primary.freeze());
    let asked = Instant::now();
    rename(&admin, "Eve").await.expect_problem(504, "timeout");
    let took = asked.elapsed();
    meanwhile(|| primary.thaw());
    assert!(took >= BUDGET && took < BUDGET + Duration::from_millis(300), "{took:?}");
    until(200, async || rename(&admin, "Ada").await).await;
}
