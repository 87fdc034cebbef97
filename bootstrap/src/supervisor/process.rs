//! A child as a process: how it is started, told something, heard and waited for.
//!
//! Invariants
//! - Only the handle of a child is signalled, and only before it was waited for: its number is nobody else's by then.
//! - A child is in a process group of its own: Ctrl-C reaches the server alone, which lets its children finish.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use portwright_domain::job::WorkerId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::stage::Order;
use crate::lifeline::Said;

/// The longest line that is read at once; a longer one makes no sense, in pieces.
const LONGEST_LINE: u64 = 64 * 1024;

/// How long reading may take what a child said before it ended: it is there already, unless a process of a task has the line,
/// too, and goes on.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// At its start the allocator of the product reserves a gibibyte to write to, which counts against a limit although
/// nothing is in it. This is how it is told to be content with less.
const SMALL_RESERVE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "64MiB");

/// How children are started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// What every child is told.
    pub(super) arguments: Vec<OsString>,
    /// Whether children limit their memory.
    pub(super) frugal: bool,
    /// What children log, if not what they find in the environment.
    pub(super) log: Option<String>,
}

/// A child that runs.
pub(super) struct Process {
    child: Child,
    line: Option<BufReader<UnixStream>>,
}

impl Program {
    /// Starts a child of this identity.
    pub(super) fn start(&self, worker: &WorkerId) -> io::Result<Process> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(this_program()?);
        command
            .arg0("portwright")
            .args(["worker", "--supervised", "--id", worker.as_str()])
            .args(&self.arguments)
            .envs(self.frugal.then_some(SMALL_RESERVE))
            .envs(self.log.as_ref().map(|filter| ("RUST_LOG", filter)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0);
        let child = command.spawn()?;
        Ok(Process { child, line: Some(BufReader::new(UnixStream::from_std(ours)?)) })
    }
}

/// The program that runs here, also after its file was replaced by a newer one, whose children would not understand us.
fn this_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from("/proc/self/exe") })
}

impl Process {
    /// The number of the process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Passes on orders and what the child says, until it ends.
    pub(super) async fn watch(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        hear: impl Fn(Said),
    ) -> io::Result<ExitStatus> {
        let mut text = Vec::new();
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    let _ = timeout(LAST_WORDS, self.hear_out(&mut text, &hear)).await;
                    return status;
                }
                Some(order) = orders.recv() => {
                    if let Err(error) = self.obey(order).await {
                        tracing::warn!(%error, ?order, "a worker cannot be told");
                    }
                }
                more = read_line(self.line.as_mut(), &mut text) => {
                    if more { understand(&mut text, &hear) } else { self.line = None }
                }
            }
        }
    }

    /// Reads what the child said before it ended.
    async fn hear_out(&mut self, text: &mut Vec<u8>, hear: impl Fn(Said)) {
        while self.line.is_some() && read_line(self.line.as_mut(), text).await {
            understand(text, &hear);
        }
    }

    async fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Terminate => {
                // No number: it was waited for, so there is nobody to tell.
                let pid = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
                pid.map_or(Ok(()), |pid| Ok(kill_process(pid, Signal::TERM)?))
            }
            // It can still say what it did.
            Order::Hurry => match &mut self.line {
                Some(line) => line.get_mut().shutdown().await,
                None => Ok(()),
            },
            Order::Kill => self.child.start_kill(),
        }
    }
}

/// What cannot be read is no news: a task wrote to the line, which is its standard input.
fn understand(text: &mut Vec<u8>, hear: impl Fn(Said)) {
    let _ = serde_json::from_slice(text).map(hear);
    text.clear();
}

/// Reads on to the end of the line; false where there is nothing more to come. What was read is kept in `text` if this
/// is dropped.
async fn read_line(line: Option<&mut BufReader<UnixStream>>, text: &mut Vec<u8>) -> bool {
    let Some(line) = line else { return pending().await };
    let room = LONGEST_LINE.saturating_sub(text.len() as u64);
    matches!(line.take(room).read_until(b'\n', text).await, Ok(1..))
}
