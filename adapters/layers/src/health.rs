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
            let status = if state == State::Closed { health.status } else { HealthStatus::Warn };
            Health { status, ..health }.with(breaker.name(), state.as_str())
        })
    }
}
