//! The server that is shown: the one of the data directory, or one that is started for the demo and leaves nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portwright_domain::ports::Quota;
use portwright_domain::user::Email;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::client::{Ask, Client};
use crate::config::{Config, Database, FirstAdmin, Listen, Log, Shutdown, Storage, WorkerCount};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::handover::Inheritance;
use crate::lifecycle::Lifecycle;
use crate::port;
use crate::serve::{Running, start};
use crate::wiring::Program;

/// Nobody shares a server of the demo, so nobody's share is used up.
const GENEROUS: Quota = Quota { limit: 1_000_000, window: Duration::from_mins(1) };
/// How long its first worker may take to come.
const FIRST_WORKER: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A server that takes requests.
pub(super) struct Server {
    /// Where.
    pub(super) address: SocketAddr,
    /// Where it keeps what it has.
    pub(super) data_dir: PathBuf,
    own: Option<Own>,
}

/// What goes away with the demo.
struct Own {
    running: Running,
    dir: TempDir,
}

impl Server {
    /// The server on the data directory, or one of the demo's own if there is none.
    pub(super) async fn find_or_start(config: &Config, program: Program) -> Result<Self, Failure> {
        match DataDir::server(&config.data_dir).map(port::from_here) {
            Some(address) => Ok(Self { address, data_dir: config.data_dir.clone(), own: None }),
            None => Self::start(config, program, GENEROUS).await,
        }
    }

    /// One of the demo's own that grants this share to each client.
    pub(super) async fn start(config: &Config, program: Program, share: Quota) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("portwright-demo-").tempdir().map_err(|error| {
            let problem = Problem::new(format!("cannot make a temporary directory ({error})"));
            Failure::new(Exit::CannotCreate, problem.fix("set TMPDIR to a directory on a local disk"))
        })?;
        let config = own_config(config, &dir, share);
        let life = Lifecycle::new(config.shutdown);
        let running = start(&config, program, true, life, Inheritance::default()).await?;
        let address = running.address;
        first_worker(&Client::at(address)).await;
        Ok(Self { address, data_dir: config.data_dir, own: Some(Own { running, dir }) })
    }

    /// Whether it is the demo's own.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Stops it if it is the demo's own, and removes what it kept.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        let Some(Own { running, dir }) = self.own else { return Ok(()) };
        let exit = running.stop().await;
        let path = dir.path().display().to_string();
        dir.close().map_err(|error| {
            Failure::new(Exit::Failed, Problem::new(format!("cannot remove {path} ({error})")))
        })?;
        if exit == Exit::Done {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, Problem::new("the server of the demo did not stop in time")))
    }
}

/// What the operator decided, but for the place, and as much of everything as one guest wants.
fn own_config(config: &Config, dir: &TempDir, share: Quota) -> Config {
    let data_dir = dir.path().to_owned();
    let mut own = config.clone();
    own.listen = Listen { host: "127.0.0.1".to_owned(), port: 0 };
    own.database = Database::sqlite_in(&data_dir);
    own.storage = Storage::local_in(&data_dir);
    own.data_dir = data_dir;
    own.first_admin = FirstAdmin::Generated { email: Email::from_stored("admin@localhost".to_owned()) };
    own.rate_limit = share;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    own.compute.workers.get_or_insert(WorkerCount { min: 1, max: cores });
    own.shutdown = Shutdown { ready_delay: Duration::ZERO, timeout: Duration::from_secs(10) };
    // Whoever takes the tour reads its steps, not those of workers.
    own.log = Log { filter: Some(config.log.filter.clone().unwrap_or_else(|| "warn".to_owned())), ..own.log };
    own
}

/// Waits for a worker. If none comes, the demo will tell.
async fn first_worker(client: &Client) {
    let came = async {
        loop {
            let answer = client.send(Ask::get("/health/ready")).await;
            if answer.is_ok_and(|answer| answer.text("/checks/workers/status") == Some("pass")) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let _ = timeout(FIRST_WORKER, came).await;
}
