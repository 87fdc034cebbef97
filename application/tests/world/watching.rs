//! [`Recorder`]: an observer that remembers.

use std::sync::{Mutex, PoisonError};

use portwright_domain::ports::{Event, Observer};

/// Everything that was observed, as text.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// How often this was observed.
    pub(crate) fn count(&self, event: &Event<'_>) -> usize {
        let wanted = format!("{event:?}");
        self.all().iter().filter(|seen| **seen == wanted).count()
    }

    /// What was observed since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{event:?}"));
    }
}
