//! `portwright tasks`: what this program's workers can run, with what counts for each here.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::{Defaults, TaskRegistry, TaskSpec};
use portwright_application::{Policy, Ports, Services};
use portwright_domain::ports::Unobserved;
use portwright_memory::{
    FakeSealer, FakeTokens, MemoryCache, MemoryJobQueue, MemoryRateLimiter, MemoryStorage, MemoryStore,
    PlainHasher,
};
use serde_json::json;

use crate::config::{Config, Registration};
use crate::failure::Failure;
use crate::output;
use crate::wiring::Program;

/// Lists every task by name.
pub(super) fn run(config: &Config, program: Program, json: bool) -> Result<(), Failure> {
    let tasks = registry(config, program);
    let rows = tasks.describe().map(|task| Row::of(task, config));
    let lines: String = if json {
        rows.map(Row::as_json).collect()
    } else {
        let header = Row::line(["TASK", "VERSION", "QUEUE", "PRIORITY", "ATTEMPTS", "TIMEOUT"]);
        [header].into_iter().chain(rows.map(Row::as_line)).collect()
    };
    output::print(&lines)
}

/// The tasks belong to services, and those to a world: this one is empty and ends with the command, so nothing is opened.
fn registry(config: &Config, program: Program) -> TaskRegistry {
    let clock = program.ambient.clock;
    let ports = Ports {
        store: Arc::new(MemoryStore::new()),
        queue: Arc::new(MemoryJobQueue::new(clock.clone())),
        cache: Arc::new(MemoryCache::new(1, clock.clone())),
        storage: Arc::new(MemoryStorage::new(clock.clone())),
        hasher: Arc::new(PlainHasher::default()),
        tokens: Arc::new(FakeTokens::default()),
        sealer: Arc::new(FakeSealer::default()),
        limiter: Arc::new(MemoryRateLimiter::new(1, clock.clone())),
        clock,
        ids: program.ambient.ids,
        observer: Arc::new(Unobserved),
        probes: Vec::new(),
    };
    let policy = Policy {
        registration_open: config.registration == Registration::Open,
        access_ttl: config.jwt.access_ttl,
        session: config.session,
        login: config.login,
        jobs: Defaults::default(),
    };
    (program.tasks)(&Services::new(ports, policy))
}

/// A task, with the settings of this place where it has none of its own.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    version: u32,
    queue: &'static str,
    priority: u8,
    attempts: u32,
    timeout: Duration,
}

impl Row {
    fn of(task: &TaskSpec, config: &Config) -> Self {
        Self {
            name: task.name,
            version: task.version,
            queue: task.queue,
            priority: task.priority,
            attempts: task.attempts.unwrap_or(config.jobs.attempts),
            timeout: task.timeout.unwrap_or(Defaults::default().timeout),
        }
    }

    fn as_json(self) -> String {
        let row = json!({
            "name": self.name,
            "version": self.version,
            "queue": self.queue,
            "priority": self.priority,
            "attempts": self.attempts,
            "timeoutSeconds": self.timeout.as_secs_f64(),
        });
        format!("{row}\n")
    }

    fn as_line(self) -> String {
        let [version, priority, attempts] =
            [self.version, self.priority.into(), self.attempts].map(|number| number.to_string());
        let timeout = format!("{} s", self.timeout.as_secs_f64());
        Self::line([self.name, &version, self.queue, &priority, &attempts, &timeout])
    }

    fn line([name, version, queue, priority, attempts, timeout]: [&str; 6]) -> String {
        format!("{name:<24}  {version:<7}  {queue:<10}  {priority:<8}  {attempts:<8}  {timeout}\n")
    }
}
