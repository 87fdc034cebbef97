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
use std::io;
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
    committed: Arc<AtomicU64>,
    /// Whether the thread knows that there is something to sync.
    told: Arc<AtomicBool>,
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
    pub(super) fn of(database: &Path) -> io::Result<Arc<Self>> {
        let log = File::open(wal::beside(database, "-wal"))?;
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Self::syncing(move || log.sync_data())
    }

    /// Calls this on a thread of its own whenever something has to be synced.
    fn syncing(sync: impl Fn() -> io::Result<()> + Send + 'static) -> io::Result<Arc<Self>> {
        let (calls, called) = channel();
        let (synced_to, synced) = watch::channel(Synced::UpTo(0));
        let (committed, told) = (Arc::default(), Arc::default());
        let disk = Self { committed: Arc::clone(&committed), told: Arc::clone(&told), calls, synced };
        let work = move || keep_synced(&sync, &called, &committed, &told, &synced_to);
        std::thread::Builder::new().name("queue-disk".to_owned()).spawn(work)?;
        Ok(Arc::new(disk))
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
        let is_over = |synced: &Synced| {
            matches!(synced, Synced::UpTo(upto) if *upto >= commit) || *synced == Synced::Failed
        };
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

/// Works until the disk is dropped, or cannot be trusted any more.
fn keep_synced(
    sync: &impl Fn() -> io::Result<()>,
    called: &Receiver<Call>,
    committed: &AtomicU64,
    told: &AtomicBool,
    synced: &watch::Sender<Synced>,
) {
    let mut newest = 0;
    while wait_for_call(called) {
        told.store(false, Ordering::Release);
        let commit = committed.load(Ordering::Acquire);
        if commit == newest {
            continue;
        }
        newest = commit;
        if let Err(error) = sync() {
            tracing::error!(%error, "the log of the queue cannot be synced: nothing is promised any more");
            synced.send_replace(Synced::Failed);
            return;
        }
        synced.send_replace(Synced::UpTo(commit));
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_commit_is_reached_only_when_a_sync_that_began_after_it_has_ended() {
        // Each sync takes one permission, so that it ends when the test says so.
        let (permit, permitted) = sync_channel(100);
        let began = Arc::new(AtomicU64::new(0));
        let begins = began.clone();
        let disk = Disk::syncing(move || {
            begins.fetch_add(1, Ordering::SeqCst);
            permitted.recv().map_err(io::Error::other)
        });
        let disk = disk.expect("a thread");
        let first = disk.committed();
        let early = disk.reached(first, Duration::from_millis(20)).await.expect_err("nothing is synced yet");
        assert_eq!(early.kind(), ErrorKind::Unavailable);
        assert_eq!(began.load(Ordering::SeqCst), 1, "whoever waits is not kept waiting");

        let second = disk.committed();
        permit.send(()).expect("it waits");
        disk.reached(first, LONG).await.expect("synced");
        disk.reached(second, Duration::from_millis(20)).await.expect_err("that sync began before");
        permit.send(()).expect("it waits");
        disk.reached(second, LONG).await.expect("synced");
    }

    #[tokio::test]
    async fn one_sync_is_for_all_who_wait() {
        let (permit, permitted) = sync_channel(100);
        let syncs = Arc::new(AtomicU64::new(0));
        let count = syncs.clone();
        let disk = Disk::syncing(move || {
            count.fetch_add(1, Ordering::SeqCst);
            permitted.recv().map_err(io::Error::other)
        });
        let disk = disk.expect("a thread");
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (disk, commit) = (disk.clone(), disk.committed());
            waiting.spawn(async move { disk.reached(commit, LONG).await.is_ok() });
        }
        for _ in 0..3 {
            permit.send(()).expect("it waits");
        }
        assert!(waiting.join_all().await.into_iter().all(|reached| reached));
        assert!(syncs.load(Ordering::SeqCst) <= 3);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_synced_presently() {
        let (synced, syncs) = sync_channel(1);
        let disk = Disk::syncing(move || synced.send(()).map_err(io::Error::other)).expect("a thread");
        disk.committed();
        tokio::task::spawn_blocking(move || syncs.recv_timeout(LONG))
            .await
            .expect("no panic")
            .expect("synced");
        disk.reached(1, LONG).await.expect("synced");
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_promised_any_more() {
        let disk = Disk::syncing(|| Err(io::Error::other("on cue"))).expect("a thread");
        for _ in 0..2 {
            let refused = disk.reached(disk.committed(), LONG).await.expect_err("refused");
            assert_eq!(
                (refused.kind(), refused.detail()),
                (ErrorKind::Unavailable, "the disk reported an error")
            );
        }
    }
}
