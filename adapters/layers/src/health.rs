//! [`BreakersHealth`]: which ports are left alone at present.

use std::sync::PoisonError;

use async_trait::async_trait;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};

use crate::breaker::State;
use crate::layers::Breakers;

pub(crate) struct BreakersHealth(pub(crate) Breakers);

#[async_trait]
impl HealthProbe for BreakersHealth {
    fn name(&self) -> &'static str {
        "breakers"
    }

    async fn check(&self) -> Health {
        let breakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.iter().fold(Health::pass(), |health, breaker| {
            let state = breaker.state();
            // One that would let calls try is no trouble: perhaps nobody has any, and then it stays so.
            let status = if state == State::Open { HealthStatus::Warn } else { health.status };
            Health { status, ..health }.with(breaker.name(), state.as_str())
        })
    }
}
