//! The worker role: runs jobs of the server on this host, which owns the queue.
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
use portwright_domain::ports::JobQueue;
use portwright_layers::Policy as Patience;
use portwright_metrics::{Metrics, pulse};
use portwright_socket::QueueClient;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::Lifecycle;
use crate::lifeline::Lifeline;
use crate::metrics::{self, ManagementPort};
use crate::wiring::{App, Backstage, Program, wire};
use reporting::Reporting;

/// How long a worker waits for a server that is about to start.
const SERVER_STARTS: Duration = Duration::from_mins(1);
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
        None => ManagementPort::take(config).await?,
    };
    let cut = CancellationToken::new();
    if let Some(line) = &role.lifeline {
        line.hold(cut.clone()).map_err(|error| no_thread(&error))?;
    }
    // The services have a client of their own: their calls must not stand between the worker and its lease.
    let source = Arc::new(QueueClient::of(&config.data_dir));
    let metrics = Arc::new(Metrics::new(program.ambient.clock.clone()));
    let backstage = Backstage { observer: metrics.clone(), ..Backstage::of_server(config) };
    let prepare = async {
        let found = server_that_answers(config, &*source);
        life.step("find the server", SERVER_STARTS + WIRING, found).await?;
        let wiring = wire(config, program, backstage, false);
        life.step("open the database", WIRING, wiring).await
    };
    let app = tokio::select! {
        app = prepare => app?,
        () = cut.cancelled() => return Ok(Exit::Unavailable),
    };

    let options = WorkerOptions {
        queues: role.queues,
        concurrency: config.compute.concurrency,
        lease: config.compute.lease,
        drain: config.shutdown.timeout,
        handlers: Some(handlers),
        ..WorkerOptions::new(role.id)
    };
    let source = app.layers.job_source(source, Patience::LOCAL);
    let worker = Worker::new(source, app.tasks.clone(), metrics.clone(), options);
    let management = management.map(|port| operate(port, config, &app, metrics.clone(), life)).transpose()?;
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
    metrics: Arc<Metrics>,
    life: &Lifecycle,
) -> Result<ManagementPort, Failure> {
    let exposition = metrics::exposition(metrics.clone(), []);
    let beating = life.soft();
    life.spawn("pulse", async move { beating.run_until_cancelled(pulse(metrics)).await });
    ManagementPort::open(listener, config, &app.services, app.ports.ids.clone(), exposition, life.soft())
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

/// Waits for a server that answers, with growing pauses.
async fn server_that_answers(config: &Config, queue: &dyn JobQueue) -> Result<(), Failure> {
    let (began, mut wait) = (Instant::now(), SHORTEST_WAIT);
    while let Err(error) = queue.queues().await {
        let server = format!("no server on the data directory {}", config.data_dir.display());
        if began.elapsed() >= SERVER_STARTS {
            let problem = Problem::new(format!("{server} ({})", error.detail()));
            let fix =
                "start one there (`portwright serve`), or set DATA_DIR to that of a server on this host";
            return Err(Failure::new(Exit::Unavailable, problem.fix(fix)));
        }
        if wait == SHORTEST_WAIT {
            tracing::warn!(%error, "{server} yet; waiting for one");
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    Ok(())
}

fn no_thread(error: &io::Error) -> Failure {
    Failure::new(Exit::TryAgain, Problem::new(format!("cannot start threads ({error})")))
}
