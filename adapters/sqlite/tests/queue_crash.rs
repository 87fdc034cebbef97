//! A process that is killed loses nothing that it acknowledged.
//!
//! The test runs itself again as the process to be killed.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{Enqueued, JobId, JobState, LeasedJob, NewJob, Outcome, WorkerId};
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Settlement, Verdict};
use portwright_domain::ports::{IdGenerator, JobQueue, JobSource};
use portwright_memory::{SystemClock, UuidV7};
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use portwright_testkit::builders::a_job;
use tokio::task::JoinSet;

/// Where the process to be killed keeps its queue.
const FOLDER: &str = "PORTWRIGHT_TEST_QUEUE";
const TEST: &str = "what_was_acknowledged_before_a_kill_is_there_after_it";
const ROUNDS: usize = 8;

async fn queue_at(folder: &Path) -> Arc<SqliteJobQueue> {
    let config = SqliteConfig::at(folder.join("queue.db"));
    Arc::new(SqliteJobQueue::init(&config, Limits::default(), Arc::new(SystemClock)).await.expect("a queue"))
}

fn worker_of(pid: u32) -> WorkerId {
    WorkerId::parse(&format!("worker-{pid}")).expect("a name")
}

fn want(worker: WorkerId, wait: Duration) -> LeaseRequest {
    LeaseRequest {
        worker,
        tasks: vec![(a_job().build().task, 1)],
        queues: Vec::new(),
        max: 8,
        lease: Duration::from_mins(1),
        wait,
    }
}

/// Runs whatever there is, echoing the payload, until nothing comes within the wait.
async fn work(queue: &SqliteJobQueue, want: &LeaseRequest) {
    let mut settle = Vec::new();
    loop {
        let exchange = queue.exchange(&settle, want).await.expect("it exchanges");
        if settle.is_empty() && exchange.leased.is_empty() {
            return;
        }
        let echo = |leased: LeasedJob| Settlement {
            lease: leased.lease,
            verdict: Verdict::Finish(Outcome::Succeeded(leased.job.payload)),
        };
        settle = exchange.leased.into_iter().map(echo).collect();
    }
}

fn say(word: &str, job: JobId) {
    // One write, so that a kill never leaves half a line that means something else.
    std::io::stdout().write_all(format!("{word} {job}.\n").as_bytes()).expect("somebody listens");
}

/// The process to be killed: enqueues, calls and works until then, and says what was acknowledged.
async fn run_until_killed(folder: &Path) {
    let queue = queue_at(folder).await;
    let ids = Arc::new(UuidV7::new(Arc::new(SystemClock)));
    let new_job = move || -> NewJob { a_job().with_id(JobId(ids.next())).build() };
    let mut all = JoinSet::new();
    for _ in 0..16 {
        let (queue, new_job) = (queue.clone(), new_job.clone());
        all.spawn(async move {
            loop {
                let job = new_job();
                let enqueued = queue.enqueue(std::slice::from_ref(&job)).await.expect("it takes jobs");
                assert_eq!(enqueued, [Enqueued::New]);
                say("enqueued", job.id);
            }
        });
    }
    for _ in 0..4 {
        let (queue, new_job) = (queue.clone(), new_job.clone());
        all.spawn(async move {
            loop {
                let job = new_job();
                if queue.call(&job, Duration::from_millis(50)).await.expect("it takes jobs").is_some() {
                    say("done", job.id);
                } else {
                    say("enqueued", job.id);
                }
            }
        });
    }
    all.spawn(
        async move { work(&queue, &want(worker_of(std::process::id()), Duration::from_mins(1))).await },
    );
    all.join_all().await;
}

/// The number of a process, and what it said until it was killed after so many lines: which jobs, and whether done.
fn kill_after(lines: usize, folder: &Path) -> (u32, HashMap<String, bool>) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([TEST, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = HashMap::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut read = |said: &mut HashMap<String, bool>| {
        let mut line = String::new();
        let more = reader.read_line(&mut line).expect("a line") > 0;
        if let Some((word, id)) = line.trim_end().strip_suffix('.').and_then(|line| line.split_once(' ')) {
            said.insert(id.to_owned(), word == "done");
        }
        more
    };
    while said.len() < lines {
        assert!(read(&mut said), "it ended by itself");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ran");
    // What it said before the kill counts, too.
    while read(&mut said) {}
    (child.id(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    #[expect(clippy::disallowed_methods, reason = "how this process knows that it is the one to be killed")]
    if let Some(folder) = std::env::var_os(FOLDER) {
        return run_until_killed(&PathBuf::from(folder)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..ROUNDS {
        let path = folder.path().to_owned();
        let said = tokio::task::spawn_blocking(move || kill_after(100 + 37 * round, &path));
        let (pid, said) = said.await.expect("no panic");

        // Opening checks the file.
        let queue = queue_at(folder.path()).await;
        for (id, done) in &said {
            let id = JobId(id.parse().expect("an id"));
            let job = queue.find(id).await.expect("find works").unwrap_or_else(|| panic!("{id} is lost"));
            assert!(!done || job.state == JobState::Succeeded, "{id} was done and is {:?}", job.state);
        }
        // What its worker held comes back, and everything runs to its end.
        queue.bury(&worker_of(pid)).await.expect("bury works");
        work(&queue, &want(worker_of(0), Duration::ZERO)).await;
        for id in said.keys() {
            let id = JobId(id.parse().expect("an id"));
            let job = queue.find(id).await.expect("find works").expect("it is known");
            assert_eq!(job.outcome, Some(Outcome::Succeeded(job.spec.payload)), "{id}");
        }
        let queues = queue.queues().await.expect("queues works");
        assert!(queues.iter().all(|queue| queue.running + queue.ready == 0), "{queues:?}");
        queue.close().await;
    }
}
