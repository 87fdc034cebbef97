//! [`Waiters`]: who wants to hear of the end of which job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portwright_domain::job::{JobId, Outcome};
use tokio::sync::oneshot;
use tokio::time::timeout;

#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<JobId, Vec<oneshot::Sender<Outcome>>>>);

impl Waiters {
    /// Hears of the end of this job from now on.
    pub(super) fn listen(self: &Arc<Self>, job: JobId) -> Listening {
        let (sender, told) = oneshot::channel();
        self.lock().entry(job).or_default().push(sender);
        Listening { waiters: Arc::clone(self), job, told }
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, ended: Vec<(JobId, Outcome)>) {
        let mut waiters = self.lock();
        for (job, outcome) in ended {
            for waiter in waiters.remove(&job).into_iter().flatten() {
                // An error is a listener that has gone meanwhile.
                drop(waiter.send(outcome.clone()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Vec<oneshot::Sender<Outcome>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgotten when it is dropped.
pub(super) struct Listening {
    waiters: Arc<Waiters>,
    job: JobId,
    told: oneshot::Receiver<Outcome>,
}

impl Listening {
    /// Waits so long for the end.
    pub(super) async fn end(mut self, wait: Duration) -> Option<Outcome> {
        timeout(wait, &mut self.told).await.ok()?.ok()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.told.close();
        let mut waiters = self.waiters.lock();
        if let Some(senders) = waiters.get_mut(&self.job) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiters.remove(&self.job);
            }
        }
    }
}
