//! Gives the place of a server to a new process of it, on the same host: with another version of the program, or another
//! configuration, and without a moment in which nobody listens.
//!
//! ```text
//!  SIGHUP ──► the same command again, with these sockets and this lock ──► it starts
//!                ├─ it ends, or does not come to anything: this server goes on as if nothing had happened
//!                ├─ "serves": both accept requests ──► this one ends (jobs and files are elsewhere, so they share them)
//!                └─ "waits":  the queue in the data directory has one owner. This one sends its workers home while it goes on
//!                   to serve, then stops to accept, finishes requests and closes the queue; the new one opens it and accepts.
//!                   Whoever connects in between waits in the queue of the socket, which is the same one all the time.
//! ```
//! The command is started as this process was: the same words, directory and environment. A program that was replaced by a
//! newer file under its old name is the newer one.
//!
//! Invariants
//! - The sockets are never closed: there is always a process that has them.
//! - The data directory is never free: a third server is refused all the time.
//! - Until the new process has said that it can take over, this one serves, and kills it if it is told to stop.

mod inheritance;
mod line;

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::lifecycle::{Lifecycle, Successor};
pub use inheritance::{Inheritance, Place};
use line::{Line, Said};

/// The option by which a new process knows that its standard input is a [`Line`].
const OPTION: &str = "--successor";

/// How long a new process may take to start: as long as all of its steps together may.
const START: Duration = Duration::from_mins(15);

/// How long one that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// The sockets that a server listens on, for as long as it does.
#[derive(Debug, Clone)]
pub struct Sockets {
    /// The API's.
    pub api: Weak<TcpListener>,
    /// Those of operators, if there are any.
    pub management: Option<Weak<TcpListener>>,
}

/// The wish to hand over, heard from the start on.
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// Listens for SIGHUP. Not so where a terminal controls this process: there it says that the terminal is gone, and has
    /// its usual effect.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn listen() -> io::Result<Self> {
        // It opens for those alone who have one.
        let has_terminal = File::open("/dev/tty").is_ok();
        Ok(Self(if has_terminal { None } else { Some(signal(SignalKind::hangup())?) }))
    }

    async fn next(&mut self) {
        let heard = match &mut self.0 {
            Some(hangups) => hangups.recv().await,
            None => None,
        };
        if heard.is_none() {
            pending::<()>().await;
        }
    }
}

/// What a server needs to give away: proof that it is gone reaches the new process when this is dropped.
pub struct HandedOver {
    _line: Line,
}

/// Serves until a new process takes the place of this one, which begins to stop then. Whoever drops this before ends a process
/// that was about to.
pub async fn hand_over(
    mut hangups: Hangups,
    lock: BorrowedFd<'_>,
    sockets: &Sockets,
    life: &Lifecycle,
) -> HandedOver {
    loop {
        hangups.next().await;
        if std::process::id() == 1 {
            tracing::warn!(
                "the first process of a container cannot hand over, since the container ends with it"
            );
            continue;
        }
        tracing::info!("starting a process to hand over to");
        match succeed(lock, sockets).await {
            Ok((heir, pid, successor)) => {
                tracing::info!(successor = pid, waits = successor == Successor::Waits, "handing over");
                // So that systemd does not believe that the service ends with this process.
                tell_systemd(&[NotifyState::MainPid(pid)]);
                life.hand_over(successor);
                return HandedOver { _line: heir };
            }
            Err(error) => tracing::error!(%error, "nobody to hand over to: this server goes on"),
        }
    }
}

/// Says something to systemd, if that is who started the service.
pub(crate) fn tell_systemd(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// A process that was started and can take over.
async fn succeed(lock: BorrowedFd<'_>, sockets: &Sockets) -> io::Result<(Line, u32, Successor)> {
    let (mut line, theirs) = Line::pair()?;
    let gone = || io::Error::other("this server is about to stop");
    let api = sockets.api.upgrade().ok_or_else(gone)?;
    let management =
        sockets.management.as_ref().map(|socket| socket.upgrade().ok_or_else(gone)).transpose()?;
    let given: Vec<BorrowedFd<'_>> =
        [lock, api.as_fd()].into_iter().chain(management.as_ref().map(AsFd::as_fd)).collect();
    line.give(&given)?;
    let mut started = Started::new(theirs)?;
    let said = timeout(START, line.hear()).await;
    let successor = match said.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
        Ok(Some(Said::Serves)) => Successor::Serves,
        Ok(Some(Said::Waits)) => Successor::Waits,
        Ok(None) => {
            return Err(io::Error::other(format!("the new process ended ({})", started.end().await?)));
        }
        Err(error) => return Err(error),
    };
    let pid = started.release().ok_or_else(|| io::Error::other("the new process ended"))?;
    Ok((line, pid, successor))
}

/// A process that is killed when this is dropped, unless it was released.
struct Started(Option<Child>);

impl Started {
    fn new(line: OwnedFd) -> io::Result<Self> {
        let mut words = env::args_os();
        let program = words.next().ok_or(io::ErrorKind::NotFound)?;
        let words = words.filter(|word| word != OPTION).chain([OsString::from(OPTION)]);
        let mut command = Command::new(&program);
        let child = command.args(words).stdin(Stdio::from(line)).spawn();
        child.map(|child| Self(Some(child))).map_err(|error| {
            io::Error::new(error.kind(), format!("{} does not start ({error})", program.display()))
        })
    }

    /// How it ended.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.0 else { return Err(io::ErrorKind::NotFound.into()) };
        timeout(GONE, child.wait()).await?
    }

    /// Lets it live on its own; its number, if it does.
    fn release(&mut self) -> Option<u32> {
        self.0.take()?.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.start_kill();
        }
    }
}

impl Sockets {
    /// Those of these listeners.
    #[must_use]
    pub fn of(api: &Arc<TcpListener>, management: Option<&Arc<TcpListener>>) -> Self {
        Self { api: Arc::downgrade(api), management: management.map(Arc::downgrade) }
    }
}
