//! [`Inheritance`]: the sockets that a server does not have to take, since somebody had them before: the process whose place
//! it takes, or systemd, which keeps them while a service is restarted.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use listenfd::ListenFd;

use super::line::{Line, Said};
use crate::data_dir::{DataDir, ServerLock};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::Lifecycle;

/// How long the predecessor may take to be gone: more than the most that it can be given to stop, which is two hours.
const PREDECESSOR: Duration = Duration::from_mins(125);

/// What a server finds when it starts.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// The socket of the API.
    pub api: Option<TcpListener>,
    /// That of operators.
    pub management: Option<TcpListener>,
    predecessor: Option<(UnixStream, OwnedFd)>,
}

/// A data directory that is this server's, and who had it before.
#[derive(Debug)]
pub struct Place {
    /// What keeps others out.
    pub lock: ServerLock,
    line: Option<Line>,
    /// Whether the predecessor has the same data directory.
    is_shared: bool,
}

impl Inheritance {
    /// What this process was started with. To be asked once, before there are threads.
    ///
    /// # Errors
    /// If it should take the place of another process (`is_successor`), and nothing came from one; if systemd gives
    /// something else than sockets.
    pub fn of_process(is_successor: bool) -> Result<Self, Failure> {
        if is_successor {
            let (line, given) = Line::of_stdin().map_err(|error| {
                let what = format!("there is nobody whose place could be taken ({error})");
                Failure::new(Exit::Usage, Problem::new(what).fix("send SIGHUP to the server instead"))
            })?;
            let predecessor = Some((line, given.lock));
            return Ok(Self { api: Some(given.api), management: given.management, predecessor });
        }
        let mut sockets = ListenFd::from_env();
        let mut next = |index| {
            if index < sockets.len() { sockets.take_tcp_listener(index) } else { Ok(None) }
        };
        let refused = |error: io::Error| {
            let what = format!("what systemd hands over is no socket to listen on ({error})");
            Failure::new(Exit::Config, Problem::new(what).fix("ListenStream= takes an address and a port"))
        };
        let (api, management) = (next(0).map_err(refused)?, next(1).map_err(refused)?);
        Ok(Self { api, management, predecessor: None })
    }

    /// Takes the data directory, or has it together with the predecessor.
    ///
    /// # Errors
    /// As [`DataDir::lock`].
    pub fn take_place(&mut self, dir: &DataDir) -> Result<Place, Failure> {
        let Some((line, lock)) = self.predecessor.take() else {
            return Ok(Place { lock: dir.lock()?, line: None, is_shared: false });
        };
        let line = Line::from_std(line).map_err(|error| {
            Failure::new(Exit::TryAgain, Problem::new(format!("cannot hear the predecessor ({error})")))
        })?;
        Ok(match dir.inherit(lock)? {
            Some(lock) => Place { lock, line: Some(line), is_shared: true },
            None => Place { lock: dir.lock()?, line: Some(line), is_shared: false },
        })
    }
}

impl Place {
    /// Whether somebody else has what only one process may have.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Lets the predecessor go, and waits until it is gone.
    ///
    /// # Errors
    /// `Unavailable` if that takes too long.
    pub async fn wait_for(&mut self, life: &Lifecycle) -> Result<(), Failure> {
        let Some(predecessor) = &mut self.line else { return Ok(()) };
        let gone = async {
            predecessor.say(Said::Waits).await;
            predecessor.ended().await;
            Ok(())
        };
        life.step("wait for the predecessor", PREDECESSOR, gone).await?;
        self.is_shared = false;
        Ok(())
    }

    /// Lets the predecessor go, if it is still there.
    pub async fn serves(&mut self) {
        if let Some(line) = &mut self.line {
            line.say(Said::Serves).await;
        }
    }
}
