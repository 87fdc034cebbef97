//! [`Children`]: what processes count that nobody scrapes, because they tell their supervisor.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::totals::{Report, Totals};

/// The counts of worker processes. No sum of them ever goes down: what a process had counted stays when it is gone.
#[derive(Debug, Default)]
pub(crate) struct Children(Mutex<Everybody>);

#[derive(Debug, Default)]
struct Everybody {
    alive: HashMap<String, Totals>,
    gone: Totals,
}

impl Children {
    /// A process tells what it has counted since it began.
    pub(crate) fn hear(&self, who: &str, report: Report) {
        self.lock().alive.entry(who.to_owned()).or_default().hear(report);
    }

    /// A process is gone; it must not be heard afterwards.
    pub(crate) fn lose(&self, who: &str) {
        let mut everybody = self.lock();
        if let Some(last) = everybody.alive.remove(who) {
            everybody.gone.add(&last.without_gauges());
        }
    }

    /// Adds what all of them have counted.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let everybody = self.lock();
        totals.add(&everybody.gone);
        everybody.alive.values().for_each(|child| totals.add(child));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Everybody> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
