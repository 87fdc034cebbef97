//! Tasks that go too far: they never yield, take their process with them, or want all the memory or all the processor.

use std::time::Duration;

use portwright_domain::job::{CauseOfDeath, JobState, Outcome};
use tokio::time::Instant;

use super::{Jobs, children, is_alive, ready_workers, until};
use crate::place::Place;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_yields_costs_its_process_and_nobody_else_an_attempt() {
    let place = Place::empty();
    let server = Server::start(place.server_with_workers(1, 1).env("COMPUTE_CONCURRENCY", "4")).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let beside = jobs.take_time("beside", Duration::from_secs(20)).await;
    jobs.traced("beside", "begin", 1).await;
    let began = Instant::now();
    let order = jobs.order("spins", Duration::ZERO);
    let spins = jobs.works.spin_job(order).enqueue().await.expect("taken");
    let stuck = jobs.traced("spins", "begin", 1).await;

    until("the process is gone", async || !is_alive(stuck.pid)).await;
    // Its timeout is a second; beside it, a busy machine has other things to do.
    assert!(began.elapsed() < Duration::from_secs(1 + 6), "{:?}", began.elapsed());
    let dead = jobs.until_state(spins, JobState::Dead).await;
    assert!(
        matches!(&dead.outcome, Some(Outcome::Dead(death)) if death.cause == CauseOfDeath::TimedOut),
        "{dead:?}"
    );
    let again = jobs.traced("beside", "begin", 2).await;
    assert_ne!(again.pid, stuck.pid);
    assert_eq!(jobs.find(beside).await.attempts, 1, "the start that was handed back does not count");
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_costs_neither_its_process_nor_anybody_else() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let beside = jobs.take_time("beside", Duration::from_secs(1)).await;
    let begun = jobs.traced("beside", "begin", 1).await;
    let panics = jobs.works.panic_job(jobs.order("panics", Duration::ZERO)).enqueue().await.expect("taken");
    let dead = jobs.until_state(panics, JobState::Dead).await;
    assert!(
        matches!(&dead.outcome, Some(Outcome::Dead(death)) if death.cause == CauseOfDeath::Error && death.detail.contains("on cue")),
        "{dead:?}"
    );
    jobs.until_state(beside, JobState::Succeeded).await;
    assert_eq!(jobs.traced("beside", "end", 1).await.run, begun.run);
    assert_eq!(children(server.pid()), [begun.pid], "it lives on");
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_its_process_with_it_is_dead_after_three_and_the_server_lives() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let pid = server.pid();
    ready_workers(&server, 1).await;
    let jobs = Jobs::at(&place);
    let order = jobs.order("crashes", Duration::ZERO);
    let crashes = jobs.works.crash_job(order).enqueue().await.expect("taken");
    let dead = jobs.until_state(crashes, JobState::Dead).await;
    assert!(
        matches!(&dead.outcome, Some(Outcome::Dead(death)) if death.cause == CauseOfDeath::Crashed),
        "{dead:?}"
    );
    let after = jobs.take_time("after", Duration::ZERO).await;
    jobs.until_state(after, JobState::Succeeded).await;
    assert_eq!(server.pid(), pid);
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_wants_all_the_memory_ends_alone() {
    let place = Place::empty();
    let mut command = place.server_with_workers(1, 1);
    let server = Server::start(command.env("COMPUTE_MEMORY_LIMIT", "256MiB")).await;
    let workers = ready_workers(&server, 1).await;
    let expendable = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", workers[0]));
    assert_eq!(expendable.expect("read").trim(), "500");
    let jobs = Jobs::at(&place);
    let order = jobs.order("devours", Duration::ZERO);
    let devours = jobs.works.devour_job(order).enqueue().await.expect("taken");
    let dead = jobs.until_state(devours, JobState::Dead).await;
    assert!(
        matches!(&dead.outcome, Some(Outcome::Dead(death)) if death.cause == CauseOfDeath::Crashed),
        "{dead:?}"
    );
    // The worker that died may still be counted as ready for a moment.
    until("another worker is there", async || children(server.pid()).len() == 1).await;
    ready_workers(&server, 1).await;
    assert_eq!(server.stop().await.code, Some(0));
}

/// The threads of a process: name and niceness.
fn threads(pid: u32) -> Vec<(String, i64)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let read = |stat: String| {
        let (head, tail) = stat.rsplit_once(") ").expect("a name");
        let name = head.split_once('(').expect("a name").1.to_owned();
        // proc_pid_stat(5): the 19th field, and the name is the second.
        (name, tail.split(' ').nth(16).expect("a niceness").parse().expect("a number"))
    };
    stats.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_yield_to_the_threads_that_serve_and_what_keeps_their_lease_does_not() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let worker = ready_workers(&server, 1).await[0];
    let own = threads(std::process::id())[0].1;
    let all = threads(worker);
    let tasks: Vec<i64> = all.iter().filter(|(name, _)| name == "task").map(|(_, nice)| *nice).collect();
    assert!(!tasks.is_empty() && tasks.iter().all(|nice| *nice == (own + 10).min(19)), "{all:?}");
    assert!(all.iter().any(|(name, nice)| name.starts_with("portwright") && *nice == own), "{all:?}");
    assert!(threads(server.pid()).iter().any(|(_, nice)| *nice == own));
    assert_eq!(server.stop().await.code, Some(0));
}
