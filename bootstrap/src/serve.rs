//! The API role: starts in order, serves, stops in order.
//!
//! Every step of the start is awaited, and no request is taken before all of them are done. The port is taken before
//! the first administrator is made: a start that finds it in use would make one whose password nobody is shown. Whoever
//! connects in between waits for the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::TaskRegistry;
use portwright_application::{Services, transfers};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_http::{ApiPorts, Server};
use portwright_metrics::{Metrics, pulse};
use tokio_util::sync::CancellationToken;

use crate::compute::Engine;
use crate::config::Config;
use crate::data_dir::{DataDir, ServerLock};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::first_run::{NewAdmin, ensure_admin};
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::{self, ManagementPort};
use crate::wiring::{Program, reach, wire};
use crate::{port, servers};

/// How long opening a file or a port may take.
const QUICK: Duration = Duration::from_secs(15);
/// How long bringing the database up to date may take.
const MIGRATION: Duration = Duration::from_mins(10);

/// How often files are looked for that are done with, where leases last this many times as long.
const SWEEPS_PER_LEASE: u32 = 6;
const RAREST_SWEEP: Duration = Duration::from_secs(5);

/// A server that takes requests.
pub struct Running {
    /// Where.
    pub address: SocketAddr,
    /// Where its metrics are, if anywhere.
    pub metrics_at: Option<SocketAddr>,
    /// The administrator that this start made, if it did.
    pub new_admin: Option<NewAdmin>,
    /// The use cases behind it.
    pub services: Services,
    /// Its jobs.
    pub jobs: Jobs,
    life: Lifecycle,
    /// Given up last: the directory is free when nobody writes into it any more.
    _lock: ServerLock,
}

/// What a worker in the process of its server needs.
#[derive(Clone)]
pub struct Jobs {
    /// Where jobs come from.
    pub source: Arc<dyn JobSource>,
    /// Where they are asked for.
    pub queue: Arc<dyn JobQueue>,
    /// What runs them.
    pub tasks: Arc<TaskRegistry>,
}

impl Running {
    /// Waits until it is told to stop and has stopped; the status to end with.
    pub async fn ended(self) -> Exit {
        self.life.run().await
    }

    /// Stops it in order, and waits for that.
    pub async fn stop(self) -> Exit {
        self.life.stop(Exit::Done);
        self.ended().await
    }
}

/// Starts a server. `migrate` says whether the database is brought up to date.
///
/// # Errors
/// The step that failed, with its cause and the fix; what was opened before is closed again.
pub async fn start(
    config: &Config,
    program: Program,
    migrate: bool,
    life: Lifecycle,
) -> Result<Running, Failure> {
    let lock =
        life.step("take the data directory", QUICK, async { DataDir::create(&config.data_dir)?.lock() });
    let mut lock = lock.await?;
    match begin(config, program, migrate, &life).await {
        Ok(Begun { address, metrics_at, new_admin, services, jobs }) => {
            if let Err(error) = lock.announce(address) {
                tracing::warn!(%error, "the lock file does not say where this server listens");
            }
            Ok(Running { address, metrics_at, new_admin, services, jobs, life, _lock: lock })
        }
        Err(failure) => {
            life.stop(failure.exit());
            life.run().await;
            Err(failure)
        }
    }
}

struct Begun {
    address: SocketAddr,
    metrics_at: Option<SocketAddr>,
    new_admin: Option<NewAdmin>,
    services: Services,
    jobs: Jobs,
}

async fn begin(config: &Config, program: Program, migrate: bool, life: &Lifecycle) -> Result<Begun, Failure> {
    servers::reach_unless_stopped(config, life).await?;
    let metrics = Arc::new(Metrics::new(program.ambient.clock.clone()));
    let engine = Engine::open(config, &program.ambient, metrics.clone());
    let engine = life.step("open the queue", MIGRATION, engine).await?;
    engine.close_at_the_end(life);

    let app = wire(config, program, engine.backstage(metrics.clone()), migrate);
    let app = life.step("open the database", MIGRATION, app).await?;
    let store = app.store;
    let database = store.source();
    life.on_stop(Phase::CloseStores, "close the database", async move { store.close().await });

    let management = life.step("take the port for operators", QUICK, ManagementPort::take(config)).await?;
    let listener = life.step("take the port", QUICK, port::bind(&config.listen)).await?;
    let address = listener.local_addr().map_err(|error| {
        Failure::new(Exit::Bug, Problem::new(format!("the port has no address ({error})")))
    })?;

    let admin = ensure_admin(config, &app.services.operators);
    let new_admin = life.step("make the first administrator", QUICK, admin).await?;

    let exposition = metrics::exposition(metrics.clone(), engine.sources().into_iter().chain(database));
    let ids = app.ports.ids.clone();
    let public = metrics::are_public(config.app_env).then(|| exposition.clone());
    let api = ApiPorts { exposition: public.clone(), ..app.ports };
    let api = reach(config, &app.services, api, life.soft());
    let management = management
        .map(|listener| ManagementPort::open(listener, config, &app.services, ids, exposition, life.soft()));
    let management = management.transpose()?;
    let metrics_at = management.as_ref().map(|port| port.address).or(public.map(|_| address));
    if let Some(port) = management {
        // After everything that takes its time: until then operators want to see how far it is.
        life.on_stop(Phase::CloseStores, "close the port for operators", port.close());
    }
    let beating = life.soft();
    life.spawn("pulse", async move { beating.run_until_cancelled(pulse(metrics)).await });

    let stop = CancellationToken::new();
    let server = Server::new(listener, api).parting(life.soft());
    let server = server.run(stop.clone(), config.shutdown.timeout);
    #[expect(clippy::disallowed_methods, reason = "the phase that finishes requests waits for it")]
    let server = tokio::spawn(server);
    life.on_stop(Phase::StopAccepting, "stop accepting", async move { stop.cancel() });
    life.on_stop(Phase::FinishRequests, "finish requests", async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the server ended in a panic");
        }
    });
    let jobs = Jobs { source: engine.source(), queue: engine.queue(), tasks: app.tasks };
    engine.start(life, app.relay, app.reconciler);
    clear_away(config, &app.services, life);
    life.mark_ready();
    Ok(Begun { address, metrics_at, new_admin, services: app.services, jobs })
}

/// Has files removed that are done with, for as long as the server runs.
fn clear_away(config: &Config, services: &Services, life: &Lifecycle) {
    let (imports, exports) = (services.imports.clone(), services.exports.clone());
    let stop = CancellationToken::new();
    let tick = (config.compute.lease / SWEEPS_PER_LEASE).min(RAREST_SWEEP);
    life.spawn("sweeper", transfers::sweep(imports, exports, tick, stop.clone()));
    life.on_stop(Phase::BackgroundTasks, "stop the sweeper", async move { stop.cancel() });
}
