//! Workers in processes of their own, which can be killed, and what they say of the jobs that they did.
//!
//! A test starts itself once more as a worker: the same test then plays that part, see [`is_worker`].

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::job::{JobId, Lease, Outcome, WorkerId};
use portwright_domain::ports::job_queue::{Limits, Settled};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_redis::{RedisConfig, RedisJobQueue};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::work::{job, queue_at, work};

/// Short, so that what a dead process held is soon somebody else's.
const LEASE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(1);

/// The usual size, which is for every day, or the full one if `TEST_SIZE` is `full`.
#[expect(clippy::disallowed_methods, reason = "it chooses a test's run, not the program's configuration")]
pub(crate) fn sized(usual: u32, full: u32) -> u32 {
    match std::env::var("TEST_SIZE").as_deref() {
        Ok("full") => full,
        Ok(other) => panic!("TEST_SIZE is `full` or nothing, not {other}"),
        Err(_) => usual,
    }
}

/// Works until it is killed if this process was started for that; false if it is the test.
pub(crate) async fn is_worker() -> bool {
    let given = |what: &str| -> Vec<String> {
        std::env::args().filter_map(|argument| argument.strip_prefix(what).map(str::to_owned)).collect()
    };
    let Some(name) = given("worker=").pop() else { return false };
    // Whoever started it holds the other end for as long as it lives.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        std::process::exit(0);
    });
    let config = RedisConfig::at(given("server=")).expect("URLs");
    let queue = loop {
        match RedisJobQueue::init(&config, Limits::default()).await {
            Ok(queue) => break Arc::new(queue),
            Err(refused) => assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    };
    let say = |lease: &Lease, settled: Settled| {
        let word = if settled == Settled::Accepted { "accepted" } else { "lost" };
        // One write, so that a kill never leaves half a line that means something else.
        let line = format!("{word} {} {}.\n", lease.job, lease.run.0);
        std::io::stdout().write_all(line.as_bytes()).expect("somebody listens");
    };
    work(queue, &name, LEASE, say).await;
    true
}

/// What workers said: which runs of which jobs were accepted.
#[derive(Default)]
struct Said {
    accepted: HashMap<JobId, HashSet<u64>>,
    lost: usize,
}

/// Workers that do the jobs of a test.
pub(crate) struct Fleet {
    test: &'static str,
    workers: Vec<Worker>,
    started: u32,
    said: Arc<Mutex<Said>>,
    /// How many jobs were accepted.
    done: watch::Sender<usize>,
    /// Those who give back what dead workers held, two at once.
    _reapers: JoinSet<()>,
}

struct Worker {
    id: WorkerId,
    child: Child,
    _lifeline: ChildStdin,
    servers: Vec<String>,
}

impl Fleet {
    /// Two reapers, and no workers yet, for the test of this name.
    pub(crate) async fn new(test: &'static str, servers: &[String]) -> Self {
        let mut reapers = JoinSet::new();
        for _ in 0..2 {
            let queue = queue_at(servers).await;
            reapers.spawn(async move {
                loop {
                    // Without a server there is nothing to give back.
                    queue.reclaim().await.ok();
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
        let (said, done) = (Arc::default(), watch::Sender::new(0));
        Self { test, workers: Vec::new(), started: 0, said, done, _reapers: reapers }
    }

    /// Starts a worker that reaches the queue at these servers.
    pub(crate) fn start(&mut self, servers: &[String]) {
        self.started += 1;
        let id = WorkerId::parse(&format!("worker-{}", self.started)).expect("a name");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", self.test, "--nocapture"])
            .arg(format!("worker={}", id.as_str()))
            .args(servers.iter().map(|server| format!("server={server}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lifeline = child.stdin.take().expect("a pipe");
        let (from, said, done) = (child.stdout.take().expect("a pipe"), self.said.clone(), self.done.clone());
        std::thread::spawn(move || note(from, &said, &done));
        self.workers.push(Worker { id, child, _lifeline: lifeline, servers: servers.to_vec() });
    }

    /// Kills the worker that has lived longest, and starts another; says who died.
    pub(crate) fn kill(&mut self) -> WorkerId {
        let mut worker = self.workers.remove(0);
        assert_eq!(worker.child.try_wait().expect("it was started"), None, "it ended by itself");
        worker.child.kill().expect("it runs");
        worker.child.wait().expect("it ran");
        self.start(&worker.servers);
        worker.id
    }

    /// How many jobs were done so far.
    pub(crate) fn done(&self) -> usize {
        *self.done.borrow()
    }

    /// Until so many jobs are done, so that what follows happens in the middle of something.
    pub(crate) async fn has_done(&self, jobs: usize) {
        let mut done = self.done.subscribe();
        let enough = timeout(LONG, done.wait_for(|done| *done >= jobs)).await;
        enough.expect("somebody works").expect("the fleet is there");
    }

    /// Every one of these jobs is done, once, and nothing else is left to do. How many results were refused because
    /// somebody else had the job by then.
    pub(crate) async fn has_done_all(mut self, queue: &RedisJobQueue, numbers: u32) -> usize {
        let deadline = Instant::now() + LONG;
        loop {
            let queues = queue.queues().await.expect("queues works");
            if queues.iter().all(|queue| queue.scheduled + queue.ready + queue.running == 0) {
                break;
            }
            assert!(Instant::now() < deadline, "stuck: {queues:?}");
            sleep(Duration::from_millis(20)).await;
        }
        for worker in &mut self.workers {
            assert_eq!(worker.child.try_wait().expect("it was started"), None, "it ended by itself");
        }
        let said = std::mem::take(&mut *self.said.lock().expect("nobody panicked in here"));
        for number in 1..=numbers {
            let id = job(number).id;
            let found = queue.find(id).await.expect("find works").unwrap_or_else(|| panic!("{id} is lost"));
            let Some(Outcome::Succeeded(run)) = found.outcome else {
                panic!("job {number} is {:?}: {:?}", found.state, found.outcome);
            };
            let run = u64::from_be_bytes(run.as_ref().try_into().expect("the number of a run"));
            // Whoever did it may have been killed before it said so.
            if let Some(accepted) = said.accepted.get(&id) {
                assert_eq!(*accepted, HashSet::from([run]), "job {number} was accepted twice");
            }
        }
        said.lost
    }
}

/// Notes what a worker says until its end.
fn note(from: ChildStdout, said: &Mutex<Said>, done: &watch::Sender<usize>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let mut words = line.strip_suffix('.').unwrap_or_default().split(' ');
        let (word, id, run) = (words.next(), words.next(), words.next());
        let Some((id, Ok(run))) = id.and_then(|id| id.parse().ok()).zip(run.map(str::parse)) else {
            continue;
        };
        let mut said = said.lock().expect("nobody panicked in here");
        if word == Some("accepted") {
            said.accepted.entry(JobId(id)).or_default().insert(run);
            done.send_replace(said.accepted.len());
        } else {
            said.lost += 1;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.child.kill().ok();
            worker.child.wait().ok();
        }
    }
}
