//! What a server does for jobs: it keeps everything around the queue going. One in a file is its own:
//!
//! ```text
//!  DATA_DIR/queue.db ◄── SqliteJobQueue ◄─┬── the services of this process, in memory
//!                                         ├── DATA_DIR/queue.sock ◄── workers, `portwright jobs`
//!                                         ├── relay (from the outbox), reaper (from workers that are gone)
//!                                         ├── those who bury the workers of a server that was killed
//!                                         └── supervisor ── starts workers, buries them
//! ```
//! One in Redis is everybody's, and workers reach it without the server: there is neither file nor socket, and whoever a
//! killed server leaves behind hands back its jobs by itself.
//!
//! At the end, workers finish first, as long as there is time, while the queue still answers them; then everything around
//! the queue ends, and then the queue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::reaper::reap;
use portwright_application::compute::{Reconciler, Relay};
use portwright_domain::job::WorkerId;
use portwright_domain::ports::{HealthProbe, IdGenerator, JobQueue, JobSource, Observer};
use portwright_layers::Policy as Patience;
use portwright_metrics::{Metrics, Queues, Source};
use portwright_socket::QueueServer;
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Queue};
use crate::dispensable::dispensable;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::{Lifecycle, Phase};
use crate::lifeline;
use crate::open_queue::{OpenQueue, away};
use crate::queue_health::QueueHealth;
use crate::supervisor::{Plan, Supervisor, is_supervised};
use crate::wiring::{Ambient, Backstage};

/// The name of the queue's file in the data directory.
pub(crate) const QUEUE_FILE: &str = "queue.db";

/// How often dead workers are looked for, where leases last this many times as long.
const LOOKS_PER_LEASE: u32 = 20;
const RAREST_LOOK: Duration = Duration::from_secs(1);

/// The queue of a server, open, with nobody around it yet.
pub struct Engine {
    open: OpenQueue,
    own: Option<Own>,
    supervisor: Option<Supervisor>,
    reap_every: Duration,
}

/// What is to be done for a queue in a file, which is this server's alone.
struct Own {
    file: Arc<SqliteJobQueue>,
    socket: QueueServer,
    /// Workers of a server before this one that hold jobs. They end by themselves, or have already.
    bereaved: Vec<WorkerId>,
}

