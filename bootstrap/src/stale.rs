//! In development, a server that hangs does not stand in the way of the next one. Somebody has suspended it (Ctrl-Z) and
//! forgotten it, or it waits for a debugger that is gone: it has the data directory and the port, and answers nobody.
//!
//! Only the lock file is believed, which a server writes into its own data directory: its number, its start, its program and
//! its user have to be those of the process that is there, and that has to leave `/health/live` unanswered. Everybody else stays
//! where they are, and is named.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::config::{AppEnv, Config};
use crate::data_dir::{DataDir, Holder};
use crate::orphans::is_dead;
use crate::port;

/// Whoever has not said by then that it lives does not.
const ANSWERS: Duration = Duration::from_secs(1);
/// How long it may take to end when it is asked to.
const TERMINATES: Duration = Duration::from_secs(5);
/// How long it may take when it is not asked.
const DIES: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Stops the server on the data directory, if that is allowed here and it hangs; whether it did.
pub(crate) async fn make_way(config: &Config) -> bool {
    let allowed = config.app_env == AppEnv::Development;
    let Some(holder) = DataDir::holder(&config.data_dir).filter(|holder| allowed && holder.is_ours()) else {
        return false;
    };
    let answers = match holder.address {
        Some(address) => {
            timeout(ANSWERS, is_alive(port::from_here(address))).await.is_ok_and(|it| it.is_ok())
        }
        // It has not started yet, or stops to: nobody can ask it.
        None => true,
    };
    if answers {
        return false;
    }
    tracing::warn!(pid = holder.pid, directory = %Path::display(&config.data_dir), "stopping a server that hangs");
    match stop(&holder).await {
        Ok(stopped) => stopped,
        Err(error) => {
            tracing::warn!(%error, pid = holder.pid, "it cannot be stopped");
            false
        }
    }
}

/// Whether somebody there says anything at all.
async fn is_alive(address: std::net::SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    stream.read_u8().await.map(drop)
}

async fn stop(holder: &Holder) -> io::Result<bool> {
    let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    // From here on, nobody else can be meant.
    if !holder.is_ours() {
        return Ok(false);
    }
    pidfd_send_signal(&process, Signal::TERM)?;
    // A suspended process hears nothing before it goes on.
    pidfd_send_signal(&process, Signal::CONT)?;
    if timeout(TERMINATES, gone(holder, pid)).await.is_ok() {
        return Ok(true);
    }
    pidfd_send_signal(&process, Signal::KILL)?;
    Ok(timeout(DIES, gone(holder, pid)).await.is_ok())
}

/// Waits until it has ended; whether its parent has noticed does not matter.
async fn gone(holder: &Holder, pid: Pid) {
    while holder.is_running() && !is_dead(pid) {
        sleep(LOOK_AGAIN).await;
    }
}
