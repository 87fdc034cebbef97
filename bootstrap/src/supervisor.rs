//! Looks after worker processes: starts them, hears from them, starts them again, sends them away, and sees them off.
//!
//! ```text
//!            ┌──────────────── Supervisor ────────────────┐
//!  queue ───►│ how many?    Fleet: places, waits, orders  │── start, SIGTERM, lifeline, SIGKILL ──► children
//!            └────▲──────────────────────────▲────────────┘                                            │
//!                 └── ended, after its jobs were given back ── says that it is ready, or how busy ─────┘
//! ```
//! What is to be done is decided by pure functions of what happened and of the time: [`stage`] for one child,
//! [`restarts`] for what follows its end, [`fleet`] for all of them. [`process`] is what they are to the kernel.
//!
//! Invariants
//! - The jobs of a child that ended are given back before anything else happens, whatever it died of.
//! - Children that die as soon as they live are started ever less often, never given up, and complained about.
//!   A child that says that starting it again changes nothing (exit 2, 73, 77, 78) is believed.
//! - Children do not outlive this process, however it ends: the kernel cuts their lifeline.
//! - No signal is sent to a process that was not started here.

mod fleet;
mod gauge;
mod health;
mod process;
mod restarts;
mod stage;

use std::ffi::OsString;
use std::future::{Future, pending};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::scaling::{Bounds, Load, desired_workers, needed_workers};
use portwright_domain::job::WorkerId;
use portwright_domain::ports::{Event, HealthProbe, IdGenerator, JobQueue, JobSource, Observer};
use portwright_metrics::{Metrics, Source};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::WorkerCount;
use crate::lifeline::Said;
use fleet::{Action, Fleet, Sequel};
use gauge::WorkersGauge;
use health::{Roster, WorkersHealth};
use process::{Process, Program};
use restarts::End;
use stage::{Order, Stage};

/// How often the queue is asked how much waits.
const TICK: Duration = Duration::from_millis(500);
/// How long it may take to answer, or to take back the jobs of a dead worker.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is left of the time to stop for workers that have to be hurried: they take two seconds, and may be killed then.
/// If there is little time, it is a third of that.
const HURRY: Duration = Duration::from_secs(4);

/// What the names of supervised workers begin with.
const SUPERVISED: &str = "supervised-";

/// Whether a supervisor started this worker, of this server or of one before it.
#[must_use]
pub fn is_supervised(worker: &WorkerId) -> bool {
    worker.as_str().starts_with(SUPERVISED)
}

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many workers there may be.
    pub count: WorkerCount,
    /// Jobs that each of them runs at a time; at least 1.
    pub concurrency: u32,
    /// How long a worker that is one too many may take to finish what it runs.
    pub drain: Duration,
    /// Whether workers limit their memory.
    pub frugal: bool,
    /// What workers log, if not what they find in the environment.
    pub log: Option<String>,
}

/// Starts worker processes and looks after them.
pub struct Supervisor {
    plan: Plan,
    program: Program,
    queue: Arc<dyn JobQueue>,
    source: Arc<dyn JobSource>,
    ids: Arc<dyn IdGenerator>,
    metrics: Arc<Metrics>,
    fleet: Fleet,
    children: JoinSet<()>,
    /// How each child is told, by its place.
    orders: Vec<Option<mpsc::UnboundedSender<Order>>>,
    news: (mpsc::UnboundedSender<News>, mpsc::UnboundedReceiver<News>),
    roster: watch::Sender<Roster>,
    /// Since when fewer workers would have done.
    idle_since: Option<Instant>,
}

/// Something that happened to the child in a place.
enum News {
    Said(usize, Said),
    Ended(usize, io::Result<ExitStatus>),
    /// Its jobs were given back, as far as they could be.
    Buried(usize),
}

