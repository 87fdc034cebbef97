//! [`Waiters`]: who of this process wants to hear of what.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portwright_domain::job::{JobId, LeasedJob, Outcome};
use tokio::sync::oneshot;

/// Those who wait for values of one kind, each by what it is about.
pub(super) struct Waiters<K, V>(Arc<Mutex<HashMap<K, Vec<oneshot::Sender<V>>>>>);

/// For the ends of jobs.
pub(super) type Ends = Waiters<JobId, Outcome>;
/// For the next changes of jobs.
pub(super) type Changes = Waiters<JobId, ()>;
/// For jobs, each worker by its ticket.
pub(super) type Hands = Waiters<String, Vec<LeasedJob>>;

impl<K: Eq + Hash + Clone, V: Clone> Waiters<K, V> {
    /// Hears of this from now on.
    pub(super) fn listen(&self, about: K) -> Listening<K, V> {
        let (sender, told) = oneshot::channel();
        self.lock().entry(about.clone()).or_default().push(sender);
        Listening { waiters: self.clone(), about, told }
    }

    /// Tells whoever listens; false if nobody does.
    pub(super) fn tell(&self, about: &K, value: &V) -> bool {
        let mut heard = false;
        for waiter in self.lock().remove(about).into_iter().flatten() {
            // An error is a listener that has gone meanwhile.
            heard |= waiter.send(value.clone()).is_ok();
        }
        heard
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<oneshot::Sender<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Clone for Waiters<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Waiters<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Forgotten when it is dropped.
pub(super) struct Listening<K: Eq + Hash + Clone, V: Clone> {
    waiters: Waiters<K, V>,
    about: K,
    pub(super) told: oneshot::Receiver<V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Listening<K, V> {
    fn drop(&mut self) {
        self.told.close();
        let mut waiters = self.waiters.lock();
        if let Some(senders) = waiters.get_mut(&self.about) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiters.remove(&self.about);
            }
        }
    }
}
