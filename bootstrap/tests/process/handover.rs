//! A server gives its place to a new process of it: nobody who asks notices.

mod operators;
mod systemd;

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::common::Common;
use crate::load::Load;
use crate::place::Place;
use crate::server::{Server, send};
use crate::size::sized;
use crate::workers::{Jobs, is_alive, ready_workers, until};

const NOBODY: &str = "nobody to hand over to: this server goes on";

/// A server and those that take its place, one after the other. They write to one log.
struct Line<'a> {
    server: Server,
    /// The process that serves now.
    pid: u32,
    handed_over: usize,
    _afterwards: NobodyStays<'a>,
}

impl<'a> Line<'a> {
    /// Starts the first one, as a service: without a terminal.
    async fn begin(place: &'a Place, command: &Command) -> Self {
        let afterwards = NobodyStays(place);
        let server = Server::start(&mut without_terminal(place, command)).await;
        Self { pid: server.pid(), server, handed_over: 0, _afterwards: afterwards }
    }

    /// Tells the one that serves to hand over, and waits until it is gone.
    async fn hand_over(&mut self) {
        send(self.pid, Signal::HUP);
        self.handed_over += 1;
        let told = self.server.logged_times("handing over", self.handed_over).await;
        let before = self.pid;
        self.pid = told["successor"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a process");
        self.server.logged_times("started", self.handed_over + 1).await;
        until("the predecessor is gone", async || !is_alive(before)).await;
    }

    /// Stops the last one; the log of all.
    async fn end(self) -> String {
        send(self.pid, Signal::TERM);
        let ended = self.server.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert_eq!(ended.log.matches(r#""in_time":true"#).count(), self.handed_over + 1, "{}", ended.log);
        ended.log
    }
}

/// Whoever took a place is nobody's child: a test that fails leaves none behind either.
struct NobodyStays<'a>(&'a Place);

impl Drop for NobodyStays<'_> {
    fn drop(&mut self) {
        for pid in self.0.processes().into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The same command in a session of its own.
fn without_terminal(place: &Place, command: &Command) -> Command {
    let inner = command.as_std();
    let mut outer = Command::new("setsid");
    outer.arg(inner.get_program()).args(inner.get_args());
    place.confine(&mut outer);
    outer.env("PATH", "/usr/bin:/bin");
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_share_everything_hand_over_without_a_failed_request() {
    let (place, common) = (Place::empty(), Common::new());
    let mut line = Line::begin(&place, &common.on(&place, "serve")).await;
    let ada = line.server.api().registered("ada@example.com").await;
    let load = Load::begin(line.server.address, &ada);
    let handovers = sized(3, 20);
    for _ in 0..handovers {
        line.hand_over().await;
    }
    let tally = load.end().await;
    println!("{handovers} handovers: {tally:?}");
    assert!(tally.posted > 100, "{tally:?}");
    let queues = common.jobs(&place).await.queue.queues().await.expect("an answer");
    let waiting: u64 = queues.iter().map(|queue| queue.ready).sum();
    assert_eq!(waiting, tally.posted as u64, "each request that was answered made one job");
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_owns_the_queue_and_has_workers_hands_over_without_a_failed_request() {
    let place = Place::empty();
    let mut line = Line::begin(&place, &place.server_with_workers(1, 1)).await;
    ready_workers(&line.server, 1).await;
    let ada = line.server.api().registered("ada@example.com").await;
    let load = Load::begin(line.server.address, &ada);
    let handovers = sized(3, 20);
    for _ in 0..handovers {
        line.hand_over().await;
        let third = place.run(["serve"]).await;
        third.expect_failure(75, &[&format!("another server (pid {}", line.pid)]);
    }
    let tally = load.end().await;
    println!("{handovers} handovers: {tally:?}");
    assert!(tally.posted > 100, "{tally:?}");
    let jobs = Jobs::at(&place);
    until("all jobs are done", async || {
        let queues = jobs.queue.queues().await.expect("an answer");
        assert!(queues.iter().all(|queue| queue.dead == 0), "{queues:?}");
        queues.iter().all(|queue| queue.ready + queue.running == 0)
    })
    .await;
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_successor_does_not_start_goes_on_and_says_why() {
    let place = Place::empty();
    let mut line = Line::begin(&place, &place.command(["serve"])).await;
    let admin = place.first_admin(&line.server).await;
    fs::write(place.path().join(".env"), "SHUTDOWN_TIMEOUT=soon\n").expect("written");
    send(line.pid, Signal::HUP);
    let told = line.server.logged(NOBODY).await;
    assert_eq!(told["error"], "the new process ended (exit status: 78)");
    assert!(line.server.log().contains("SHUTDOWN_TIMEOUT"), "{}", line.server.log());

    fs::write(place.path().join(".env"), "").expect("written");
    admin.get("/auth/me").await.expect(200);
    line.hand_over().await;
    admin.get("/auth/me").await.expect(200);
    let log = line.end().await;
    assert_eq!(log.matches(NOBODY).count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_was_replaced_is_the_one_that_takes_over() {
    let place = Place::empty();
    let program = place.path().join("portwright");
    symlink(env!("CARGO_BIN_EXE_portwright"), &program).expect("linked");
    let mut command = Command::new(&program);
    place.confine(command.arg("serve"));
    let mut line = Line::begin(&place, &command).await;
    let serves = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
    assert!(serves(line.pid).ends_with("portwright"));

    fs::remove_file(&program).expect("removed");
    send(line.pid, Signal::HUP);
    line.server.logged(NOBODY).await;
    symlink(env!("CARGO_BIN_EXE_portwright-test-tasks"), &program).expect("linked");
    line.hand_over().await;
    assert!(serves(line.pid).ends_with("portwright-test-tasks"));
    line.hand_over().await;
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_takes_its_unfinished_successor_with_it() {
    let place = Place::empty();
    let line = Line::begin(&place, &place.command(["serve"])).await;
    // Whoever starts now waits for a database that is never there.
    fs::write(place.path().join(".env"), "DATABASE_URL=postgres://portwright@203.0.113.1/none\n")
        .expect("written");
    send(line.pid, Signal::HUP);
    line.server.logged("starting a process to hand over to").await;
    until("it is there", async || place.processes().len() == 2).await;
    line.end().await;
    until("nobody is left", async || place.processes().iter().all(|pid| !is_alive(*pid))).await;
}
