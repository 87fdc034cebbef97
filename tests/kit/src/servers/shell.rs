//! [`Shell`]: the process between a test and its server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A script that answers each line it is sent with one line: what was asked for, or an error.
pub(super) struct Shell {
    pipe: Mutex<Option<Pipe>>,
    child: Child,
}

struct Pipe {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Shell {
    /// Runs the script as this user, if we may choose: database servers refuse to be run by root.
    pub(super) fn run_as(user: &str, script: &str, arguments: &[&str]) -> Self {
        if !is_root() {
            return Self::run(script, arguments);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--", "bash"]);
        Self::begin(command, script, arguments)
    }

    /// The same, where the script may mount what nobody else sees and what is gone with it.
    pub(super) fn run_apart(user: &str, script: &str, arguments: &[&str]) -> Self {
        const APART: [&str; 5] = ["--user", "--map-current-user", "--keep-caps", "--mount", "--"];
        let mut command = Command::new("unshare");
        if is_root() {
            command = Command::new("runuser");
            command.args(["-u", user, "--", "unshare"]);
        }
        command.args(APART).arg("bash");
        Self::begin(command, script, arguments)
    }

    /// Runs the script as whoever runs the test.
    pub(super) fn run(script: &str, arguments: &[&str]) -> Self {
        Self::begin(Command::new("bash"), script, arguments)
    }

    fn begin(mut bash: Command, script: &str, arguments: &[&str]) -> Self {
        let mut child = bash
            .args(["-c", script, "server"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("bash runs");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { pipe: Mutex::new(Some(Pipe { to, from: BufReader::new(from) })), child }
    }

    /// Sends a line and waits for the answer; panics if it is an error.
    pub(super) fn ask(&self, line: &str) -> String {
        assert!(!line.contains('\n'), "one line at a time: {line}");
        let mut pipe = self.pipe.lock().expect("nobody panicked in here");
        let Pipe { to, from } = pipe.as_mut().expect("it is not over");
        writeln!(to, "{line}").and_then(|()| to.flush()).expect("the shell listens");
        let mut answer = String::new();
        from.read_line(&mut answer).expect("the shell answers");
        match answer.trim_end().strip_prefix("ok") {
            Some(said) => said.trim_start().to_owned(),
            None => panic!("{line}: {answer}"),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of its input is what the shell waits for, also after an answer that made the test panic.
        self.pipe.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // If it is gone already, there is nothing to wait for.
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// A port that is free now. Somebody else may take it before the server does, which then does not start.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
