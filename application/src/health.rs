//! Health: asks every probe at once, each with a deadline, because a probe that hangs is an answer, too.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{Health, HealthProbe, HealthStatus};

const DEADLINE: Duration = Duration::from_secs(1);

/// The probes of everything that the service stands on.
pub struct HealthChecks {
    probes: Vec<Arc<dyn HealthProbe>>,
}

/// What all probes found, in the order in which they were given.
#[derive(Debug, Clone)]
pub struct Report {
    /// The worst of all.
    pub status: HealthStatus,
    /// Each component.
    pub checks: Vec<(&'static str, Health)>,
}

impl HealthChecks {
    /// Checks by these probes.
    #[must_use]
    pub fn new(probes: Vec<Arc<dyn HealthProbe>>) -> Self {
        Self { probes }
    }

    /// Asks all of them; takes a second at most.
    pub async fn report(&self) -> Report {
        let mut asked = tokio::task::JoinSet::new();
        for (place, probe) in self.probes.iter().cloned().enumerate() {
            asked.spawn(async move {
                let answer = tokio::time::timeout(DEADLINE, probe.check()).await;
                (place, answer.unwrap_or_else(|_| Health::fail("no answer in 1 s")))
            });
        }
        // A probe that panicked leaves its place as it is: not to answer is to fail.
        let mut found: Vec<Health> = self.probes.iter().map(|_| Health::fail("no answer")).collect();
        while let Some(answer) = asked.join_next().await {
            if let Ok((place, health)) = answer {
                found[place] = health;
            }
        }
        let status = found.iter().map(|health| health.status).max().unwrap_or(HealthStatus::Pass);
        let checks = self.probes.iter().map(|probe| probe.name()).zip(found).collect();
        Report { status, checks }
    }
}
