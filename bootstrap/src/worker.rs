//! The worker role: runs the jobs of the server on this host, which owns the queue, or of every server that shares a Redis.
//!
//! ```text
//!  SIGTERM ──► soft: no more jobs, finish those that run ──────┐
//!  SIGTERM again, or the lifeline is cut ──► hard: hand back ──┴──► exit 0
//!  a job does not let go ──► it is settled, the others are handed back ──► exit 75, to be replaced
//!  the lifeline was cut a second ago ──► exit 69, whatever tasks do
//! ```
//! The loop that leases and settles has a thread of its own, and so has each task: one that never yields holds up nobody.

mod reporting;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::worker::Ending;
use portwright_application::compute::{Worker, WorkerOptions};
use portwright_domain::job::{QueueName, WorkerId};
use portwright_domain::{ErrorKind, PortError};
use portwright_http::Exposition;
use portwright_metrics::{Metrics, Queues, Source, pulse};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Queue};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::Lifecycle;
use crate::lifeline::Lifeline;
use crate::metrics::{self, ManagementPort};
use crate::open_queue::{OpenQueue, away, describe};
use crate::servers;
use crate::wiring::{Ambient, App, Backstage, Program, wire};
use reporting::Reporting;

/// How long a worker waits for a server that is about to start, or a Redis.
const QUEUE_APPEARS: Duration = Duration::from_mins(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long opening the database may take.
const WIRING: Duration = Duration::from_secs(15);
/// How long closing the database may take.
const CLOSING: Duration = Duration::from_secs(1);

/// Which worker to be.
#[derive(Debug, Clone)]
pub struct Role {
    /// Who it is: a name that no other worker has, nor had lately.
    pub id: WorkerId,
    /// The queues it serves; empty for all.
    pub queues: Vec<QueueName>,
    /// Held by a supervisor, if one started it.
    pub lifeline: Option<Lifeline>,
}

/// Works until it is told to stop; the status to end with. Tasks run on `handlers`, which has a thread for each place.
///
/// # Errors
/// `Unavailable` if there is no server; what cannot be opened, with its cause and the fix.
pub async fn run(
    config: &Config,
    program: Program,
    role: Role,
    handlers: Handle,
    life: &Lifecycle,
) -> Result<Exit, Failure> {
    // Those that a server started are scraped through it.
    let management = match role.lifeline {
        Some(_) => None,
        None => ManagementPort::take(config, None).await?,
    };
    let cut = CancellationToken::new();
    if let Some(line) = &role.lifeline {
        line.hold(cut.clone()).map_err(|error| no_thread(&error))?;
    }
    let metrics = Arc::new(Metrics::new(program.ambient.clock.clone()));
    let prepare = async {
        let found = queue_that_answers(config, &program.ambient);
        let queue = life.step("find the queue", QUEUE_APPEARS + WIRING, found).await?;
        servers::reach_unless_stopped(config, life).await?;
        let wiring = wire(config, program, Backstage::without_probes(&queue, metrics.clone()), false);
        let app = life.step("open the database", WIRING, wiring).await?;
        Ok::<_, Failure>((queue, app))
    };
    let (OpenQueue { queue, source, patience }, app) = tokio::select! {
        prepared = prepare => prepared?,
        () = cut.cancelled() => return Ok(Exit::Unavailable),
    };

    let options = WorkerOptions {
        queues: role.queues,
        concurrency: config.compute.concurrency,
        lease: config.compute.lease,
        drain: config.shutdown.timeout,
        sampler: config.tracing.sampler(),
        handlers: Some(handlers),
        ..WorkerOptions::new(role.id)
    };
    let source = app.layers.job_source(source, patience);
    let worker = Worker::new(source, app.tasks.clone(), metrics.clone(), options);
    let queues: Arc<dyn Source> = Arc::new(Queues::of(queue));
    let exposition = metrics::exposition(metrics.clone(), [queues].into_iter().chain(app.store.source()));
    let management = management.map(|port| operate(port, config, &app, exposition, metrics.clone(), life));
    let management = management.transpose()?;
    let tasks = app.tasks.keys().map(str::to_owned).collect();
    tracing::debug!(worker = %worker.options().id, "taking jobs");
    let reporting = Reporting { line: role.lifeline.as_ref(), worker: &worker, metrics: &metrics };
    let ending = tokio::select! {
        ending = work(&worker, life, &cut) => ending,
        never = reporting.go_on(tasks) => match never {},
    };
    reporting.end();
    if let Some(port) = management {
        // Nobody is kept waiting by a scrape.
        let _ = timeout(CLOSING, port.close()).await;
    }
    match ending {
        Ending::Drained => {
            // What is still going on there is nobody's any more.
            let _ = timeout(CLOSING, app.store.close()).await;
            tracing::debug!(settled = worker.tally().settled, "the worker holds no jobs any more");
            Ok(Exit::Done)
        }
        Ending::Stuck { task, job } => {
            tracing::error!(%task, %job, "ending, so that this job does");
            Ok(Exit::TryAgain)
        }
    }
}

/// Lets operators see this worker.
fn operate(
    listener: TcpListener,
    config: &Config,
    app: &App,
    exposition: Arc<dyn Exposition>,
    metrics: Arc<Metrics>,
    life: &Lifecycle,
) -> Result<ManagementPort, Failure> {
    let beating = life.soft();
    life.spawn("pulse", async move { beating.run_until_cancelled(pulse(metrics)).await });
    let (listener, ids) = (Arc::new(listener), app.ports.ids.clone());
    ManagementPort::open(listener, config, &app.services, ids, exposition, life.unready())
}

async fn work(worker: &Worker, life: &Lifecycle, cut: &CancellationToken) -> Ending {
    let hard = life.hard().child_token();
    let mut working = pin!(worker.run(life.soft(), hard.clone()));
    tokio::select! {
        ending = &mut working => return ending,
        () = cut.cancelled() => {
            tracing::info!("the server let go of this worker");
            hard.cancel();
        }
    }
    working.await
}

/// Waits for a queue that answers, with growing pauses. One that can never be ours is not waited for.
async fn queue_that_answers(config: &Config, ambient: &Ambient) -> Result<OpenQueue, Failure> {
    let (began, mut wait) = (Instant::now(), SHORTEST_WAIT);
    loop {
        let error = match ask(config, ambient).await {
            Ok(queue) => return Ok(queue),
            Err(error) => error,
        };
        if began.elapsed() >= QUEUE_APPEARS || error.kind() == ErrorKind::Misconfigured {
            return Err(away(config, &error));
        }
        if wait == SHORTEST_WAIT {
            match &config.queue {
                Queue::Embedded => {
                    let directory = config.data_dir.display();
                    tracing::warn!(%error, "no server on the data directory {directory} yet; waiting for one");
                }
                Queue::Redis(_) => tracing::warn!(%error, "{} does not answer yet", describe(&config.queue)),
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn ask(config: &Config, ambient: &Ambient) -> Result<OpenQueue, PortError> {
    let open = OpenQueue::reach(config, ambient).await?;
    open.queue.queues().await?;
    Ok(open)
}

fn no_thread(error: &io::Error) -> Failure {
    Failure::new(Exit::TryAgain, Problem::new(format!("cannot start threads ({error})")))
}
