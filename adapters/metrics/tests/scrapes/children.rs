//! Several processes, one scrape.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::{Event, Observer};
use portwright_metrics::{Exposition, Metrics, Report};
use portwright_testkit::{ManualClock, Scrape};

use crate::world::everything_happens;

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(Arc::new(ManualClock::default())))
}

async fn scrape(metrics: &Arc<Metrics>) -> Scrape {
    Scrape::parse(&Exposition::new(metrics.clone(), Vec::new()).text().await)
}

/// What a child says goes over a line of text.
fn tell(parent: &Metrics, who: &str, child: &Metrics) {
    for report in child.reports() {
        let line = serde_json::to_string(&report).expect("a line");
        parent.hear_child(who, serde_json::from_str(&line).expect("the same"));
    }
}

#[tokio::test]
async fn a_child_counts_in_its_parent_as_it_would_there() {
    let (parent, child, alone) = (metrics(), metrics(), metrics());
    everything_happens(&child);
    everything_happens(&alone);
    tell(&parent, "a", &child);
    assert_eq!(scrape(&parent).await, scrape(&alone).await);
}

#[tokio::test]
async fn saying_it_twice_counts_once_and_sums_never_go_down() {
    let (parent, first, second) = (metrics(), metrics(), metrics());
    let finished = Event::JobFinished {
        queue: "default",
        task: "a.b",
        outcome: "succeeded",
        took: Duration::from_millis(30),
    };
    let counted = async || {
        let scrape = scrape(&parent).await;
        let (jobs, runs) =
            (scrape.whole("jobs_finished_total", &[]), scrape.whole("job_run_duration_seconds_count", &[]));
        assert_eq!(jobs, runs);
        jobs
    };
    first.observe(&finished);
    tell(&parent, "first", &first);
    first.observe(&finished);
    tell(&parent, "first", &first);
    tell(&parent, "first", &first);
    assert_eq!(counted().await, 2);
    parent.lose_child("first");
    assert_eq!(counted().await, 2, "it is gone, what it did is not");
    second.observe(&finished);
    tell(&parent, "second", &second);
    parent.observe(&finished);
    assert_eq!(counted().await, 4);
    parent.lose_child("second");
    parent.lose_child("nobody");
    assert_eq!(counted().await, 4);
}

#[tokio::test]
async fn how_a_child_was_is_forgotten_when_it_is_gone() {
    let (parent, child) = (metrics(), metrics());
    parent.observe(&Event::BreakerChanged { breaker: "store.writes", state: "closed" });
    child.observe(&Event::BreakerChanged { breaker: "store.writes", state: "open" });
    tell(&parent, "a", &child);
    let open = async || scrape(&parent).await.whole("circuit_breaker_state", &[("state", "open")]);
    assert_eq!(open().await, 1);
    parent.lose_child("a");
    assert_eq!(open().await, 0);
}

#[tokio::test]
async fn a_report_that_makes_no_sense_changes_nothing() {
    let parent = metrics();
    everything_happens(&parent);
    let before = scrape(&parent).await;
    for line in [
        r#"{"metric":"no_such_metric","series":[[[],1.0]]}"#,
        r#"{"metric":"lease_lost_total","series":[[["a label"],1.0]]}"#,
        r#"{"metric":"lease_lost_total","series":[[[],[[1],1,1.0]]]}"#,
        r#"{"metric":"job_wait_duration_seconds","series":[[["default","a.b"],[[1,2],2,1.0]]]}"#,
        r#"{"metric":"job_wait_duration_seconds","series":[[["default","a.b"],4.0]]}"#,
    ] {
        parent.hear_child("a", serde_json::from_str::<Report>(line).expect("it parses"));
    }
    assert_eq!(scrape(&parent).await, before);
}

#[tokio::test]
async fn a_child_that_makes_up_labels_takes_up_no_more_memory_than_many_tasks_would() {
    let (parent, child) = (metrics(), metrics());
    for number in 0..5000 {
        child.observe(&Event::JobEnqueued { queue: "default", task: &format!("task-{number}") });
    }
    let longest = child.reports().iter().map(|it| serde_json::to_string(it).expect("a line").len()).max();
    assert!(longest < Some(32 * 1024), "{longest:?}");
    tell(&parent, "a", &child);
    assert_eq!(scrape(&parent).await.count("jobs_enqueued_total", &[]), 2000);
}
