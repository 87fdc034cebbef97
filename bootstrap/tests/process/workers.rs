//! Workers as processes: how they come, go, crash, hang and are replaced, and what becomes of their jobs.

mod by_hand;
mod calls;
mod command;
mod crashes;
mod crew;
mod kills;
mod limits;
mod metrics;
mod outages;
mod redis;
mod server_kills;
mod stopping;
mod supervision;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::{Compute, Defaults};
use portwright_domain::Timestamp;
use portwright_domain::job::{CauseOfDeath, Job, JobId, JobState, Outcome};
use portwright_domain::ports::{JobQueue, Unobserved};
use portwright_memory::{SystemClock, UuidV7};
use portwright_socket::QueueClient;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::place::{PATIENCE, Place};
use crate::server::Server;
use crate::works::{Order, Works};

/// Longer than any job of a test waits for its end.
const LONG: Duration = Duration::from_secs(50);
/// The lease in tests.
const LEASE: Duration = Duration::from_secs(2);

impl Place {
    /// The program with the tasks of [`Works`], where [`Place::command`] has the product.
    pub(crate) fn program(&self, argument: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portwright-test-tasks"));
        command.arg(argument);
        self.confine(&mut command);
        command
    }

    /// A server that starts workers, with a shorter time to stop than usual.
    pub(crate) fn server_with_workers(&self, min: usize, max: usize) -> Command {
        let mut command = self.program("serve");
        command.envs([("COMPUTE_AUTO_SPAWN", "true"), ("SHUTDOWN_TIMEOUT", "10s")]);
        command.env("COMPUTE_MIN_WORKERS", min.to_string());
        command.env("COMPUTE_MAX_WORKERS", max.to_string());
        command
    }
}

/// The jobs of a server, and the traces that they leave.
pub(crate) struct Jobs {
    pub(crate) queue: Arc<dyn JobQueue>,
    works: Works,
    traces: PathBuf,
}

/// A line of a trace: a step of a try, in which process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) step: String,
    pid: u32,
    run: u64,
    job: String,
    at: Timestamp,
}

impl Jobs {
    pub(crate) fn at(place: &Place) -> Self {
        Self::of(Arc::new(QueueClient::of(&place.path().join("data"))), place)
    }

    /// Those of another queue, which leave their traces in this place.
    pub(crate) fn of(queue: Arc<dyn JobQueue>, place: &Place) -> Self {
        let clock = Arc::new(SystemClock);
        let ids = Arc::new(UuidV7::new(clock.clone()));
        let compute = Compute::new(queue.clone(), clock, ids, Arc::new(Unobserved), Defaults::default());
        Self { queue, works: Works { compute }, traces: place.path().to_owned() }
    }

    /// An order that takes so long, and leaves its trace under this name.
    fn order(&self, name: &str, time: Duration) -> Order {
        let millis = u64::try_from(time.as_millis()).expect("not for ever");
        Order { trace: self.traces.join(name), millis }
    }

