//! The API role: starts in order, serves, stops in order.
//!
//! Every step of the start is awaited, and no request is taken before all of them are done. The port is taken before
//! the first administrator is made: a start that finds it in use would make one whose password nobody is shown. Whoever
//! connects in between waits for the answer.
//!
//! A server that takes the place of another one ([`crate::handover`]) has its port already. If the other owns the queue, what
//! can fail is tried before it goes, and done again when it is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portwright_application::compute::TaskRegistry;
use portwright_application::{Services, transfers};
use portwright_domain::ports::{JobQueue, JobSource, Unobserved};
use portwright_http::{ApiPorts, Draining, Server};
use portwright_metrics::{Metrics, pulse};
use tokio_util::sync::CancellationToken;

use crate::compute::Engine;
use crate::config::{Config, Queue};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::first_run::{NewAdmin, ensure_admin};
use crate::handover::{Hangups, Inheritance, Place, Sockets, hand_over};
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::{self, ManagementPort};
use crate::open_store::OpenStore;
use crate::wiring::{Program, accepted_keys, reach, signing_key, wire};
use crate::{port, servers, stale};

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
    sockets: Sockets,
    /// Given up last: the directory is free when nobody writes into it any more.
    place: Place,
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

    /// The same; or until another process takes the place of this one, when it is told to hand over.
    pub async fn ended_or_handed_over(self, hangups: Hangups) -> Exit {
        let soft = self.life.soft();
        let handing_over = hand_over(hangups, self.place.lock.share(), &self.sockets, &self.life);
        // The other process learns by this that it has everything for itself.
        let _handed_over = soft.run_until_cancelled(handing_over).await;
        self.life.run().await
    }

    /// Stops it in order, and waits for that.
    pub async fn stop(self) -> Exit {
        self.life.stop(Exit::Done);
        self.ended().await
    }
}

/// Starts a server, with what it inherits. `migrate` says whether the database is brought up to date.
///
/// # Errors
/// The step that failed, with its cause and the fix; what was opened before is closed again.
pub async fn start(
    config: &Config,
    program: Program,
    migrate: bool,
    life: Lifecycle,
    mut inheritance: Inheritance,
) -> Result<Running, Failure> {
    let place = take_place(config, &mut inheritance);
    let mut place = life.step("take the data directory", QUICK, place).await?;
    if place.is_shared() && matches!(config.queue, Queue::Embedded) {
        servers::reach_unless_stopped(config, &life).await?;
        life.step("rehearse the start", MIGRATION, rehearse(config, migrate)).await?;
        place.wait_for(&life).await?;
    }
    match begin(config, program, migrate, &life, inheritance).await {
        Ok(Begun { address, metrics_at, new_admin, services, jobs, sockets }) => {
            if let Err(error) = place.lock.announce(address) {
                tracing::warn!(%error, "the lock file does not say where this server listens");
            }
            place.serves().await;
            Ok(Running { address, metrics_at, new_admin, services, jobs, life, sockets, place })
        }
        Err(failure) => {
            life.stop(failure.exit());
            life.run().await;
            Err(failure)
        }
    }
}

async fn take_place(config: &Config, inheritance: &mut Inheritance) -> Result<Place, Failure> {
    let dir = DataDir::create(&config.data_dir)?;
    match inheritance.take_place(&dir) {
        Err(failure) if failure.exit() == Exit::TryAgain && stale::make_way(config).await => {
            inheritance.take_place(&dir)
        }
        taken => taken,
    }
}

/// Does what may fail for a reason that the predecessor of this server has not.
async fn rehearse(config: &Config, migrate: bool) -> Result<(), Failure> {
    let store = OpenStore::open(&config.database, migrate, Arc::new(Unobserved)).await?;
    store.close().await;
    accepted_keys(config, &signing_key(config)?).map(drop)
}

struct Begun {
    address: SocketAddr,
    metrics_at: Option<SocketAddr>,
    new_admin: Option<NewAdmin>,
    services: Services,
    jobs: Jobs,
    sockets: Sockets,
}

async fn begin(
    config: &Config,
    program: Program,
    migrate: bool,
    life: &Lifecycle,
    inheritance: Inheritance,
) -> Result<Begun, Failure> {
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

    let Inheritance { api, management, .. } = inheritance;
    let management =
        life.step("take the port for operators", QUICK, ManagementPort::take(config, management));
    let management = management.await?.map(Arc::new);
    let listener = life.step("take the port", QUICK, port::inherit_or_bind(api, &config.listen));
    let listener = Arc::new(listener.await?);
    let sockets = Sockets::of(&listener, management.as_ref());
    let address = listener.local_addr().map_err(|error| {
        Failure::new(Exit::Bug, Problem::new(format!("the port has no address ({error})")))
    })?;

    let admin = ensure_admin(config, &app.services.operators);
    let new_admin = life.step("make the first administrator", QUICK, admin).await?;

    let exposition = metrics::exposition(metrics.clone(), engine.sources().into_iter().chain(database));
    let ids = app.ports.ids.clone();
    let public = metrics::are_public(config.app_env).then(|| exposition.clone());
    let api = ApiPorts { exposition: public.clone(), ..app.ports };
    let draining = Draining { unready: life.unready(), streams: life.soft() };
    let api = reach(config, &app.services, api, draining);
    let management = management.map(|listener| {
        ManagementPort::open(listener, config, &app.services, ids, exposition, life.unready())
    });
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
    Ok(Begun { address, metrics_at, new_admin, services: app.services, jobs, sockets })
}

/// Has files removed that are done with, for as long as the server runs.
fn clear_away(config: &Config, services: &Services, life: &Lifecycle) {
    let (imports, exports) = (services.imports.clone(), services.exports.clone());
    let stop = CancellationToken::new();
    let tick = (config.compute.lease / SWEEPS_PER_LEASE).min(RAREST_SWEEP);
    life.spawn("sweeper", transfers::sweep(imports, exports, tick, stop.clone()));
    life.on_stop(Phase::BackgroundTasks, "stop the sweeper", async move { stop.cancel() });
}
