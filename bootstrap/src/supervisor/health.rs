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
    ready: usize,
    running: usize,
    /// What they can do, once one of them has said so.
    tasks: Vec<String>,
    /// What is wrong, if anything is.
    troubles: Vec<String>,
}

impl Roster {
    pub(super) fn of(fleet: &Fleet, now: Instant) -> Self {
        let children = || fleet.children();
        let tasks = children().map(|child| &child.tasks).max_by_key(|tasks| tasks.len());
        Self {
            processes: children().map(describe).collect(),
            ready: children().filter(|child| matches!(child.stage, Stage::Ready { .. })).count(),
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
        let Roster { processes, ready, running, tasks, troubles } = self.0.borrow().clone();
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
