//! [`Place`]: a directory that a test has to itself, and the commands that run in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::api::Api;
use crate::server::Server;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A working directory with nothing in it.
pub(crate) struct Place(TempDir);

/// What a command answered.
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file of the data directory, which is where it is by default.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path().join("data").join(name)
    }

    /// The permissions of a file of the data directory.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.data(name)).expect("there").permissions().mode() & 0o777
    }

    /// The line `email: …` or `password: …` of `first-run.txt`.
    pub(crate) fn first_run(&self, name: &str) -> String {
        let text = fs::read_to_string(self.data("first-run.txt")).expect("the file");
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).expect("the line").1.to_owned()
    }

    /// The administrator of `first-run.txt`, signed in.
    pub(crate) async fn first_admin(&self, server: &Server) -> Api {
        let api = server.api();
        let answer = api.sign_in(&self.first_run("email"), &self.first_run("password")).await;
        api.with_session(answer.expect(200))
    }

    /// The binary here, with an environment in which a test can work and nothing else; it ends with the test.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portwright"));
        command.args(arguments);
        self.confine(&mut command);
        command
    }

    /// Makes another program run as [`Place::command`] does.
    pub(crate) fn confine(&self, command: &mut Command) {
        command
            .current_dir(self.path())
            .env_clear()
            .envs([("APP_ENV", "test"), ("PORT", "0"), ("RATE_LIMIT_MAX_REQUESTS", "1000000")])
            .stdin(Stdio::null())
            .kill_on_drop(true);
    }

    /// Every process that works here.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let here = self.path().canonicalize().expect("it is there");
        let processes = fs::read_dir("/proc").expect("a Linux").flatten();
        let works_here = processes
            .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == here));
        works_here.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }

    /// Starts a server with the usual environment.
    pub(crate) async fn serve(&self) -> Server {
        Server::start(&mut self.command(["serve"])).await
    }

    /// Runs a command to its end.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ran(&mut self.command(arguments), b"").await
    }

    /// The same, with this on the standard input.
    pub(crate) async fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: impl AsRef<[u8]>,
    ) -> Ran {
        ran(&mut self.command(arguments), input.as_ref()).await
    }
}

/// Runs any command to its end.
pub(crate) async fn ran(command: &mut Command, input: &[u8]) -> Ran {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end without having read everything.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    /// What it printed, if it ended with this status.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        &self.stdout
    }

    /// Panics if it did not end with this status and say all of this on the standard error.
    #[track_caller]
    pub(crate) fn expect_failure(&self, code: i32, said: &[&str]) {
        self.expect(code);
        for text in said {
            assert!(self.stderr.contains(text), "{text} is not in\n{}", self.stderr);
        }
    }
}
