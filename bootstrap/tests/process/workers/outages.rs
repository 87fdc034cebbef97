//! Jobs while no server runs, and workers whose server is gone.

use std::time::Duration;

use portwright_domain::job::JobState;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{Jobs, by_hand, children, ready_workers};
use crate::place::Place;
use crate::server::{Server, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_killed_server_run_again_long_before_their_lease_ends() {
    let place = Place::empty();
    let mut command = place.server_with_workers(1, 1);
    let server = Server::start(command.env("COMPUTE_LEASE", "1h")).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_secs(1)).await;
    let first = jobs.traced("job", "begin", 1).await;
    // Neither can the worker hand its job back, nor the server see it die.
    server.signal(Signal::STOP);
    send(first.pid, Signal::KILL);
    server.kill().await;

    let server = Server::start(&mut command).await;
    let began = Instant::now();
    let second = jobs.traced("job", "begin", 2).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(second.run > first.run && children(server.pid()).contains(&second.pid), "{second:?}");
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_outlives_its_server_keeps_its_jobs() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let worker = by_hand::start(&mut place.program("worker"));
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_secs(4)).await;
    let begun = jobs.traced("job", "begin", 1).await;
    assert_eq!(Some(begun.pid), worker.id());
    server.kill().await;
    let server = Server::start(&mut place.program("serve")).await;
    let job = jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!((jobs.trace("job").len(), job.attempts), (2, 1), "it began and ended once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_falls_due_while_no_server_runs_starts_once_and_at_once_with_the_next() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let worker = by_hand::start(&mut place.program("worker"));
    let jobs = Jobs::at(&place);
    let delay = Duration::from_millis(1500);
    let scheduled = Instant::now();
    let order = jobs.order("job", Duration::ZERO);
    let job = jobs.works.take_time_job(order).after(delay).enqueue().await.expect("taken");
    assert_eq!(jobs.find(job).await.state, JobState::Scheduled);
    server.kill().await;
    // It is the moment that has to pass.
    sleep(delay.saturating_sub(scheduled.elapsed())).await;

    let server = Server::start(&mut place.program("serve")).await;
    let began = Instant::now();
    jobs.traced("job", "begin", 1).await;
    // A worker that waits for a server asks at least every second.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(jobs.trace("job").len(), 2, "it ran once");
    drop(worker);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_server_is_gone_stops_when_it_is_told_to() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let worker = by_hand::start(place.program("worker").env("SHUTDOWN_TIMEOUT", "2s"));
    let jobs = Jobs::at(&place);
    jobs.take_time("job", Duration::from_mins(1)).await;
    jobs.traced("job", "begin", 1).await;
    server.kill().await;
    let told = Instant::now();
    assert_eq!(by_hand::stopped(worker, Signal::TERM).await, Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());

    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    // Its lease ends.
    jobs.traced("job", "begin", 2).await;
    server.kill().await;
}
