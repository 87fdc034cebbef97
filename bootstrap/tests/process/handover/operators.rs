//! The port for operators changes hands with everything else: who watches a server sees no gap where there is none.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::process::Command;

use super::Line;
use crate::common::Common;
use crate::load::Load;
use crate::metrics::{metrics_of, scrape};
use crate::place::Place;

/// What Prometheus usually gives a scrape.
const SCRAPE: Duration = Duration::from_secs(10);

/// Hands a server over while it is watched.
async fn watched(place: &Place, command: &mut Command) {
    let mut line = Line::begin(place, command.env("MANAGEMENT_PORT", "0")).await;
    let metrics = metrics_of(&line.server).await;
    let port: SocketAddr = metrics
        .strip_prefix("http://")
        .and_then(|url| url.strip_suffix("/metrics")?.parse().ok())
        .expect("a URL");
    assert_ne!(port, line.server.address);
    let load = Load::of_operators(port);
    for _ in 0..2 {
        let before = scrape(&metrics).await.sum("process_start_time_seconds", &[]);
        line.hand_over().await;
        assert_eq!(metrics_of_the_last(&line).await, metrics, "the port is the same");
        let after = scrape(&metrics).await.sum("process_start_time_seconds", &[]);
        assert!(after > before, "{after} is the predecessor, which is gone");
    }
    let tally = load.end().await;
    assert!(tally.read > 100 && tally.slowest < SCRAPE, "{tally:?}");
    line.end().await;
}

/// Where the server that started last says that its metrics are.
async fn metrics_of_the_last(line: &Line<'_>) -> String {
    let started = line.server.logged_times("started", line.handed_over + 1).await;
    started["metrics"].as_str().expect("a URL").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_always_answered_where_servers_share_everything() {
    let (place, common) = (Place::empty(), Common::new());
    watched(&place, &mut common.on(&place, "serve")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_of_a_server_that_owns_the_queue_wait_for_a_moment_at_most() {
    let place = Place::empty();
    watched(&place, &mut place.server_with_workers(1, 1)).await;
}
