//! Two servers want one thing: whoever has it keeps it.

use std::fs;
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use tokio::process::Command;

use crate::place::{Place, ran};
use crate::server::Server;
use crate::workers::field;

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused_and_told_who_is_there() {
    let place = Place::empty();
    let first = place.serve().await;
    let holder = format!("another server (pid {}, http://{})", first.pid(), first.address);
    let fix = format!("stop it (kill {}), or give this one another DATA_DIR", first.pid());
    place.run(["serve"]).await.expect_failure(75, &[&holder, "./data", &fix]);
    place.first_admin(&first).await.get("/auth/me").await.expect(200);
}

/// A server as somebody starts it on the own machine, on this port.
fn in_development(place: &Place, port: u16) -> Command {
    let mut command = place.command(["serve", "--port", &port.to_string()]);
    command.env("APP_ENV", "development").env("COMPUTE_AUTO_SPAWN", "false");
    command
}

#[tokio::test]
async fn in_development_a_server_that_hangs_makes_way_for_the_next_on_its_port() {
    let place = Place::empty();
    let first = Server::start(&mut in_development(&place, 0)).await;
    let session = place.first_admin(&first).await.session;
    let (pid, port) = (first.pid(), first.address.port());
    first.signal(Signal::STOP);
    let second = Server::start(&mut in_development(&place, port)).await;
    assert_eq!(second.address, first.address);
    assert_eq!(second.logged("stopping a server that hangs").await["pid"], pid);
    second.api().with_session(session).get("/auth/me").await.expect(200);
    assert_eq!(first.ended().await.code, Some(0), "it was asked to stop, and did");
}

#[tokio::test]
async fn in_development_a_server_that_answers_stays() {
    let place = Place::empty();
    let first = Server::start(&mut in_development(&place, 0)).await;
    let second = ran(&mut in_development(&place, first.address.port()), b"").await;
    second.expect_failure(75, &[&format!("another server (pid {}", first.pid())]);
    first.api().get("/health/live").await.expect(200);
}

#[tokio::test]
async fn a_server_that_hangs_stays_where_it_is_not_for_us_to_judge() {
    let place = Place::empty();
    let first = place.serve().await;
    first.signal(Signal::STOP);
    let holder = format!("another server (pid {}", first.pid());
    place.run(["serve"]).await.expect_failure(75, &[&holder]);
    first.signal(Signal::CONT);
    first.api().get("/health/live").await.expect(200);
}

#[tokio::test]
async fn whoever_is_not_whom_the_lock_file_says_is_never_touched() {
    let place = Place::empty();
    let mut first = Server::start(&mut in_development(&place, 0)).await;
    let mut stranger = Command::new("sleep").arg("60").kill_on_drop(true).spawn().expect("it runs");
    let written = fs::read_to_string(place.data("portwright.lock")).expect("the lock file");
    let (first_pid, pid) = (first.pid(), stranger.id().expect("it runs"));
    first.signal(Signal::STOP);
    // The number of a process that has ended is given to another one, or the program in it is another one.
    let started = field(pid, 22).expect("a start");
    let started_first = field(first_pid, 22).expect("a start");
    let number = |pid| format!(r#""pid":{pid},"#);
    let renumbered = written.replace(&number(first_pid), &number(pid));
    let restarted =
        renumbered.replace(&format!(r#""started":{started_first}"#), &format!(r#""started":{started}"#));
    assert_ne!(renumbered, restarted);
    for lock in [renumbered, restarted] {
        fs::write(place.data("portwright.lock"), lock).expect("written");
        let next = ran(&mut in_development(&place, first.address.port()), b"").await;
        next.expect_failure(75, &["another server"]);
        assert!(stranger.try_wait().expect("an answer").is_none(), "it lives");
    }
    first.bereave().await;
}

#[tokio::test]
async fn after_kill_9_the_next_server_starts_at_once() {
    let place = Place::empty();
    let first = place.serve().await;
    let (pid, session) = (first.pid(), place.first_admin(&first).await.session);
    assert_eq!(first.kill().await.code, None);
    let lock = fs::read_to_string(place.data("portwright.lock")).expect("left behind");
    assert!(lock.contains(&pid.to_string()), "{lock}");

    let second = place.serve().await;
    second.api().with_session(session).get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_port_that_somebody_else_has_stays_with_them() {
    let place = Place::empty();
    let theirs = TcpListener::bind("127.0.0.1:0").expect("free");
    let port = theirs.local_addr().expect("an address").port();
    let name = fs::read_to_string("/proc/self/comm").expect("a name");
    let holder = format!("the port is taken by {}, pid {}", name.trim_end(), std::process::id());
    let another = format!("--port {}", port.saturating_add(1));

    let ran = place.run(["serve", "--port", &port.to_string()]).await;
    ran.expect_failure(69, &[&holder, &another, "nothing was started (exit 69)"]);
    TcpStream::connect(("127.0.0.1", port)).expect("still there");
    assert!(!place.data("first-run.txt").exists(), "an administrator is made by a start that succeeds");

    let server = place.serve().await;
    place.first_admin(&server).await.get("/auth/me").await.expect(200);
}
