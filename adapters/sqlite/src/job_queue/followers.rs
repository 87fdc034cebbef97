//! [`Followers`]: who wants to hear of every change of which job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portwright_domain::job::JobId;
use rusqlite::{Connection, Params, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::columns::Columns;

#[derive(Default)]
pub(super) struct Followers(Mutex<HashMap<JobId, watch::Sender<()>>>);

impl Followers {
    /// Hears of every change of this job from now on.
    pub(super) fn follow(self: &Arc<Self>, job: JobId) -> Following {
        let told = self.lock().entry(job).or_default().subscribe();
        Following { followers: Arc::clone(self), job, told }
    }

    /// What a transaction that begins now has to note.
    pub(super) fn changes(&self) -> Changes {
        if self.lock().is_empty() { Changes::Ignored } else { Changes::Noted(Vec::new()) }
    }

    /// Tells whoever follows a job that changed. Where nothing was noted, nobody followed when the transaction began:
    /// whoever came meanwhile may have looked before its commit, and looks again.
    pub(super) fn tell(&self, changes: Changes) {
        let followers = self.lock();
        match changes {
            Changes::Ignored => followers.values().for_each(|follower| follower.send_replace(())),
            Changes::Noted(jobs) => {
                jobs.iter()
                    .filter_map(|job| followers.get(job))
                    .for_each(|follower| follower.send_replace(()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The jobs that a transaction changes.
pub(super) enum Changes {
    /// Nobody asked, and nothing is spent on it.
    Ignored,
    /// These, perhaps some of them several times.
    Noted(Vec<JobId>),
}

impl Changes {
    pub(super) fn note(&mut self, job: JobId) {
        if let Self::Noted(jobs) = self {
            jobs.push(job);
        }
    }

    /// Notes every job whose id this statement selects.
    pub(super) fn note_all(&mut self, connection: &Connection, sql: &str, params: impl Params) -> Result<()> {
        if let Self::Noted(jobs) = self {
            let mut statement = connection.prepare_cached(sql)?;
            for job in statement.query_map(params, |row| Columns::of(row).id())? {
                jobs.push(job?);
            }
        }
        Ok(())
    }
}

/// Forgotten when it is dropped.
pub(super) struct Following {
    followers: Arc<Followers>,
    job: JobId,
    told: watch::Receiver<()>,
}

impl Following {
    /// Waits until the job has changed since the last time; false if it has not by then.
    pub(super) async fn told_before(&mut self, deadline: Instant) -> bool {
        matches!(timeout_at(deadline, self.told.changed()).await, Ok(Ok(())))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut followers = self.followers.lock();
        // This one is still counted.
        if followers.get(&self.job).is_some_and(|follower| follower.receiver_count() <= 1) {
            followers.remove(&self.job);
        }
    }
}
