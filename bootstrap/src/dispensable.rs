//! The health of what most requests are answered without. An outage of something that all processes share must not take
//! every one of them out of the load balancer: they would answer nothing at all then, instead of nearly everything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};
use tokio::time::timeout;

/// Less than whoever asks all probes gives each of them: not to answer there would be to fail.
const DEADLINE: Duration = Duration::from_millis(900);

/// The same probe, which warns where it would fail or be silent.
#[must_use]
pub fn dispensable(probe: impl HealthProbe) -> Arc<dyn HealthProbe> {
    Arc::new(Dispensable(probe))
}

struct Dispensable<P>(P);

#[async_trait]
impl<P: HealthProbe> HealthProbe for Dispensable<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn check(&self) -> Health {
        let silent = |_| Health::fail(format!("no answer within {} ms", DEADLINE.as_millis()));
        let health = timeout(DEADLINE, self.0.check()).await.unwrap_or_else(silent);
        Health { status: health.status.min(HealthStatus::Warn), ..health }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says this, or nothing.
    struct Says(Option<Health>);

    #[async_trait]
    impl HealthProbe for Says {
        fn name(&self) -> &'static str {
            "storage"
        }

        async fn check(&self) -> Health {
            match &self.0 {
                Some(health) => health.clone(),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_worst_it_warns_and_it_keeps_the_reason() {
        let hears = async |health| dispensable(Says(health)).check().await;
        assert_eq!(hears(Some(Health::pass())).await, Health::pass());
        let warns = |reason: &str| Health { status: HealthStatus::Warn, ..Health::fail(reason) };
        assert_eq!(hears(Some(Health::fail("on cue"))).await, warns("on cue"));
        assert_eq!(hears(None).await, warns("no answer within 900 ms"));
    }
}
