//! [`Server`]: the binary while it serves.

use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::Api;
use crate::place::PATIENCE;

/// A process that takes requests; it is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    log: watch::Receiver<Vec<String>>,
    /// Without a reader the pipe would fill up and hold the server still.
    reader: JoinHandle<()>,
}

/// What is left of a server.
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// All that it ever logged.
    pub(crate) log: String,
}

impl Server {
    /// Starts this command, and waits until it says where it listens.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("it runs");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, log) = watch::channel(Vec::new());
        #[expect(clippy::disallowed_methods, reason = "`ended` waits for it")]
        let reader = tokio::spawn(read(stderr, sender));
        let Some(event) = logged(&log, "started", 1).await else {
            panic!("it did not start:\n{}", log.borrow().join("\n"));
        };
        let address = event["url"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
        Self { address: address.expect("an address"), child, log, reader }
    }

    pub(crate) fn api(&self) -> Api {
        Api::at(self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits until it has logged an event with this message.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        self.logged_times(message, 1).await
    }

    /// Waits until it, or those that write to its log, have logged this so many times; the last of them.
    pub(crate) async fn logged_times(&self, message: &str, times: usize) -> Value {
        logged(&self.log, message, times).await.expect("it is logged")
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Waits for its end, and for the last of its log.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran");
        timeout(PATIENCE, self.reader).await.expect("the pipe ends").expect("no panic");
        Ended { code: status.code(), log: self.log.borrow().join("\n") }
    }

    /// Ends it as a crash does, and waits for that alone: its workers may still live, and write to its log.
    pub(crate) async fn bereave(&mut self) {
        self.signal(Signal::KILL);
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran");
    }

    /// Tells it to stop, and waits for that.
    pub(crate) async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.ended().await
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("sent");
}

async fn read(stderr: ChildStderr, log: watch::Sender<Vec<String>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next_line().await.expect("UTF-8") {
        log.send_modify(|lines| lines.push(line));
    }
}

/// The event with this message, once there are so many; `None` if the log ends without them, or does not go on.
async fn logged(log: &watch::Receiver<Vec<String>>, message: &str, times: usize) -> Option<Value> {
    let quoted = format!(r#""message":"{message}""#);
    let is_it = |line: &&String| line.contains(&quoted);
    let mut log = log.clone();
    let lines = timeout(PATIENCE, log.wait_for(|lines| lines.iter().filter(is_it).count() >= times))
        .await
        .ok()?
        .ok()?;
    serde_json::from_str(lines.iter().filter(is_it).nth(times - 1)?).ok()
}
