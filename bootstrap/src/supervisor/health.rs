//! How the workers are, for `/health`. A service without workers still answers most requests, so this never says that it
//! does not serve.

use async_trait::async_trait;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fleet::{Child, Fleet};
use super::stage::Stage;

/// All workers at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roster {
    /// One phrase for each process.
    processes: Vec<String>,
    pub(super) starting: usize,
    pub(super) ready: usize,
    pub(super) draining: usize,
    running: usize,
    /// What they can do, once one of them has said so.
    tasks: Vec<String>,
    /// What is wrong, if anything is.
    troubles: Vec<String>,
}

impl Roster {
    pub(super) fn of(fleet: &Fleet, now: Instant) -> Self {
        let children = || fleet.children();
        let count = |is_it: fn(Stage) -> bool| children().filter(|child| is_it(child.stage)).count();
        let tasks = children().map(|child| &child.tasks).max_by_key(|tasks| tasks.len());
        Self {
            processes: children().map(describe).collect(),
            starting: count(|stage| matches!(stage, Stage::Starting { .. })),
            ready: count(|stage| matches!(stage, Stage::Ready { .. })),
            draining: count(|stage| matches!(stage, Stage::Draining { .. })),
            running: fleet.running(),
            tasks: tasks.cloned().unwrap_or_default(),
            troubles: fleet.troubles(now),
        }
    }
}

fn describe(child: &Child) -> String {
    let pid = child.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    format!("{pid} {}, {} running", child.stage.as_str(), child.running)
}

/// Tells what the supervisor knows.
pub(super) struct WorkersHealth(watch::Receiver<Roster>);

impl WorkersHealth {
    pub(super) fn of(roster: watch::Receiver<Roster>) -> Self {
        Self(roster)
    }
}

#[async_trait]
impl HealthProbe for WorkersHealth {
    fn name(&self) -> &'static str {
        "workers"
    }

    async fn check(&self) -> Health {
        let Roster { processes, ready, running, tasks, troubles, .. } = self.0.borrow().clone();
        let mut health = Health::pass()
            .with("ready", ready.to_string())
            .with("running", running.to_string())
            .with("processes", processes.join("; "))
            .with("tasks", tasks.join(", "));
        if !troubles.is_empty() {
            health.status = HealthStatus::Warn;
            health = health.with("problem", troubles.join("; "));
        }
        health
    }
}
