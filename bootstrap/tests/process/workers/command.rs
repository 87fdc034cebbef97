//! `portwright jobs`, beside a server and without one.

use std::time::Duration;

use portwright_domain::job::JobState;
use serde_json::Value;

use super::Jobs;
use crate::place::Place;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_shown_cancelled_and_run_again() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let jobs = Jobs::at(&place);
    let first = jobs.take_time("first", Duration::ZERO).await;
    let second = jobs.take_time("second", Duration::ZERO).await;

    let listed = place.run(["jobs", "ls", "--json"]).await;
    let rows: Vec<Value> =
        listed.expect(0).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [second.to_string(), first.to_string()], "the newest first");
    assert_eq!(rows[0]["state"], "ready");
    let none = place.run(["jobs", "ls", "--state", "dead", "--task", "works.take_time"]).await;
    assert_eq!(none.expect(0), "");

    let id = first.to_string();
    place.run(["jobs", "cancel", &id]).await.expect_failure(2, &["nobody is there to ask", "add --yes"]);
    let cancelled = place.run(["jobs", "cancel", &id, "--yes"]).await;
    assert_eq!(cancelled.expect(0), format!("{id} will not start\n"));
    place.run(["jobs", "cancel", &id, "--yes"]).await.expect_failure(1, &["come to its end already"]);
    let shown = place.run(["jobs", "show", &id]).await;
    assert!(shown.expect(0).contains("state         cancelled\n"), "{}", shown.stdout);

    let retried = place.run(["jobs", "retry", &id, "--json"]).await;
    assert!(retried.expect(0).contains(r#""state":"ready""#), "{}", retried.stdout);
    place.run(["jobs", "retry", &id]).await.expect_failure(1, &["failed, is dead or was cancelled"]);
    let unknown = "01900000-0000-7000-8000-000000000000";
    place.run(["jobs", "show", unknown]).await.expect_failure(1, &["there is no job"]);
    place.run(["jobs", "show", "7"]).await.expect_failure(2, &["invalid value '7'"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let jobs = Jobs::at(&place);
    assert_eq!(place.run(["jobs", "pause", "default"]).await.expect(0), "default starts no more jobs\n");
    let job = jobs.take_time("job", Duration::ZERO).await;
    super::ready_workers(&server, 1).await;
    assert_eq!(jobs.find(job).await.state, JobState::Ready);
    place.run(["jobs", "resume", "default"]).await.expect(0);
    jobs.until_state(job, JobState::Succeeded).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_says_who_owns_the_jobs() {
    let place = Place::empty();
    let said = ["no answer from a server on the data directory ./data", "the server owns the jobs"];
    place.run(["jobs", "ls"]).await.expect_failure(69, &said);
}
