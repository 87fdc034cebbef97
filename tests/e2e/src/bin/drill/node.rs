//! [`Node`]: a server of ours with its workers, as it is kept running by whoever keeps servers running.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::fault::name_of;
use crate::journal::Journal;
use crate::keeper::{Process, send};

/// Longer than a start takes on a busy machine.
const START: Duration = Duration::from_mins(1);
/// How long it waits before it is started again.
const RESPITE: Duration = Duration::from_millis(300);
/// Longer than what the environment grants a server to stop in.
const STOP: Duration = Duration::from_secs(25);

/// One of our servers.
pub(crate) struct Node {
    number: usize,
    binary: PathBuf,
    environment: Vec<(&'static str, String)>,
    log: PathBuf,
    journal: Arc<Journal>,
    running: Mutex<Option<Running>>,
}

#[derive(Clone)]
struct Running {
    process: Arc<Process>,
    address: SocketAddr,
}

impl Node {
    /// One that does not run yet.
    pub(crate) fn new(
        number: usize,
        binary: PathBuf,
        environment: Vec<(&'static str, String)>,
        log: PathBuf,
        journal: Arc<Journal>,
    ) -> Self {
        Self { number, binary, environment, log, journal, running: Mutex::default() }
    }

    /// Where it listens, or did before it ended.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.running().map(|running| running.address)
    }

    /// Starts it, again and again if a start fails for the sake of what it needs; panics if none succeeds.
    pub(crate) async fn start(&self) {
        let started = timeout(START, async {
            loop {
                let process = Process::start(&self.binary, &["serve"], &self.environment, &self.log).await;
                if let Some(address) = process.listens().await {
                    *self.lock() = Some(Running { process: Arc::new(process), address });
                    return;
                }
                let status = process.ended(STOP).await;
                self.journal
                    .note(format!("server {} does not start: status {status:?}", name_of(self.number)));
                sleep(RESPITE).await;
            }
        });
        if started.await.is_err() {
            self.journal.wrong(format!("server {} does not start within {START:?}", name_of(self.number)));
        }
    }

    /// Ends it as a crash does, and waits for that.
    pub(crate) async fn kill(&self) {
        if let Some(Running { process, .. }) = self.running() {
            process.signal(Signal::KILL);
            process.ended(STOP).await;
        }
    }

    /// Tells it to stop, and waits for that; the status, if it came.
    pub(crate) async fn stop(&self) -> Option<i32> {
        let Running { process, .. } = self.running()?;
        process.signal(Signal::TERM);
        let status = process.ended(STOP).await;
        if status.is_none() {
            self.journal.wrong(format!("server {} was told to stop and runs on", name_of(self.number)));
            process.signal(Signal::KILL);
            process.ended(STOP).await;
        }
        status
    }

    /// Sends the server itself a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(Running { process, .. }) = self.running() {
            process.signal(signal);
        }
    }

    /// Its process, or the last one that it had.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running().map(|running| running.process.pid())
    }

    /// Its workers of the moment.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.running().map(|it| it.process.children()).unwrap_or_default()
    }

    /// Sends processes a signal; how many were there.
    pub(crate) fn signal_all(workers: &[u32], signal: Signal) -> usize {
        workers.iter().filter(|worker| send(**worker, signal)).count()
    }

    /// The status with which it has ended, if it has.
    pub(crate) async fn has_ended(&self) -> Option<i32> {
        self.running()?.process.ended(Duration::ZERO).await
    }

    /// What it, or a worker of it, logged of a panic since it was started.
    pub(crate) fn panic(&self) -> Option<String> {
        self.running()?.process.panic()
    }

    fn running(&self) -> Option<Running> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