impl Engine {
    /// Opens the queue; if it is in a file, it takes its socket, too, which nobody answers yet. What workers count goes to
    /// `metrics`. Whoever calls it holds the lock of the data directory.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub async fn open(config: &Config, ambient: &Ambient, metrics: Arc<Metrics>) -> Result<Self, Failure> {
        let (open, own) = match &config.queue {
            Queue::Embedded => {
                let own = Own::take(config, ambient).await?;
                let (queue, source) = (own.file.clone(), own.file.clone());
                (OpenQueue { queue, source, patience: Patience::LOCAL }, Some(own))
            }
            Queue::Redis(_) => {
                (OpenQueue::reach(config, ambient).await.map_err(|error| away(config, &error))?, None)
            }
        };
        Ok(Self {
            supervisor: supervisor(config, &open, ambient.ids.clone(), metrics),
            open,
            own,
            reap_every: (config.compute.lease / LOOKS_PER_LEASE).min(RAREST_LOOK),
        })
    }

    /// The caller's half of the queue.
    #[must_use]
    pub fn queue(&self) -> Arc<dyn JobQueue> {
        self.open.queue.clone()
    }

    /// The worker's half of the queue.
    #[must_use]
    pub fn source(&self) -> Arc<dyn JobSource> {
        self.open.source.clone()
    }

    /// The queue as the use cases get it, and who watches them.
    #[must_use]
    pub fn backstage(&self, observer: Arc<dyn Observer>) -> Backstage {
        Backstage { queue: self.queue(), patience: self.open.patience, probes: self.probes(), observer }
    }

    /// What the queue, and the workers if this server starts any, say at each scrape.
    #[must_use]
    pub fn sources(&self) -> Vec<Arc<dyn Source>> {
        let queues: Arc<dyn Source> = Arc::new(Queues::of(self.queue()));
        [queues].into_iter().chain(self.supervisor.as_ref().map(Supervisor::source)).collect()
    }

    /// How the queue is, and the workers if this server starts any.
    fn probes(&self) -> Vec<Arc<dyn HealthProbe>> {
        let queue = dispensable(QueueHealth::of(self.queue()));
        [queue].into_iter().chain(self.supervisor.as_ref().map(Supervisor::probe)).collect()
    }

    /// Closes the queue when nobody uses it any more. To be called as soon as it is open.
    pub fn close_at_the_end(&self, life: &Lifecycle) {
        if let Some(own) = &self.own {
            let file = own.file.clone();
            life.on_stop(Phase::CloseStores, "close the queue", async move { file.close().await });
        }
    }

    /// Answers workers, starts them, and moves jobs to where they belong, until the process stops.
    pub fn start(self, life: &Lifecycle, relay: Relay, reconciler: Reconciler) {
        let (queue, source) = (self.queue(), self.source());
        let stop = CancellationToken::new();
        if let Some(Own { socket, bereaved, .. }) = self.own {
            life.spawn("queue socket", socket.run(queue, source.clone(), stop.clone()));
            life.spawn("bereaved workers", bury(source.clone(), bereaved, stop.clone()));
        }
        life.spawn("reaper", reap(source, self.reap_every, stop.clone()));
        let relaying = stop.clone();
        life.spawn("relay", async move { relay.run(relaying).await });
        let reconciling = stop.clone();
        life.spawn("reconciler", async move { reconciler.run(reconciling).await });

        let Some(supervisor) = self.supervisor else {
            return life.on_stop(Phase::BackgroundTasks, "stop the queue", async move { stop.cancel() });
        };
        let (send_home, until) = oneshot::channel();
        let workers = life.spawn("supervisor", supervisor.run(until));
        let stopping = life.clone();
        life.on_stop(Phase::BackgroundTasks, "send the workers home", async move {
            let by = stopping.deadline().unwrap_or_else(Instant::now);
            // If there is no supervisor any more, there are no workers.
            let _ = send_home.send(by);
            let _ = workers.await;
            stop.cancel();
        });
    }
}

impl Own {
    async fn take(config: &Config, ambient: &Ambient) -> Result<Self, Failure> {
        let file = SqliteConfig::at(config.data_dir.join(QUEUE_FILE));
        let file = SqliteJobQueue::init(&file, config.jobs.limits, ambient.clock.clone()).await?;
        let mut bereaved = file.holders().await?;
        bereaved.retain(is_supervised);
        let socket = QueueServer::bind(&config.data_dir).map_err(|error| no_socket(config, &error))?;
        Ok(Self { file: Arc::new(file), socket, bereaved })
    }
}

/// Gives back the jobs of these workers as soon as they are certainly gone, which is long before their leases end.
async fn bury(source: Arc<dyn JobSource>, bereaved: Vec<WorkerId>, stop: CancellationToken) {
    if bereaved.is_empty() || stop.run_until_cancelled(sleep(lifeline::LONGEST_AFTERLIFE)).await.is_none() {
        return;
    }
    for worker in bereaved {
        match source.bury(&worker).await {
            // It handed them back with its last breath.
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(%worker, jobs, "a server was killed, and its jobs were given back"),
            // Its lease ends, and they are reclaimed then.
            Err(error) => {
                tracing::warn!(%error, %worker, "the jobs of a worker whose server was killed stay leased");
            }
        }
    }
}

fn supervisor(
    config: &Config,
    open: &OpenQueue,
    ids: Arc<dyn IdGenerator>,
    metrics: Arc<Metrics>,
) -> Option<Supervisor> {
    let plan = Plan {
        count: config.compute.workers?,
        concurrency: config.compute.concurrency,
        drain: config.shutdown.timeout,
        frugal: config.compute.memory_limit.is_some(),
        log: config.log.filter.clone(),
    };
    Some(Supervisor::new(plan, &config.data_dir, open.queue.clone(), open.source.clone(), ids, metrics))
}

fn no_socket(config: &Config, error: &io::Error) -> Failure {
    let what = format!("cannot listen for workers in {} ({error})", config.data_dir.display());
    let fix = "DATA_DIR must be a directory on a local disk that this user may write to";
    Failure::new(Exit::CannotCreate, Problem::new(what).fix(fix))
}
