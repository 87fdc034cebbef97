//! Workers that a person starts beside a server.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use portwright_domain::job::JobState;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Jobs, until};
use crate::place::{PATIENCE, Place};
use crate::server::{Server, send};

/// Starts a worker whose log nobody reads.
pub(super) fn start(command: &mut Command) -> Child {
    command.stderr(std::process::Stdio::null()).spawn().expect("it runs")
}

/// Sends it this, and answers the status with which it ends.
pub(super) async fn stopped(mut worker: Child, signal: Signal) -> Option<i32> {
    send(worker.id().expect("it runs"), signal);
    timeout(PATIENCE, worker.wait()).await.expect("it ends").expect("it ran").code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_there_first_waits_for_a_server_and_joins_it() {
    let place = Place::empty();
    let worker = start(&mut place.program("worker"));
    let server = Server::start(&mut place.program("serve")).await;
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_millis(300)).await;
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(Some(jobs.traced("job", "end", 1).await.pid), worker.id());

    // It outlives its server, and works for the next one.
    server.kill().await;
    let server = Server::start(&mut place.program("serve")).await;
    let job = jobs.take_time("next", Duration::ZERO).await;
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(Some(jobs.traced("next", "end", 1).await.pid), worker.id());

    let job = jobs.take_time("last", Duration::from_secs(1)).await;
    jobs.traced("last", "begin", 1).await;
    assert_eq!(stopped(worker, Signal::TERM).await, Some(0));
    assert_eq!(jobs.find(job).await.state, JobState::Succeeded, "what it ran is finished");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenth_of_a_second_after_it_was_told_to_stop_a_worker_takes_nothing_more() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let worker = start(&mut place.program("worker"));
    let jobs = Jobs::at(&place);
    let running = jobs.take_time("running", Duration::from_secs(1)).await;
    jobs.traced("running", "begin", 1).await;
    send(worker.id().expect("it runs"), Signal::TERM);
    // This is what is promised.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = jobs.take_time("late", Duration::ZERO).await;
    jobs.until_state(running, JobState::Succeeded).await;
    let mut worker = worker;
    let status = timeout(PATIENCE, worker.wait()).await.expect("it ends").expect("it ran");
    assert_eq!(status.code(), Some(0));
    let late = jobs.find(late).await;
    assert_eq!((late.state, late.attempts, late.started_at), (JobState::Ready, 0, None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_hands_everything_back() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let worker = start(&mut place.program("worker"));
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_mins(1)).await;
    jobs.traced("job", "begin", 1).await;
    send(worker.id().expect("it runs"), Signal::TERM);
    // Earlier it would be the same signal.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(stopped(worker, Signal::TERM).await, Some(0));
    let job = jobs.find(job).await;
    assert_eq!((job.state, job.attempts), (JobState::Ready, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_only_the_queues_that_it_was_told() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let mut other = start(place.program("worker").args(["--queues", "mail,cpu", "--concurrency", "2"]));
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::ZERO).await;
    let mut usual = start(place.program("worker").args(["--queues", "default"]));
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(Some(jobs.traced("job", "end", 1).await.pid), usual.id());
    for worker in [&mut other, &mut usual] {
        worker.kill().await.expect("killed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_makes_a_worker_of_a_process_without_a_command() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let mut command = place.program("--role");
    let worker = start(command.arg("worker"));
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::ZERO).await;
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(Some(jobs.traced("job", "end", 1).await.pid), worker.id());
    assert_eq!(stopped(worker, Signal::INT).await, Some(0));
    server.stop().await;
}

/// Starts a worker, whose log is this file.
fn logging(command: &mut Command, log: &Path) -> Child {
    command.stderr(File::create(log).expect("made")).spawn().expect("it runs")
}

/// The message of the last line.
fn last_words(log: &Path) -> serde_json::Value {
    let text = fs::read_to_string(log).expect("text");
    let last = text.lines().last().expect("a line");
    serde_json::from_str::<serde_json::Value>(last).expect("JSON")["message"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_that_a_worker_says_is_that_it_stopped() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let log = place.path().join("log");
    let worker = logging(&mut place.program("worker"), &log);
    let jobs = Jobs::at(&place);
    jobs.take_time("job", Duration::from_millis(300)).await;
    jobs.traced("job", "begin", 1).await;
    assert_eq!(stopped(worker, Signal::TERM).await, Some(0));
    jobs.traced("job", "end", 1).await;
    assert_eq!(last_words(&log), "stopped");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_server_says_what_it_waits_for() {
    let place = Place::empty();
    let log = place.path().join("log");
    let worker = logging(&mut place.program("worker"), &log);
    until("it says so", async || {
        let text = fs::read_to_string(&log).expect("text");
        text.contains("no server on the data directory ./data yet; waiting for one")
    })
    .await;
    assert_eq!(stopped(worker, Signal::TERM).await, Some(0));
    assert_eq!(last_words(&log), "stopped");
    assert!(!place.path().join("data").exists(), "nothing is made for nobody");
}
