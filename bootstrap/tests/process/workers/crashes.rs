//! `kill -9` of a worker, of the server, and of neither: a worker that is only frozen.

use std::time::Duration;

use portwright_domain::job::{JobState, Outcome};
use rustix::process::Signal;
use tokio::time::Instant;

use super::{Jobs, LEASE, children, is_alive, ready_workers, until};
use crate::place::Place;
use crate::server::{Server, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_killed_worker_runs_again_within_a_second() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(2, 2)).await;
    ready_workers(&server, 2).await;
    let jobs = Jobs::at(&place);
    let id = jobs.take_time("job", Duration::from_millis(1500)).await;
    let first = jobs.traced("job", "begin", 1).await;

    let killed = Instant::now();
    send(first.pid, Signal::KILL);
    let second = jobs.traced("job", "begin", 2).await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert!(second.pid != first.pid && second.run > first.run, "{first:?} {second:?}");

    let job = jobs.until_state(id, JobState::Succeeded).await;
    assert_eq!(job.attempts, 1, "a start that a crash ended does not count: {job:?}");
    ready_workers(&server, 2).await;
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_a_killed_server_by_more_than_two_seconds() {
    let place = Place::empty();
    let mut command = place.server_with_workers(2, 2);
    let server = Server::start(command.env("COMPUTE_CONCURRENCY", "4")).await;
    ready_workers(&server, 2).await;
    let jobs = Jobs::at(&place);
    // Some are idle or wait, one does not listen to anybody.
    jobs.take_time("waits", Duration::from_mins(5)).await;
    jobs.works.spin_job(jobs.order("spins", Duration::ZERO)).enqueue().await.expect("taken");
    jobs.traced("waits", "begin", 1).await;
    jobs.traced("spins", "begin", 1).await;
    let workers = children(server.pid());
    assert_eq!(workers.len(), 2, "{workers:?}");

    let killed = Instant::now();
    server.signal(Signal::KILL);
    until("all workers are gone", async || !workers.iter().any(|pid| is_alive(*pid))).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    server.ended().await;

    // The next server finds the job, when the lease of whoever held it has ended.
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let again = jobs.traced("waits", "begin", 2).await;
    assert!(children(server.pid()).contains(&again.pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_finishes_after_it_was_frozen_beyond_its_lease_is_refused() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(2, 2)).await;
    ready_workers(&server, 2).await;
    let jobs = Jobs::at(&place);
    let insists = jobs.works.insist_job(jobs.order("job", Duration::from_millis(500)));
    let id = insists.enqueue().await.expect("taken");
    let frozen = jobs.traced("job", "begin", 1).await;
    send(frozen.pid, Signal::STOP);
    let second = jobs.traced("job", "end", 1).await;
    assert!(second.run > frozen.run && second.pid != frozen.pid, "{second:?}");
    // It does not look at the clock: it ends as if nothing had happened, and says so.
    send(frozen.pid, Signal::CONT);
    assert_eq!(jobs.traced("job", "end", 2).await.run, frozen.run);
    let next = jobs.take_time("next", Duration::ZERO).await;
    send(second.pid, Signal::STOP);
    jobs.take_time("proof", Duration::ZERO).await;
    assert_eq!(jobs.traced("proof", "end", 1).await.pid, frozen.pid, "it lives, and works");
    send(second.pid, Signal::CONT);
    jobs.until_state(next, JobState::Succeeded).await;
    let accepted = jobs.find(id).await;
    assert_eq!(accepted.outcome, Some(Outcome::Succeeded(second.run.to_string().into())));
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_beyond_its_lease_changes_nothing_and_lives_on() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(2, 2)).await;
    ready_workers(&server, 2).await;
    let jobs = Jobs::at(&place);
    let id = jobs.take_time("job", Duration::from_millis(2500)).await;
    let frozen = jobs.traced("job", "begin", 1).await;

    send(frozen.pid, Signal::STOP);
    let stopped = Instant::now();
    let second = jobs.traced("job", "begin", 2).await;
    let recovered = stopped.elapsed();
    // The lease was renewed at some time within the second before.
    let expected = LEASE / 2..LEASE + Duration::from_millis(1500);
    assert!(expected.contains(&recovered), "{recovered:?}");
    assert_ne!(second.pid, frozen.pid);
    // It finds its time over, and would finish its job before the other one does.
    send(frozen.pid, Signal::CONT);
    let job = jobs.until_state(id, JobState::Succeeded).await;
    let ended: Vec<_> = jobs.trace("job").into_iter().filter(|it| it.step == "end").collect();
    assert_eq!(ended.last().map(|end| end.run), Some(second.run), "{ended:?}");
    assert_eq!(job.attempts, 1, "{job:?}");

    // It goes on working: with both at work, each gets one of two jobs that take longer than getting one.
    assert!(is_alive(frozen.pid));
    send(second.pid, Signal::STOP);
    jobs.take_time("next", Duration::ZERO).await;
    assert_eq!(jobs.traced("next", "end", 1).await.pid, frozen.pid);
    send(second.pid, Signal::CONT);
    assert_eq!(server.stop().await.code, Some(0));
}
