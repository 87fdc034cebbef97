//! The tasks of the product: their list, and that what was written for them once is read, and answered, for ever.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use portwright_application::compute::TaskRegistry;
use portwright_application::compute::envelope::{Envelope, Meta};
use portwright_domain::job::{NewJob, Outcome};
use portwright_e2e::TestApp;
use portwright_e2e::goldens::{mistakes, outcomes};
use portwright_testkit::ManualClock;
use portwright_testkit::builders::JobBuilder;
use serde_json::Value;
use serde_json::value::to_raw_value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// One line for each task, with all that its jobs depend on.
fn listed(tasks: &TaskRegistry) -> String {
    let mut list = String::new();
    for task in tasks.describe() {
        let attempts = task.attempts.map_or("usual".to_owned(), |attempts| attempts.to_string());
        let timeout = task.timeout.map_or("usual".to_owned(), |timeout| format!("{timeout:?}"));
        let (name, version, queue, priority) = (task.name, task.version, task.queue, task.priority);
        let _ = writeln!(
            list,
            "{name} v{version}, queue {queue}, priority {priority}, attempts {attempts}, timeout {timeout}\n    \
             {} -> Result<{}, {}>",
            task.input, task.output, task.error
        );
    }
    list
}

#[tokio::test]
async fn the_list_of_tasks_is_what_was_agreed() {
    let app = TestApp::embedded().await;
    let list = listed(&app.jobs().tasks);
    let file = folder("snapshots/tasks.txt");
    let agreed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        list == agreed,
        "a task that has another name strands its jobs, so pin it; if this is intended, write it to {}:\n{list}",
        file.display()
    );
}

#[tokio::test]
async fn every_task_has_its_goldens() {
    let app = TestApp::embedded().await;
    assert_eq!(mistakes(&app.jobs().tasks, &folder("golden/tasks")), [""; 0]);
}

#[tokio::test]
async fn what_was_answered_once_is_answered_still() {
    let app = TestApp::embedded().await;
    let goldens = outcomes(&app.jobs().tasks, &folder("golden/tasks"));
    assert!(!goldens.is_empty());
    for (number, golden) in (1..).zip(goldens) {
        let meta = Meta::new(None, None, ManualClock::START);
        let args = to_raw_value(&golden.args).expect("JSON");
        let payload = Envelope::pack(golden.task, golden.version, &args, &meta).expect("it is written");
        let job = JobBuilder::number(number).of_task(golden.task).at_version(golden.version);
        let job: NewJob = job.with_payload(payload).build();
        app.jobs().queue.enqueue(std::slice::from_ref(&job)).await.expect("there is room");
        app.drain_jobs().await;
        let job = app.jobs().queue.find(job.id).await.expect("find works").expect("it is known");
        let Some(Outcome::Succeeded(result)) = job.outcome else { panic!("{golden:?}: {:?}", job.outcome) };
        assert_eq!(json(&result), golden.outcome, "{golden:?}");
    }
}

fn json(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}
