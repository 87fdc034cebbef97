//! What every [`HealthProbe`] promises of a part of the world that is well.
//!
//! What it tells of one that is not depends on how one can hurt it; that is for the tests of each.

use std::collections::HashSet;

use portwright_domain::ports::{HealthProbe, HealthStatus};
use tokio::task::JoinSet;

use crate::contract::Fixture;

contract! {
    /// Every promise of [`HealthProbe`](portwright_domain::ports::HealthProbe), as a test of its own, given an async
    /// function that makes a `Fixture<dyn HealthProbe>` of something that is well.
    health_probe_contract => health::PROMISES: Fixture<dyn HealthProbe> {
        its_name_is_in_lower_case_and_stays,
        what_is_well_passes,
        what_it_tells_has_names_that_differ,
        to_be_asked_often_changes_nothing,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

async fn its_name_is_in_lower_case_and_stays(probe: Fixture<dyn HealthProbe>) {
    let name = probe.port.name();
    assert!(is_name(name), "{name}");
    probe.port.check().await;
    assert_eq!(probe.port.name(), name);
}

async fn what_is_well_passes(probe: Fixture<dyn HealthProbe>) {
    let health = probe.port.check().await;
    assert_eq!(health.status, HealthStatus::Pass, "{health:?}");
    assert!(health.details.iter().all(|(name, _)| *name != "error"), "{health:?}");
}

async fn what_it_tells_has_names_that_differ(probe: Fixture<dyn HealthProbe>) {
    let health = probe.port.check().await;
    let names: HashSet<_> = health.details.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), health.details.len(), "{health:?}");
    // What has several parts names one of them behind a dot.
    assert!(names.into_iter().flat_map(|name| name.split('.')).all(is_name), "{health:?}");
}

async fn to_be_asked_often_changes_nothing(probe: Fixture<dyn HealthProbe>) {
    let before = probe.port.check().await;
    let mut askers = JoinSet::new();
    for _ in 0..20 {
        let port = probe.port.clone();
        askers.spawn(async move { port.check().await.status });
    }
    assert!(askers.join_all().await.into_iter().all(|status| status == HealthStatus::Pass));
    let names = |health: portwright_domain::ports::Health| -> Vec<_> {
        health.details.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(probe.port.check().await), names(before));
}