    /// Enqueues a job that takes so long.
    pub(crate) async fn take_time(&self, name: &str, time: Duration) -> JobId {
        let job = self.works.take_time_job(self.order(name, time)).enqueue().await;
        job.unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn trace(&self, name: &str) -> Vec<Trace> {
        let text = fs::read_to_string(self.traces.join(name)).unwrap_or_default();
        text.lines().map(Trace::parse).collect()
    }

    /// Waits until the trace has this step for the `n`th time, and returns it.
    pub(crate) async fn traced(&self, name: &str, step: &str, n: usize) -> Trace {
        let mut found = None;
        until(&format!("the trace {name} has {n} {step}"), async || {
            found = self.trace(name).into_iter().filter(|it| it.step == step).nth(n - 1);
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }

    async fn find(&self, id: JobId) -> Job {
        self.queue.find(id).await.expect("an answer").expect("the job")
    }

    /// How each of these jobs ended; panics if one is lost or stuck.
    async fn ends_of(self: &Arc<Self>, ids: &[JobId]) -> BTreeMap<JobId, Outcome> {
        const AT_ONCE: usize = 64;
        let mut asking = JoinSet::new();
        for ids in ids.chunks(ids.len().div_ceil(AT_ONCE).max(1)) {
            let (jobs, ids) = (self.clone(), ids.to_vec());
            asking.spawn(async move {
                let mut ends = Vec::new();
                for id in ids {
                    let outcome = jobs.queue.outcome(id, LONG).await.expect("an answer");
                    ends.push((id, outcome.unwrap_or_else(|| panic!("{id} is lost or stuck"))));
                }
                ends
            });
        }
        asking.join_all().await.into_iter().flatten().collect()
    }

    /// Panics if a job did not succeed although it is not to blame.
    fn expect_success(&self, ends: &BTreeMap<JobId, Outcome>) {
        let mut begun = BTreeMap::<String, usize>::new();
        for trace in self.trace("all").into_iter().filter(|trace| trace.step == "begin") {
            *begun.entry(trace.job).or_default() += 1;
        }
        for (id, outcome) in ends {
            match outcome {
                Outcome::Succeeded(_) => {}
                // Three kills that hit it while it ran alone look like its own doing.
                Outcome::Dead(death) if death.cause == CauseOfDeath::Crashed => {
                    assert!(begun.get(&id.to_string()) > Some(&3), "{id} was dead too soon: {death:?}");
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }

    /// Panics if anything waits or runs.
    async fn expect_rest(&self) {
        for queue in self.queue.queues().await.expect("an answer") {
            assert_eq!((queue.scheduled, queue.ready, queue.running), (0, 0, 0), "{queue:?}");
        }
    }

    async fn until_state(&self, id: JobId, state: JobState) -> Job {
        until(&format!("the job is {state:?}"), async || self.find(id).await.state == state).await;
        self.find(id).await
    }
}

impl Trace {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("five words").to_owned();
        let (step, pid, run, job, at) = (next(), next(), next(), next(), next());
        let (run, at) = (run.parse().expect("a number"), at.parse().expect("a number"));
        Self { step, pid: parse(&pid), run, job, at: Timestamp::from_unix_micros(at) }
    }
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_true().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "never true: {what}");
}

/// The processes that this one started and that have not ended.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let file = format!("/proc/{of}/task");
    let tasks = fs::read_dir(file).map(|tasks| tasks.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let lists = tasks.iter().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().map(parse).collect::<Vec<_>>()).collect();
    pids.into_iter().filter(|pid| is_alive(*pid)).collect()
}

fn parse(number: &str) -> u32 {
    number.parse().expect("a number")
}

/// Whether there is such a process that has not ended. One that has and that nobody has waited for is not.
pub(crate) fn is_alive(pid: u32) -> bool {
    field(pid, 3).is_some_and(|state| state != "Z" && state != "X")
}

/// A field of `/proc/<pid>/stat`, counted from 1; not the second.
pub(crate) fn field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_command) = stat.rsplit_once(") ")?;
    behind_command.split(' ').nth(number - 3).map(str::to_owned)
}

/// What `/health` says of the workers.
async fn workers_health(server: &Server) -> serde_json::Value {
    server.api().get("/health").await.expect(200)["checks"]["workers"].clone()
}

/// Waits until so many workers are ready, and returns their processes.
pub(crate) async fn ready_workers(server: &Server, count: usize) -> Vec<u32> {
    let wanted = count.to_string();
    until(&format!("{count} workers are ready"), async || {
        workers_health(server).await["details"]["ready"] == wanted.as_str()
    })
    .await;
    children(server.pid())
}

/// Whether two processes run the same program.
fn same_program(one: u32, other: u32) -> bool {
    let inode = |pid: u32| fs::metadata(format!("/proc/{pid}/exe")).map(|file| file.ino()).ok();
    inode(one).is_some() && inode(one) == inode(other)
}
