//! Health: every probe is asked at once, and none can hold up the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::ports::{Health, HealthProbe, HealthStatus};
use tokio::time::Instant;

use crate::world::World;

/// A component that answers in its own way.
struct Probe(&'static str, Answer);

#[derive(Clone, Copy)]
enum Answer {
    Now(HealthStatus),
    After(Duration),
    Never,
    Panic,
}

#[async_trait]
impl HealthProbe for Probe {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn check(&self) -> Health {
        match self.1 {
            Answer::Now(status) => Health { status, details: Vec::new() },
            Answer::After(time) => {
                tokio::time::sleep(time).await;
                Health::pass()
            }
            Answer::Never => std::future::pending().await,
            Answer::Panic => panic!("this probe is broken"),
        }
    }
}

fn world_of(answers: &[(&'static str, Answer)]) -> World {
    let probes = answers.iter().map(|&(name, answer)| Arc::new(Probe(name, answer)) as Arc<dyn HealthProbe>);
    World::with(|setup| setup.probes = probes.collect())
}

#[tokio::test]
async fn without_a_probe_all_is_well() {
    let report = World::new().services.health.report().await;
    assert_eq!(report.status, HealthStatus::Pass);
    assert!(report.checks.is_empty());
}

#[tokio::test]
async fn the_report_is_as_bad_as_its_worst_part_and_names_all_in_order() {
    use HealthStatus::{Fail, Pass, Warn};
    for (statuses, worst) in [
        ([Pass, Pass, Pass], Pass),
        ([Pass, Warn, Pass], Warn),
        ([Fail, Warn, Pass], Fail),
        ([Pass, Pass, Fail], Fail),
    ] {
        let names = ["database", "queue", "storage"];
        let answers: Vec<_> = names.into_iter().zip(statuses.map(Answer::Now)).collect();
        let report = world_of(&answers).services.health.report().await;
        assert_eq!(report.status, worst);
        let found: Vec<_> = report.checks.iter().map(|(name, health)| (*name, health.status)).collect();
        assert_eq!(found, names.into_iter().zip(statuses).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_fail_together_after_a_second() {
    let world = world_of(&[
        ("database", Answer::Never),
        ("queue", Answer::Now(HealthStatus::Pass)),
        ("storage", Answer::Never),
    ]);
    let begin = Instant::now();
    let report = world.services.health.report().await;
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    assert_eq!(report.status, HealthStatus::Fail);
    let no_answer = Health::fail("no answer in 1 s");
    let expected = [("database", no_answer.clone()), ("queue", Health::pass()), ("storage", no_answer)];
    assert_eq!(report.checks, expected);
}

#[tokio::test(start_paused = true)]
async fn a_probe_may_take_almost_a_second() {
    let world = world_of(&[("database", Answer::After(Duration::from_millis(999)))]);
    assert_eq!(world.services.health.report().await.status, HealthStatus::Pass);
}

#[tokio::test]
async fn a_probe_that_panics_fails_and_takes_nobody_along() {
    let world = world_of(&[("database", Answer::Panic), ("queue", Answer::Now(HealthStatus::Pass))]);
    let report = world.services.health.report().await;
    assert_eq!(report.status, HealthStatus::Fail);
    assert_eq!(report.checks, [("database", Health::fail("no answer")), ("queue", Health::pass())]);
}
