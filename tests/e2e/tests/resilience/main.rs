//! What clients see while a server behind ours is down, and how soon they see it no more: the whole product on real
//! servers, which each test stops and starts.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod database;
mod files;
mod gone;
mod queue;
mod transfers;

use std::time::Duration;

use portwright::config::Config;
use portwright_e2e::{Answer, Caller, TestApp};
use portwright_testkit::servers::{Postgres, S3};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A server on these databases, the primary first, and on this bucket if there is one.
pub(crate) async fn on(databases: &[&Postgres], files: Option<&S3>) -> TestApp {
    on_with(databases, files, |_| {}).await
}

/// The same, with a different configuration.
pub(crate) async fn on_with(
    databases: &[&Postgres],
    files: Option<&S3>,
    change: impl FnOnce(&mut Config),
) -> TestApp {
    let name = databases.first().expect("a primary").fresh_database();
    let urls = databases.iter().map(|server| server.url(&name)).collect();
    for standby in databases.iter().skip(1) {
        standby.await_database(&name);
    }
    TestApp::with(|config| {
        portwright_e2e::home::stand_on(config, urls, files);
        change(config);
    })
    .await
}

/// Panics unless it is refused for now, in no more time than this.
pub(crate) async fn expect_unavailable(within: Duration, answer: impl Future<Output = Answer>) {
    expect_away("unavailable", within, answer).await;
}

/// The same, with the code that tells what is away.
pub(crate) async fn expect_away(code: &str, within: Duration, answer: impl Future<Output = Answer>) {
    let asked = Instant::now();
    let answer = answer.await;
    answer.expect_problem(503, code);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(asked.elapsed() < within, "it took {:?}", asked.elapsed());
}

/// How long it takes until a request is answered with this status. Panics if that is not within 20 s.
pub(crate) async fn until(status: u16, ask: impl AsyncFn() -> Answer) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if answer.status == status {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "still {}: {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Does something that blocks, such as ending a server, while everything else goes on.
pub(crate) fn meanwhile<T>(act: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(act)
}

/// How ready the server says that it is.
pub(crate) async fn readiness(app: &TestApp, status: u16) -> Value {
    app.nobody().get("/health/live").await.expect(200);
    app.nobody().get("/health/ready").await.body(status)["status"].clone()
}

/// A change of the caller's own name.
pub(crate) async fn rename(caller: &Caller, name: &str) -> Answer {
    caller.patch(&caller.path(), &json!({"firstName": name})).await
}

/// A picture for the caller.
pub(crate) async fn draw(caller: &Caller, picture: Vec<u8>) -> Answer {
    let request = caller.request(Method::PUT, &format!("{}/avatar", caller.path()));
    caller
        .send(request.header("content-type", "image/png").header("Prefer", "respond-async").body(picture))
        .await
}
