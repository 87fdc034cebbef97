//! [`Holder`]: what the lock file says about whoever has the lock, and whether that still is so.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Who holds the lock; with its start, a process id is one process only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// When the process started, in clock ticks since the machine did.
    pub(super) started: Option<u64>,
    exe: Option<PathBuf>,
    /// Where it listens, once it does.
    pub(crate) address: Option<SocketAddr>,
}

impl Holder {
    pub(super) fn this_process() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid), exe: std::env::current_exe().ok(), address: None }
    }

    /// Whether the process is there that wrote this.
    pub(crate) fn is_running(&self) -> bool {
        self.started.is_some() && started(self.pid) == self.started
    }

    /// Whether it is there, still the program that it was, and one of this user's.
    pub(crate) fn is_ours(&self) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let runs = |exe: &PathBuf| {
            // A program that was built again has another file now.
            let running = std::fs::read_link(process.join("exe")).unwrap_or_default().into_os_string();
            let mut deleted = exe.clone().into_os_string();
            deleted.push(" (deleted)");
            running == *exe || running == deleted
        };
        let user = std::fs::metadata(&process).map(|process| process.uid());
        self.exe.as_ref().is_some_and(runs)
            && user.is_ok_and(|user| user == rustix::process::geteuid().as_raw())
            && self.is_running()
    }
}

/// When this process started, where the system tells; `None` if there is no such process.
fn started(pid: u32) -> Option<u64> {
    start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `/proc/<pid>/stat`; the command, field 2, may have spaces and parentheses of its own.
fn start_time(stat: &str) -> Option<u64> {
    let (_, behind_command) = stat.rsplit_once(") ")?;
    behind_command.split(' ').nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_command() {
        let fields: Vec<String> = (4..=30).map(|field| field.to_string()).collect();
        assert_eq!(start_time(&format!("7 (a) b (c) S {}", fields.join(" "))), Some(22));
        assert!(Holder::this_process().started.is_some());
    }

    #[test]
    fn somebody_is_ours_by_number_start_program_and_user() {
        let us = Holder::this_process();
        assert!(us.is_ours());
        let other = |change: fn(&mut Holder)| {
            let mut other = Holder::this_process();
            change(&mut other);
            other
        };
        assert!(!other(|it| it.started = Some(1)).is_ours(), "the number belongs to another process");
        assert!(!other(|it| it.started = None).is_ours());
        assert!(!other(|it| it.exe = Some("/bin/sh".into())).is_ours(), "it runs another program");
        assert!(!other(|it| it.exe = None).is_ours());
        // Process 1 is not this program, whoever it belongs to.
        assert!(!other(|it| (it.pid, it.started) = (1, started(1))).is_ours());
    }
}
