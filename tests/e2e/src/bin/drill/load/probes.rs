//! Somebody who asks the servers how they are, and sees to it that none ends by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Ask, Client, Crew, DATABASE};
use crate::fault::{NODES, name_of};
use crate::stage::HEALTH_KEY;

/// Asks all the time, until it is told to stop.
pub(crate) async fn work(crew: Arc<Crew>) {
    let mut client = Client::new(crew, 0);
    let mut told = BTreeSet::new();
    while !client.crew.is_stopped() {
        for node in 0..NODES {
            // No fault of what a server needs is one of the server.
            client.ask(&Ask::get("/health/live", &[]).at(node)).await;
            // It says no as a problem would if nothing can be served.
            client.ask(&Ask::get("/health/ready", DATABASE).at(node)).await;
            let scene = &client.crew.scene;
            let of_node = &scene.stage.nodes[node];
            if let Some(status) = of_node.has_ended().await
                && !scene.weather.ends(node)
            {
                scene.journal.wrong(format!("server {} has ended by itself: {status}", name_of(node)));
                of_node.start().await;
            }
            if let Some(panic) = of_node.panic().filter(|panic| told.insert(panic.clone())) {
                scene.journal.wrong(format!("in {}: {panic}", name_of(node)));
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until both servers say that everything is well; says so if they take longer than they may.
pub(crate) async fn expect_well(client: &mut Client, healed: Instant) {
    for node in 0..NODES {
        loop {
            let health = Ask::get("/health", DATABASE).at(node).with("X-Health-Key", HEALTH_KEY);
            let report = client.ask(&health).await.map(|heard| heard.json()).unwrap_or_default();
            if report["status"] == "pass" {
                break;
            }
            if client.crew.scene.weather.is_over(healed) {
                client.wrong(format!("server {} is not well: {}", name_of(node), unwell(&report)));
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    let took = healed.elapsed().as_secs_f64();
    client.crew.scene.journal.note(format!("both servers are well, {took:.1} s after the last fault"));
}

/// What is not well.
fn unwell(report: &Value) -> Value {
    let checks = report["checks"].as_object().cloned().unwrap_or_default();
    checks.into_iter().filter(|(_, check)| check["status"] != "pass").collect()
}
