//! How workers end when their server does: short jobs are finished, long ones handed back, and nobody stays.

use std::time::Duration;

use portwright_domain::job::JobState;
use rustix::process::Signal;
use tokio::time::Instant;

use super::{Jobs, children, field, is_alive, ready_workers};
use crate::place::Place;
use crate::server::{Server, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_short_jobs_finish_and_hands_long_ones_back() {
    let place = Place::empty();
    let mut command = place.server_with_workers(1, 1);
    let server = Server::start(command.env("SHUTDOWN_TIMEOUT", "7s")).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let short = jobs.take_time("short", Duration::from_millis(1500)).await;
    let long = jobs.take_time("long", Duration::from_mins(1)).await;
    jobs.traced("short", "begin", 1).await;
    jobs.traced("long", "begin", 1).await;
    let workers = children(server.pid());

    let told = Instant::now();
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains(r#""in_time":true"#), "{}", ended.log);
    assert!(told.elapsed() < Duration::from_secs(7), "{:?}", told.elapsed());
    assert!(!workers.iter().any(|pid| is_alive(*pid)));
    jobs.traced("short", "end", 1).await;

    // A server without workers: everything is as it was left.
    let server = Server::start(&mut place.program("serve")).await;
    let short = jobs.find(short).await;
    assert_eq!((short.state, short.attempts), (JobState::Succeeded, 1));
    let long = jobs.find(long).await;
    assert_eq!((long.state, long.attempts), (JobState::Ready, 0), "handed back without a strike");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_a_terminal_reaches_the_server_alone() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(2, 2)).await;
    let workers = ready_workers(&server, 2).await;
    let group = |pid| field(pid, 5).expect("a process group");
    for worker in &workers {
        assert_eq!(group(*worker), worker.to_string(), "the first of a group of its own");
        assert_ne!(group(*worker), group(server.pid()));
    }
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_somebody_tells_to_stop_finishes_and_is_followed_by_another() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let workers = ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_secs(1)).await;
    jobs.traced("job", "begin", 1).await;
    send(workers[0], Signal::TERM);
    let job = jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(job.attempts, 1);
    server.logged("a worker ended, and another follows").await;
    let next = jobs.take_time("next", Duration::ZERO).await;
    jobs.until_state(next, JobState::Succeeded).await;
    assert_ne!(jobs.traced("next", "end", 1).await.pid, workers[0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_let_go_does_not_keep_the_server() {
    let place = Place::empty();
    let mut command = place.server_with_workers(1, 1);
    let server = Server::start(command.env("SHUTDOWN_TIMEOUT", "8s")).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    jobs.works.spin_job(jobs.order("spins", Duration::ZERO)).enqueue().await.expect("taken");
    let spins = jobs.traced("spins", "begin", 1).await;
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!is_alive(spins.pid));
}
