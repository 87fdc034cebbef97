//! Whether the database is of this version, who brings it there, and what a probe sees meanwhile.

use std::fs;

use crate::place::{Place, ran};
use crate::server::Server;

#[tokio::test]
async fn a_start_without_migrations_refuses_an_empty_directory_and_takes_a_migrated_one() {
    let place = Place::empty();
    place.run(["migrate", "check"]).await.expect(1);
    let refused = place.run(["serve", "--no-migrate"]).await;
    refused
        .expect_failure(78, &["is without migration 0001 (users_and_sessions)", "`portwright migrate up`"]);
    assert!(!place.data("portwright.db").exists());

    let applied = place.run(["migrate", "up"]).await;
    assert!(applied.expect(0).starts_with("applied 0001 users_and_sessions\n"), "{}", applied.stdout);
    assert_eq!(place.run(["migrate", "up"]).await.expect(0), "nothing to apply\n");
    assert_eq!(place.mode("portwright.db"), 0o600);

    let server = Server::start(&mut place.command(["serve", "--no-migrate"])).await;
    place.first_admin(&server).await.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn status_and_check_tell_how_far_the_database_is() {
    let place = Place::empty();
    let status = place.run(["migrate", "status"]).await;
    assert!(status.expect(0).starts_with("pending 0001 users_and_sessions\n"), "{}", status.stdout);
    let check = place.run(["migrate", "check"]).await;
    assert!(check.expect(1).contains("`portwright migrate up` applies them"), "{}", check.stdout);
    assert!(!place.data("portwright.db").exists(), "to look changes nothing");

    // Beside a running server, which has migrated.
    let _server = place.serve().await;
    assert_eq!(place.run(["migrate", "check"]).await.expect(0), "the database is of this version\n");
    let status = place.run(["migrate", "status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(status.expect(0)).expect("JSON");
    assert_eq!(status["pending"], serde_json::json!([]));
    assert_eq!(status["applied"][0]["name"], "users_and_sessions");
    assert!(status["applied"][0]["appliedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{status}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let place = Place::empty();
    fs::create_dir(place.data("")).expect("made");
    let content = "these are not the tables that you are looking for\n".repeat(100);
    fs::write(place.data("portwright.db"), &content).expect("written");
    for arguments in [&["serve"][..], &["migrate", "up"], &["migrate", "check"], &["users", "list"]] {
        let refused = place.run(arguments).await;
        refused.expect_failure(78, &["./data/portwright.db", "not a database", "fix:  restore it"]);
        assert_eq!(refused.stderr.matches("is not a database").count(), 1, "{}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(place.data("portwright.db")).expect("there"), content);
    assert!(!place.data("first-run.txt").exists());
}

#[tokio::test]
async fn a_probe_sees_a_server_live_and_die() {
    let place = Place::empty();
    let server = place.serve().await;
    let port = server.address.port().to_string();
    let probe = async |check: &[&str]| {
        let mut command = place.command(["health"].iter().chain(check));
        ran(command.env("PORT", &port), b"").await
    };
    for check in [&[][..], &["live"], &["ready"]] {
        let answer = probe(check).await;
        let health: serde_json::Value = serde_json::from_str(answer.expect(0)).expect("JSON");
        assert_eq!(health["status"], "pass", "{check:?}");
    }
    server.stop().await;
    for check in [&[][..], &["live"], &["ready"]] {
        probe(check).await.expect_failure(1, &["no answer from the server at 127.0.0.1"]);
    }
}
