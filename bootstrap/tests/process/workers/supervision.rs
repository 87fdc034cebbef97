//! How many workers there are, and what is said of those that do not work.

use std::collections::BTreeSet;
use std::time::Duration;

use portwright_domain::job::JobState;

use super::{Jobs, children, ready_workers, same_program, until, workers_health};
use crate::place::Place;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn work_that_waits_brings_more_workers() {
    let place = Place::empty();
    let server = Server::start(place.server_with_workers(1, 3).env("COMPUTE_CONCURRENCY", "1")).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let mut all = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        all.push(jobs.take_time(name, Duration::from_secs(2)).await);
    }
    let workers = ready_workers(&server, 3).await;
    assert!(workers.iter().all(|pid| same_program(*pid, server.pid())));
    for job in all {
        jobs.until_state(job, JobState::Succeeded).await;
    }
    let who: BTreeSet<u32> = ["a", "b", "c", "d", "e", "f"].map(|name| jobs.trace(name)[0].pid).into();
    assert_eq!(who.len(), 3, "all of them worked");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_job_brings_the_first_worker_where_none_is_kept() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(0, 1)).await;
    assert!(children(server.pid()).is_empty());
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::ZERO).await;
    jobs.until_state(job, JobState::Succeeded).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_may_call_another_and_the_caller_gets_the_answer_of_the_last() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let jobs = Jobs::at(&place);
    let answer = jobs.works.pass_on(jobs.order("job", Duration::from_millis(100))).await;
    assert!(matches!(answer, Ok(1)), "{answer:?}");
    assert_eq!(jobs.trace("job").len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_of_workers_and_queues() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let workers = ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    jobs.take_time("job", Duration::from_secs(3)).await;
    until("the job is seen", async || workers_health(&server).await["details"]["running"] == "1").await;
    let health = server.api().get("/health").await.expect(200);
    let details = &health["checks"]["workers"]["details"];
    assert_eq!(details["processes"], format!("{} ready, 1 running", workers[0]).as_str());
    let tasks = details["tasks"].as_str().expect("names");
    assert!(tasks.contains("works.take_time"), "{tasks}");
    assert_eq!(health["checks"]["queues"]["details"]["running"], "1", "{health}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_as_soon_as_they_live_are_complained_about_and_the_api_lives() {
    let place = Place::empty();
    let server = Server::start(place.server_with_workers(1, 1).env("TEST_WORKERS_EXIT", "101")).await;
    let error = server.logged("workers end as soon as they start").await;
    assert_eq!((&error["level"], &error["cause"]), (&"ERROR".into(), &"exit 101".into()), "{error}");
    let wait = error["restart_in_ms"].as_u64().expect("a number");
    assert!(wait >= 1600, "the fifth crash waits {wait} ms");
    let health = server.api().get("/health").await.expect(200);
    assert_eq!(health["status"], "warn", "{health}");
    assert_eq!(health["checks"]["workers"]["details"]["problem"], "one ends as soon as it starts");
    server.api().get("/health/ready").await.expect(200);
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let starts = ended.log.matches(r#""message":"a worker was started""#).count();
    assert!((5..=7).contains(&starts), "{starts} starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_says_it_is_useless_to_try_is_believed() {
    let place = Place::empty();
    let server = Server::start(place.server_with_workers(2, 2).env("TEST_WORKERS_EXIT", "78")).await;
    server.logged("a worker refuses to run, and is not started again").await;
    until("both refused", async || {
        let health = workers_health(&server).await;
        health["details"]["problem"]
            .as_str()
            .is_some_and(|problem| problem.matches("refuses to run (exit 78)").count() == 2)
    })
    .await;
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(ended.log.matches(r#""message":"a worker was started""#).count(), 2);
}
