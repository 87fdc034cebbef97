//! [`Process`]: a program that ends with the drill, however that comes, and whose log is kept.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The shell between the drill and a program.
const SCRIPT: &str = include_str!("keeper.sh");

/// A program that runs, or has ended.
pub(crate) struct Process {
    pid: u32,
    /// What it said: where it listens, and the first thing that went very wrong.
    heard: watch::Receiver<Heard>,
    /// The status, once it has ended; 128 and its number for a signal.
    ended: watch::Receiver<Option<i32>>,
    _lifeline: ChildStdin,
    _shell: Child,
    _readers: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    address: Option<SocketAddr>,
    panic: Option<String>,
}

impl Process {
    /// Starts a program with this and nothing else for an environment, and keeps what it logs at the end of this file.
    pub(crate) async fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&'static str, String)],
        log: &Path,
    ) -> Self {
        let mut shell = Command::new("bash")
            .args(["-c", SCRIPT, "keeper"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What is typed to stop the drill stops the drill, and this follows.
            .process_group(0)
            .spawn()
            .expect("bash runs");
        let lifeline = shell.stdin.take().expect("a pipe");
        let mut said = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        let first = said.next_line().await.expect("text").expect("the keeper says which process it is");
        let pid = first.strip_prefix("pid ").and_then(|pid| pid.parse().ok()).expect("a number");
        let (tell_end, ended) = watch::channel(None);
        let (tell, heard) = watch::channel(Heard::default());
        let file = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut readers = JoinSet::new();
        readers.spawn(watch_end(said, tell_end));
        readers.spawn(keep(BufReader::new(shell.stderr.take().expect("a pipe")).lines(), file, tell));
        Self { pid, heard, ended, _lifeline: lifeline, _shell: shell, _readers: readers }
    }

    /// Which process it is, or was.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it says where it listens; `None` if it ends without.
    pub(crate) async fn listens(&self) -> Option<SocketAddr> {
        let (mut heard, mut ended) = (self.heard.clone(), self.ended.clone());
        tokio::select! {
            heard = heard.wait_for(|heard| heard.address.is_some()) => heard.ok().and_then(|it| it.address),
            _ = ended.wait_for(Option::is_some) => None,
        }
    }

    /// The status with which it ended, within this time.
    pub(crate) async fn ended(&self, within: Duration) -> Option<i32> {
        let mut ended = self.ended.clone();
        timeout(within, ended.wait_for(Option::is_some)).await.ok()?.ok().and_then(|status| *status)
    }

    /// What it logged of a panic, if there was one.
    pub(crate) fn panic(&self) -> Option<String> {
        self.heard.borrow().panic.clone()
    }

    /// Sends it a signal; whether it was still there.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        send(self.pid, signal)
    }

    /// Its children, which for a server are its workers.
    pub(crate) fn children(&self) -> Vec<u32> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let children = threads.filter_map(|it| std::fs::read_to_string(it.path().join("children")).ok());
        children
            .flat_map(|text| text.split(' ').filter_map(|pid| pid.trim().parse().ok()).collect::<Vec<_>>())
            .collect()
    }
}

/// Sends a process a signal; whether there was one.
pub(crate) fn send(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

async fn watch_end(mut said: Lines<BufReader<ChildStdout>>, tell: watch::Sender<Option<i32>>) {
    // A keeper that says nothing more was killed, and so was its program.
    let last = said.next_line().await.ok().flatten();
    let status = last.and_then(|line| line.strip_prefix("ended ")?.parse().ok());
    tell.send_replace(Some(status.unwrap_or(-1)));
}

async fn keep(mut lines: Lines<BufReader<ChildStderr>>, mut file: File, tell: watch::Sender<Heard>) {
    while let Ok(Some(line)) = lines.next_line().await {
        writeln!(file, "{line}").expect("the log can be written");
        if line.contains("panicked") {
            tell.send_modify(|heard| {
                heard.panic.get_or_insert_with(|| line.clone());
            });
        } else if tell.borrow().address.is_none() && line.contains(r#""message":"started""#) {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = event["url"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
            tell.send_modify(|heard| heard.address = address);
        }
    }
}
