//! The machine: whether it had no time for us. A server that waits for a core misses its deadlines through no fault of its own,
//! and on a machine that does something else besides, that is the fault which there is most.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::injector::Scene;
use crate::node::Node;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// A thread that waits for a core for this part of a time is starved. One that shares a core with another that is always
/// busy waits for half of it.
const STARVED: f64 = 0.4;

/// Looks after the machine for ever.
pub(crate) async fn watch(scene: Scene) {
    let mut before = HashMap::new();
    loop {
        let began = Instant::now();
        sleep(EVERY).await;
        let pids = scene.stage.nodes.iter().filter_map(Node::pid).chain([std::process::id()]);
        let now: HashMap<_, _> = pids.flat_map(waited).collect();
        let grown = |(thread, waited): (&u32, &Duration)| Some(waited.saturating_sub(*before.get(thread)?));
        let longest = now.iter().filter_map(grown).max().unwrap_or_default();
        if longest.as_secs_f64() > STARVED * began.elapsed().as_secs_f64() {
            scene.weather.starved();
            scene.journal.count("half seconds in which the machine had no time for us");
        }
        before = now;
    }
}

/// How long each thread of a process has waited for a core so far.
fn waited(pid: u32) -> Vec<(u32, Duration)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let threads = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanos = text.split_whitespace().nth(1)?.parse().ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, Duration::from_nanos(nanos)))
    });
    threads.collect()
}