impl Supervisor {
    /// A supervisor of workers on this data directory, whose queue this is. What they count goes to `metrics`. Nothing is
    /// started yet.
    #[must_use]
    pub fn new(
        plan: Plan,
        data_dir: &Path,
        queue: Arc<dyn JobQueue>,
        source: Arc<dyn JobSource>,
        ids: Arc<dyn IdGenerator>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let places = plan.count.max;
        let arguments = vec![OsString::from("--data-dir"), data_dir.into()];
        Self {
            program: Program { arguments, frugal: plan.frugal, log: plan.log.clone() },
            queue,
            source,
            ids,
            metrics,
            fleet: Fleet::new(places, plan.drain),
            plan,
            children: JoinSet::new(),
            orders: std::iter::repeat_with(|| None).take(places).collect(),
            news: mpsc::unbounded_channel(),
            roster: watch::Sender::new(Roster::default()),
            idle_since: None,
        }
    }

    /// How the workers are.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn HealthProbe> {
        Arc::new(WorkersHealth::of(self.roster.subscribe()))
    }

    /// How many of them are in which state.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(WorkersGauge::of(self.roster.subscribe()))
    }

    /// Keeps workers until `stop` says by when the last one has to be gone, and returns when it is. Whoever drops this
    /// cuts the lifelines of all.
    pub async fn run(mut self, stop: oneshot::Receiver<Instant>) {
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        let mut waiting = measure(self.queue.clone());
        let actions = self.fleet.resize(self.plan.count.min, Instant::now());
        self.carry_out(actions);
        while !stopping || self.fleet.children().next().is_some() {
            let actions = tokio::select! {
                Some(news) = self.news.1.recv() => {
                    self.take_note(news);
                    self.fleet.time_passes(Instant::now())
                }
                () = until(self.fleet.due()) => self.fleet.time_passes(Instant::now()),
                ready = &mut waiting, if !stopping => {
                    waiting = measure(self.queue.clone());
                    ready.map_or_else(Vec::new, |ready| self.scale(ready))
                }
                by = &mut stop, if !stopping => {
                    stopping = true;
                    let now = Instant::now();
                    // Nobody is left who could say; so there is no time.
                    let left = by.map_or(Duration::ZERO, |by| by.saturating_duration_since(now));
                    self.fleet.stop(now + left - HURRY.min(left / 3), now)
                }
            };
            self.carry_out(actions);
            self.roster.send_replace(Roster::of(&self.fleet, Instant::now()));
        }
    }

    /// What is to be done where so many jobs wait.
    fn scale(&mut self, ready: u64) -> Vec<Action> {
        let now = Instant::now();
        let Plan { count, concurrency, .. } = self.plan;
        let bounds = Bounds { min: count.min, max: count.max, concurrency };
        let (workers, running) = (self.fleet.workers(), self.fleet.running() as u64);
        let mut load = Load { ready, running, workers, idle_for: Duration::ZERO };
        if needed_workers(&load, &bounds) >= workers {
            self.idle_since = None;
        } else {
            load.idle_for = now - *self.idle_since.get_or_insert(now);
        }
        let wanted = desired_workers(&load, &bounds);
        if wanted < workers {
            // One goes; the next one has to be one too many for as long again.
            self.idle_since = None;
        } else if wanted > workers {
            tracing::info!(ready, running, workers, wanted, "more workers are started");
        }
        self.fleet.resize(wanted, now)
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(place) => self.start(place),
                Action::Tell(place, order) => {
                    tracing::debug!(place, ?order, "a worker is told");
                    if let Some(child) = &self.orders[place] {
                        // A child that ended meanwhile needs no orders.
                        let _ = child.send(order);
                    }
                }
            }
        }
    }

    fn start(&mut self, place: usize) {
        let name = format!("{SUPERVISED}{place}-{}", self.ids.next());
        let Ok(worker) = WorkerId::parse(&name) else { return tracing::error!(name, "not a name") };
        let now = Instant::now();
        match self.program.start(&worker) {
            Ok(process) => {
                tracing::info!(%worker, pid = process.pid(), "a worker was started");
                self.fleet.started(place, worker.clone(), process.pid(), now);
                let (orders, receiver) = mpsc::unbounded_channel();
                self.orders[place] = Some(orders);
                let (news, source) = (self.news.0.clone(), self.source.clone());
                self.children.spawn(look_after(place, worker, process, receiver, news, source));
            }
            Err(error) => {
                tracing::error!(%error, "a worker cannot be started");
                self.fleet.started(place, worker, None, now);
                self.fleet.ended(place, End::NotStarted, now);
                self.follow(place);
            }
        }
    }

    fn take_note(&mut self, news: News) {
        match news {
            News::Said(place, Said::Counted(report)) => {
                if let Some(child) = self.fleet.child(place) {
                    self.metrics.hear_child(child.worker.as_str(), report);
                }
            }
            News::Said(place, said) => {
                if let (Said::Ready { .. }, Some(child)) = (&said, self.fleet.child(place)) {
                    tracing::debug!(worker = %child.worker, pid = child.pid, "a worker is ready");
                }
                self.fleet.said(place, said, Instant::now());
            }
            News::Ended(place, status) => {
                self.orders[place] = None;
                let child = self.fleet.child(place);
                if let Some(child) = child {
                    self.metrics.lose_child(child.worker.as_str());
                }
                let was_ready = child.is_some_and(|child| !matches!(child.stage, Stage::Starting { .. }));
                let end = status.map_or(End::NotStarted, |status| End::of(status, was_ready));
                self.fleet.ended(place, end, Instant::now());
            }
            News::Buried(place) => {
                self.follow(place);
                while self.children.try_join_next().is_some() {}
            }
        }
    }

    /// Decides what follows a child that is gone.
    fn follow(&mut self, place: usize) {
        let Some(child) = self.fleet.child(place) else { return };
        let (worker, pid) = (child.worker.clone(), child.pid);
        let (cause, reason) = child.end.map(|(end, _)| (end.to_string(), end.as_str())).unwrap_or_default();
        let now = Instant::now();
        match self.fleet.buried(place, now) {
            Sequel::Free => tracing::info!(%worker, pid, cause, "a worker ended"),
            Sequel::Never => {
                tracing::error!(%worker, pid, cause, "a worker refuses to run, and is not started again");
            }
            Sequel::Again(wait) => {
                self.metrics.observe(&Event::WorkerReplaced { reason });
                let restart_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                if self.fleet.is_crash_loop(place, now) {
                    tracing::error!(%worker, pid, cause, restart_in_ms, "workers end as soon as they start");
                } else {
                    tracing::warn!(%worker, pid, cause, restart_in_ms, "a worker ended, and another follows");
                }
            }
        }
    }
}

