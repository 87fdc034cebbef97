//! How many workers there are, for metrics.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_metrics::{Readings, Source, name};
use tokio::sync::watch;

use super::health::Roster;

/// Tells what the supervisor knows.
pub(super) struct WorkersGauge(watch::Receiver<Roster>);

impl WorkersGauge {
    pub(super) fn of(roster: watch::Receiver<Roster>) -> Self {
        Self(roster)
    }
}

#[async_trait]
impl Source for WorkersGauge {
    fn name(&self) -> &'static str {
        "workers"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        let Roster { starting, ready, draining, .. } = *self.0.borrow();
        let states = [("starting", starting), ("ready", ready), ("draining", draining)];
        Ok(states.into_iter().fold(Readings::default(), |readings, (state, workers)| {
            let workers = f64::from(u32::try_from(workers).unwrap_or(u32::MAX));
            readings.with(&name::WORKERS, &[state], workers)
        }))
    }
}
