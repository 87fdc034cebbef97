//! The dead whom nobody else waits for: what a task started and left behind becomes a child of process 1, which in a
//! container is ours. Until somebody waits for it, it stays in the table of processes, whose room is limited.
//!
//! Our own children are waited for by those who started them, at once. So whoever has been dead for a while is an orphan.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How long one of our own may be dead before it was waited for, also on the busiest machine.
const A_WHILE: Duration = Duration::from_secs(2);

/// Waits for orphans as long as the process lives, if they are its own.
///
/// # Errors
/// If the system does not tell when a child ends.
pub(crate) fn bury() -> io::Result<()> {
    if !getpid().is_init() {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child())?;
    let bury = async move {
        let mut seen = Vec::new();
        while !seen.is_empty() || ended.recv().await.is_some() {
            sleep(A_WHILE).await;
            let dead = dead_children();
            for orphan in dead.iter().filter(|pid| seen.contains(*pid)) {
                // Gone meanwhile: then somebody did wait.
                let _ = waitpid(Some(*orphan), WaitOptions::NOHANG);
            }
            seen = dead.into_iter().filter(|pid| !seen.contains(pid)).collect();
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it goes on to the very end, which must not wait for it")]
    drop(tokio::spawn(bury));
    Ok(())
}

/// The children of this process that have ended and that nobody has waited for; none where the system does not tell.
fn dead_children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<i32> = lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.into_iter().filter_map(Pid::from_raw).filter(|pid| is_dead(*pid)).collect()
}

/// Whether this process has ended, and nobody has waited for it yet. It has no files any more.
pub(crate) fn is_dead(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero();
    // The command, field 2, may have spaces and parentheses of its own; the state is behind it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_is_dead_until_somebody_waits_for_it() {
        let mut child = Command::new("true").spawn().expect("it runs");
        let pid = Pid::from_child(&child);
        while !dead_children().contains(&pid) {
            std::thread::yield_now();
        }
        child.wait().expect("it ended");
        assert!(!dead_children().contains(&pid));
    }
}