/// Waits for the end of a child, gives its jobs back, and tells of it.
async fn look_after(
    place: usize,
    worker: WorkerId,
    process: Process,
    orders: mpsc::UnboundedReceiver<Order>,
    news: mpsc::UnboundedSender<News>,
    source: Arc<dyn JobSource>,
) {
    // Nobody hears it if the supervisor is gone, and then nobody has to.
    let tell = |it| drop(news.send(it));
    let status = process.watch(orders, |said| tell(News::Said(place, said))).await;
    tell(News::Ended(place, status));
    match timeout(PATIENCE, source.bury(&worker)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(jobs)) => tracing::info!(%worker, jobs, "the jobs of a dead worker were given back"),
        // Their lease ends, and they are reclaimed then.
        Ok(Err(error)) => tracing::warn!(%error, %worker, "the jobs of a dead worker stay leased"),
        Err(_) => tracing::warn!(%worker, "the jobs of a dead worker stay leased: the queue does not answer"),
    }
    tell(News::Buried(place));
}

type Measuring = Pin<Box<dyn Future<Output = Option<u64>> + Send>>;

/// How many jobs wait for a worker, a moment from now; `None` if the queue does not say.
fn measure(queue: Arc<dyn JobQueue>) -> Measuring {
    Box::pin(async move {
        sleep(TICK).await;
        match timeout(PATIENCE, queue.queues()).await {
            Ok(Ok(queues)) => Some(queues.iter().filter(|it| !it.paused).map(|it| it.ready).sum()),
            // The queue's own probe tells of it.
            Ok(Err(_)) | Err(_) => None,
        }
    })
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
