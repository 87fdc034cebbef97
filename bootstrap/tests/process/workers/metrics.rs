//! What workers count, and who tells it to Prometheus.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::Signal;

use super::{Jobs, by_hand, ready_workers, until};
use crate::metrics::{get, metrics_of, scrape};
use crate::place::{Place, ran};
use crate::server::{Server, send};

const FINISHED: &str = "jobs_finished_total";

/// Has so many jobs done, and waits until they are counted.
async fn work_off(jobs: &Arc<Jobs>, count: u64, metrics: &str) {
    let before = scrape(metrics).await.whole(FINISHED, &[]);
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(jobs.take_time("job", Duration::ZERO).await);
    }
    jobs.ends_of(&ids).await;
    until("all of them are counted", async || scrape(metrics).await.whole(FINISHED, &[]) >= before + count)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_worker_processes_count_once_each_whoever_is_killed() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(2, 2)).await;
    let metrics = metrics_of(&server).await;
    let jobs = Arc::new(Jobs::at(&place));
    let mut workers = ready_workers(&server, 2).await;
    let mut expected = 0;
    for round in 1..=3 {
        work_off(&jobs, 20, &metrics).await;
        expected += 20;
        let killed = workers.pop().expect("a worker");
        send(killed, Signal::KILL);
        until("another worker follows", async || {
            let counted = scrape(&metrics).await;
            assert_eq!(counted.whole(FINISHED, &[]), expected, "none is lost, none counts twice");
            counted.whole("compute_worker_restarts_total", &[("reason", "killed")]) >= round
                && counted.whole("compute_workers", &[("state", "ready")]) == 2
        })
        .await;
        workers = ready_workers(&server, 2).await;
        workers.retain(|pid| *pid != killed);
    }
    let counted = scrape(&metrics).await;
    let of = [("queue", "default"), ("task", "works.take_time"), ("outcome", "succeeded")];
    assert_eq!(counted.whole(FINISHED, &of), expected);
    for histogram in ["job_run_duration_seconds_count", "job_wait_duration_seconds_count"] {
        assert_eq!(counted.whole(histogram, &[]), expected, "{histogram}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_says_first_what_it_counted() {
    let place = Place::empty();
    let server = Server::start(&mut place.server_with_workers(1, 1)).await;
    let metrics = metrics_of(&server).await;
    let jobs = Arc::new(Jobs::at(&place));
    let worker = ready_workers(&server, 1).await[0];
    let job = jobs.take_time("job", Duration::ZERO).await;
    jobs.ends_of(&[job]).await;
    // Before the second is over after which it would have said so anyway.
    send(worker, Signal::TERM);
    until("another worker follows", async || {
        let counted = scrape(&metrics).await;
        let restarts = counted.whole("compute_worker_restarts_total", &[("reason", "finished")]);
        assert!(restarts == 0 || counted.whole(FINISHED, &[]) == 1);
        restarts == 1
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_by_hand_has_the_port_for_operators_itself() {
    let place = Place::empty();
    let server = Server::start(&mut place.program("serve")).await;
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("free").port();
    let mut worker = place.program("worker");
    let worker = by_hand::start(worker.env("MANAGEMENT_PORT", port.to_string()));
    let jobs = Arc::new(Jobs::at(&place));
    let job = jobs.take_time("job", Duration::ZERO).await;
    jobs.ends_of(&[job]).await;
    let metrics = format!("http://127.0.0.1:{port}/metrics");
    // The queue knows it a moment before the worker does.
    until("it is counted", async || scrape(&metrics).await.whole(FINISHED, &[]) == 1).await;
    let counted = scrape(&metrics).await;
    assert!(counted.sum("process_resident_memory_bytes", &[]) > 1e6);
    for path in ["/health/live", "/health/ready", "/health"] {
        assert_eq!(get(&format!("http://127.0.0.1:{port}{path}")).await.status(), StatusCode::OK, "{path}");
    }
    let probe = async |arguments: &[&str]| {
        let mut command = place.command(["health"].iter().chain(arguments));
        ran(command.env("MANAGEMENT_PORT", port.to_string()), b"").await
    };
    for arguments in [&["--role", "worker"][..], &["live", "--role=worker"], &["ready", "--role=worker"]] {
        let answer = probe(arguments).await;
        let health: serde_json::Value = serde_json::from_str(answer.expect(0)).expect("JSON");
        assert_eq!(health["status"], "pass", "{arguments:?}");
    }
    assert_eq!(by_hand::stopped(worker, Signal::TERM).await, Some(0));
    probe(&["--role=worker"])
        .await
        .expect_failure(1, &[&format!("no answer from the worker at 127.0.0.1, port {port}")]);
    let server_metrics = metrics_of(&server).await;
    assert_eq!(scrape(&server_metrics).await.whole(FINISHED, &[]), 0, "that worker is none of the server's");
    server.stop().await;
}
