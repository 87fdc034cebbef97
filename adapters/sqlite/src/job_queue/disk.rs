//! [`Disk`]: tells when a commit can no longer be lost, without the writer ever waiting for the disk.
//!
//! The writer commits with `synchronous = NORMAL`: its frames are in the write-ahead log, but perhaps only in the page
//! cache. The death of any process loses none of them; the death of the machine may. So whoever promises durability
//! waits here until a thread of its own has called `fdatasync` on the log, once for everybody who waits (group sync).
//!
//! Why a commit that was synced like this survives, whatever the checkpoints do:
//!
//! - A frame of the log is overwritten only after a checkpoint has copied *all* of the log into the database file and
//!   synced that file, for which it syncs the log first. This is SQLite's order in every mode but `synchronous = OFF`.
//!   So when a commit is no longer in the log, it is in the database file and on the disk; syncing the log then proves
//!   too much, never too little.
//! - The first sync after a start over writes the new header of the log before any of its frames (SQLite does that
//!   itself), so recovery never takes old frames for new ones.
//! - The log is one file for as long as a connection is open: SQLite truncates it, and removes it only with the last
//!   connection, and the writer's is open for as long as this thread runs. The folder is synced once, after the file
//!   was made, so that the name survives, too.
//! - SQLite keeps its locks on the database file and the shared memory, none on the log, so that opening and closing
//!   the log here drops no lock (POSIX drops all locks of a process when *any* descriptor of a file is closed).
//!
//! After a failed sync nobody knows what the disk has, and the next one may succeed wrongly, because the kernel has
//! dropped the dirty pages: from then on nothing is promised until the process starts anew.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::wal;

/// How much later than its commit anything is on the disk at the latest, also what nobody waits for.
const UNASKED: Duration = Duration::from_secs(1);

pub(super) struct Disk {
    /// The newest commit.
    committed: AtomicU64,
    /// Whether the thread knows that there is something to sync.
    told: AtomicBool,
    calls: Sender<Call>,
    synced: watch::Receiver<Synced>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synced {
    /// Every commit up to this one.
    UpTo(u64),
    /// Nobody knows.
    Failed,
}

enum Call {
    Now,
    Soon,
}

impl Disk {
    /// Watches the log of this database, to which a connection is open.
    pub(super) fn of(database: &Path) -> std::io::Result<Arc<Self>> {
        let log = File::open(wal::beside(database, "-wal"))?;
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let (calls, called) = channel();
        let (sender, synced) = watch::channel(Synced::UpTo(0));
        let disk = Arc::new(Self {
            committed: AtomicU64::new(0),
            told: AtomicBool::new(false),
            calls,
            synced,
        });
        let weak = Arc::downgrade(&disk);
        std::thread::Builder::new().name("queue-disk".to_owned()).spawn(move || {
            let mut newest = 0;
            while wait_for_call(&called) {
                let Some(disk) = weak.upgrade() else { break };
                disk.told.store(false, Ordering::Release);
                let committed = disk.committed.load(Ordering::Acquire);
                drop(disk);
                if committed == newest {
                    continue;
                }
                newest = committed;
                match log.sync_data() {
                    Ok(()) => sender.send_replace(Synced::UpTo(committed)),
                    Err(error) => {
                        tracing::error!(%error, "the log of the queue cannot be synced: nothing is promised any more");
                        sender.send_replace(Synced::Failed);
                        break;
                    }
                };
            }
        })?;
        Ok(disk)
    }

    /// The writer has committed once more; answers the number of that commit.
    pub(super) fn committed(&self) -> u64 {
        let commit = self.committed.fetch_add(1, Ordering::AcqRel) + 1;
        if !self.told.swap(true, Ordering::AcqRel) {
            // An error is the end of the thread, which `reached` reports.
            drop(self.calls.send(Call::Soon));
        }
        commit
    }

    /// Waits until this commit, and all before it, are on the disk.
    pub(super) async fn reached(&self, commit: u64, wait: Duration) -> Result<(), PortError> {
        let unavailable = |detail| PortError::new(ErrorKind::Unavailable, "jobs.sync", detail);
        let mut synced = self.synced.clone();
        let is_over = |synced: &Synced| matches!(synced, Synced::UpTo(upto) if *upto >= commit) || *synced == Synced::Failed;
        if !is_over(&synced.borrow_and_update()) {
            drop(self.calls.send(Call::Now));
        }
        let reached = timeout(wait, synced.wait_for(is_over)).await;
        match reached.map(|reached| reached.map(|synced| *synced)) {
            Ok(Ok(Synced::UpTo(_))) => Ok(()),
            Ok(Ok(Synced::Failed) | Err(_)) => Err(unavailable("the disk reported an error")),
            Err(_elapsed) => Err(unavailable("the disk is too slow")),
        }
    }
}

/// Waits until something has to be synced; false if nothing will be any more.
fn wait_for_call(called: &Receiver<Call>) -> bool {
    match called.recv() {
        Ok(Call::Now) => {}
        // Whoever comes meanwhile is in a hurry; an error is a time that is over.
        Ok(Call::Soon) => drop(called.recv_timeout(UNASKED)),
        Err(_) => return false,
    }
    // One sync is for all.
    while called.try_recv().is_ok() {}
    true
}
