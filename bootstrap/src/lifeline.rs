//! The line between a supervisor and a worker that it started: the worker's standard input is one end of a socket pair.
//!
//! The supervisor holds its end and never writes. However it ends, SIGKILL included, the kernel closes that end, and the
//! worker knows at once. The worker uses the line to say how it is doing, so that its standard output stays free for
//! whatever its tasks print.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use portwright_metrics::Report;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// How long a worker lives at most after its supervisor is gone.
pub const LONGEST_AFTERLIFE: Duration = Duration::from_secs(2);

/// How long a worker may live after the line was cut: less than that, since starting a thread may take its time.
pub const LAST_BREATH: Duration = Duration::from_secs(1);

/// How long saying something may hold up whoever says it. The socket takes thousands of lines without a reader.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a worker says: one line of JSON each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It takes jobs from now on.
    Ready {
        /// Of these tasks.
        tasks: Vec<String>,
    },
    /// It is doing this.
    Busy {
        /// Jobs that it holds.
        running: usize,
        /// Jobs that it has settled since it started.
        settled: u64,
    },
    /// It has counted this since it started.
    Counted(Report),
}

/// The worker's end of the line. Clones are the same end.
#[derive(Debug, Clone)]
pub struct Lifeline(Arc<UnixStream>);

impl Lifeline {
    /// The line on the standard input.
    pub fn of_stdin() -> io::Result<Self> {
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        line.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Arc::new(line)))
    }

    /// Holds on to the line with a thread of its own, which no task can keep from running: cancels `cut` when the
    /// supervisor has let go, and ends the process [`LAST_BREATH`] later if it has not ended by itself.
    pub fn hold(&self, cut: CancellationToken) -> io::Result<()> {
        let line = self.0.clone();
        let hold = move || {
            wait_for_end(&line);
            cut.cancel();
            thread::sleep(LAST_BREATH);
            tracing::warn!("a task did not let go of this worker, whose server is gone");
            std::process::exit(Exit::Unavailable.code().into());
        };
        thread::Builder::new().name("lifeline".to_owned()).spawn(hold).map(drop)
    }

    /// Says something; whether it was taken. A supervisor that does not listen knows less, and a worker works all the same.
    #[expect(clippy::must_use_candidate, reason = "mostly there is nothing to be done about it")]
    pub fn say(&self, said: &Said) -> bool {
        let Ok(mut text) = serde_json::to_vec(said) else { return false };
        text.push(b'\n');
        (&*self.0).write_all(&text).is_ok()
    }
}

/// Returns once nobody has the other end any more.
fn wait_for_end(mut line: &UnixStream) {
    let mut nothing = [0; 64];
    loop {
        match line.read(&mut nothing) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_noticed_when_the_other_side_lets_go() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let waiting = thread::spawn(move || wait_for_end(&theirs));
        (&ours).write_all(b"noise").expect("written");
        assert!(!waiting.is_finished());
        drop(ours);
        waiting.join().expect("it returns");
    }

    #[test]
    fn what_is_said_is_one_line_each() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let line = Lifeline(Arc::new(theirs));
        assert!(line.say(&Said::Ready { tasks: vec!["a.b".to_owned()] }));
        assert!(line.say(&Said::Busy { running: 2, settled: 7 }));
        drop(line);
        let text = io::read_to_string(ours).expect("text");
        assert_eq!(text, "{\"ready\":{\"tasks\":[\"a.b\"]}}\n{\"busy\":{\"running\":2,\"settled\":7}}\n");
    }

    #[test]
    fn a_supervisor_that_does_not_listen_holds_nobody_up() {
        let (_ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.set_write_timeout(Some(Duration::from_millis(1))).expect("set");
        let line = Lifeline(Arc::new(theirs));
        let tasks = vec!["a".repeat(10_000)];
        let taken = (0..200).filter(|_| line.say(&Said::Ready { tasks: tasks.clone() })).count();
        assert!(taken < 200, "there is no room for that");
    }
}
