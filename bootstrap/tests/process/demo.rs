//! `portwright demo`: a newcomer sees everything work, and finds nothing of it afterwards.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::place::{PATIENCE, Place, Ran, ran};
use crate::server::{Server, send};
use crate::terminal::Terminal;

const PASSED: &str = "All 13 steps did what they promise.";

/// Heavier than a test has time for.
const ENDLESS: &str = "1000000000";

impl Place {
    /// A server that starts a worker, with a rate limit as it is by default.
    async fn serve_a_newcomer(&self) -> Server {
        let mut command = self.command(["serve"]);
        command.env_remove("RATE_LIMIT_MAX_REQUESTS");
        Server::start(command.envs([("COMPUTE_AUTO_SPAWN", "true"), ("SHUTDOWN_TIMEOUT", "10s")])).await
    }

    /// A directory for temporary files, and the demo with it.
    fn demo_in_tmp(&self, arguments: &[&str]) -> (PathBuf, Command) {
        let tmp = self.path().join("tmp");
        fs::create_dir(&tmp).expect("made");
        let mut command = self.command(["demo"].iter().chain(arguments));
        command.env("TMPDIR", &tmp);
        (tmp, command)
    }
}

/// Panics if the demo left a file, or a process that works on one.
async fn expect_nothing_left(place: &Place, tmp: &PathBuf) {
    assert_eq!(fs::read_dir(tmp).expect("there").count(), 0, "the directory is gone");
    assert!(!place.data("").exists(), "the data directory is left alone");
    let path = tmp.to_str().expect("UTF-8").as_bytes();
    let is_left = || {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        processes.into_iter().any(|process| {
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            arguments.windows(path.len()).any(|window| window == path)
        })
    };
    // The kernel takes a moment to forget a process.
    let gone = async {
        while is_left() {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("no process is left");
}

/// Panics unless there is a verdict, and the status says the same.
fn expect_verdict(ran: &Ran) {
    let quick = ran.stdout.contains("The API stayed quick (");
    assert_ne!(quick, ran.stdout.contains("The API did not stay quick ("), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(i32::from(!quick)), "{}", ran.stderr);
    assert!(ran.stdout.contains("/health/live  ") && ran.stdout.contains("/users/{me}  "), "{}", ran.stdout);
}

#[tokio::test]
async fn the_tour_of_a_server_passes_and_leaves_no_user_and_no_work() {
    let place = Place::empty();
    let server = place.serve_a_newcomer().await;
    let tour = place.run(["demo"]).await;
    let shown = tour.expect(0);
    assert!(
        shown.contains(&format!("the server at http://{}, on the data directory ./data", server.address))
    );
    for expected in [
        " 1 Sign in\n   → POST /auth/login\n   ← 200 OK in ",
        "the same user as before",
        "78498 primes below 1000000",
        "   [####################] 100 %  succeeded\n   ← 200 OK in ",
        ": succeeded, 3001134 primes\n",
        "/email invalid-email, /password common-password, /lastName required, /admin unknown-field",
        " of 50 are left in this window",
        PASSED,
    ] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    assert!(!shown.contains(&place.first_run("password")) && !shown.contains('\u{1b}'), "{shown}");
    let admin = place.first_admin(&server).await;
    assert_eq!(admin.count_users().await, 1);
    let jobs = admin.get("/jobs").await.expect(200);
    assert!(jobs["data"].as_array().expect("jobs").iter().all(|job| job["state"] == "succeeded"), "{jobs}");
}

#[tokio::test]
async fn without_a_server_the_tour_brings_its_own_and_takes_it_away() {
    let place = Place::empty();
    let (tmp, mut command) = place.demo_in_tmp(&[]);
    let tour = ran(&mut command, b"").await;
    let shown = tour.expect(0);
    assert!(
        shown.starts_with("No server runs, so this is one of the demo's own at http://127.0.0.1:"),
        "{shown}"
    );
    assert!(shown.contains(PASSED), "{shown}");
    assert_eq!(tour.stderr, "", "neither the server nor its workers talk in between");
    expect_nothing_left(&place, &tmp).await;
}

#[tokio::test]
async fn whoever_cannot_sign_in_is_told_why() {
    let place = Place::empty();
    let _server = place.serve_a_newcomer().await;
    let wrong = place.run_with_input(["demo", "--email", "admin@localhost"], "not-the-password\n").await;
    wrong.expect_failure(
        1,
        &["error: the password of admin@localhost is not the right one\n", "set-password"],
    );
    let registered = ["users", "create-admin", "--email", "root@example.com", "--password-stdin"];
    place.run_with_input(registered, "tango-velvet-harbor-91").await.expect(0);
    let right =
        place.run_with_input(["demo", "--email", "root@example.com"], "tango-velvet-harbor-91\n").await;
    assert!(right.expect(0).contains("root@example.com (admin)"), "{}", right.stdout);

    fs::remove_file(place.data("first-run.txt")).expect("removed");
    let nobody = place.run(["demo"]).await;
    nobody.expect_failure(1, &["nobody can be signed in without ./data/first-run.txt", "--email ADDRESS"]);
}

#[tokio::test]
async fn a_person_is_asked_for_the_password_which_is_never_shown() {
    let place = Place::empty();
    let server = place.serve_a_newcomer().await;
    let (mut terminal, mut child) = Terminal::run(place.command(["demo", "--email", "admin@localhost"]));
    terminal.shows("Password of admin@localhost: ").await;
    terminal.type_line(&place.first_run("password"));
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
    let screen = terminal.left().await;
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.contains(&format!("\u{1b}[32m{PASSED}\u{1b}[0m")), "{screen}");
    assert!(!screen.contains(&place.first_run("password")), "{screen}");
    server.stop().await;
}

#[tokio::test]
async fn throttle_shows_fifty_answers_and_five_refusals_and_uses_up_nobodys_share() {
    let place = Place::empty();
    let (tmp, mut command) = place.demo_in_tmp(&["throttle"]);
    let throttled = ran(&mut command, b"").await;
    let shown = throttled.expect(0);
    for expected in ["50 answered, 5 throttled", "← 50 × 200, 5 × 429 (Retry-After: ", "The limit held"] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    expect_nothing_left(&place, &tmp).await;

    let server = place.serve_a_newcomer().await;
    place.run(["demo", "throttle"]).await.expect(0);
    let admin = place.first_admin(&server).await;
    for _ in 0..40 {
        admin.get("/auth/me").await.expect(200);
    }
}

#[tokio::test]
async fn stress_on_a_server_of_its_own_ends_in_a_verdict() {
    let place = Place::empty();
    let (tmp, mut command) = place.demo_in_tmp(&["stress", "--jobs", "3", "--below", "3000000"]);
    let stressed = ran(&mut command, b"").await;
    expect_verdict(&stressed);
    for number in 1..=3 {
        let bar = format!("job {number}  [####################] 100 %  succeeded\n");
        assert!(stressed.stdout.contains(&bar), "{bar} is not in\n{}", stressed.stdout);
    }
    expect_nothing_left(&place, &tmp).await;
}

#[tokio::test]
async fn stress_leaves_half_of_the_share_and_refuses_what_does_not_fit() {
    let place = Place::empty();
    let server = place.serve_a_newcomer().await;
    let admin = place.first_admin(&server).await;
    let refused = place.run(["demo", "stress", "--jobs", "16"]).await;
    let why = "error: 16 jobs take more than half of the 49 requests that the rate limit leaves this user\n";
    refused.expect_failure(1, &[why, " s, or make fewer --jobs"]);

    expect_verdict(&place.run(["demo", "stress", "--jobs", "2", "--below", "1000000"]).await);
    for _ in 0..20 {
        admin.get("/auth/me").await.expect(200);
    }
}

#[tokio::test]
async fn ctrl_c_cancels_the_jobs() {
    let place = Place::empty();
    let server = place.serve_a_newcomer().await;
    let (terminal, mut child) =
        Terminal::run(place.command(["demo", "stress", "--jobs", "2", "--below", ENDLESS]));
    terminal.shows("%  running").await;
    send(child.id().expect("it runs"), Signal::INT);
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
    let screen = terminal.left().await;
    assert_eq!(status.code(), Some(1), "{screen}");
    assert!(screen.contains("2 of 2 unfinished jobs were cancelled."), "{screen}");
    assert!(screen.contains("error: the demo was interrupted"), "{screen}");

    let admin = place.first_admin(&server).await;
    let cancelled = async {
        while admin.get("/jobs?state=cancelled").await.expect(200)["pagination"]["total"] != 2 {
            sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    timeout(PATIENCE, cancelled).await.expect("both jobs end");
}

#[tokio::test]
async fn an_interrupted_demo_takes_its_server_away() {
    let place = Place::empty();
    let (tmp, command) = place.demo_in_tmp(&["stress", "--jobs", "2", "--below", ENDLESS]);
    let (terminal, mut child) = Terminal::run(command);
    terminal.shows("%  running").await;
    send(child.id().expect("it runs"), Signal::TERM);
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
    assert_eq!(status.code(), Some(1), "{}", terminal.left().await);
    expect_nothing_left(&place, &tmp).await;
}
