//! Two servers want one thing: whoever has it keeps it.

use std::fs;
use std::net::{TcpListener, TcpStream};

use crate::place::Place;

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused_and_told_who_is_there() {
    let place = Place::empty();
    let first = place.serve().await;
    let holder = format!("another server (pid {}, http://{})", first.pid(), first.address);
    let fix = format!("stop it (kill {}), or give this one another DATA_DIR", first.pid());
    place.run(["serve"]).await.expect_failure(75, &[&holder, "./data", &fix]);
    place.first_admin(&first).await.get("/auth/me").await.expect(200);
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
