//! What Prometheus reads after everything has happened that can.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::error::{ErrorKind, Race};
use portwright_domain::ports::{Clock, Event, JobQueue, Observer};
use portwright_memory::MemoryJobQueue;
use portwright_metrics::{
    Exposition, Kind, Metric, Metrics, Process, Queues, Readings, Runtime, Source, pulse,
};
use portwright_testkit::builders::a_job;
use portwright_testkit::{ManualClock, Scrape};
use tokio::time::Instant;

use crate::world::{everything_happens, observed};

/// Says something of every metric that nobody observes.
struct Gauges;

#[async_trait]
impl Source for Gauges {
    fn name(&self) -> &'static str {
        "gauges"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        let observed = observed();
        let unobserved = Metric::ALL.iter().filter(|it| !observed.contains(&it.name));
        let unobserved = unobserved.filter(|it| it.name != "scrape_source_up");
        Ok(unobserved.fold(Readings::default(), |readings, metric| readings.with(metric, metric.labels, 1.0)))
    }
}

/// Fails, or says nothing for ever.
enum Broken {
    Refuses,
    Hangs,
}

#[async_trait]
impl Source for Broken {
    fn name(&self) -> &'static str {
        match self {
            Self::Refuses => "refuses",
            Self::Hangs => "hangs",
        }
    }

    async fn read(&self) -> Result<Readings, PortError> {
        match self {
            Self::Refuses => Err(PortError::new(ErrorKind::Unavailable, "broken.read", "on cue")),
            Self::Hangs => std::future::pending().await,
        }
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(Arc::new(ManualClock::default())))
}

async fn text(metrics: Arc<Metrics>, sources: Vec<Arc<dyn Source>>) -> String {
    Exposition::new(metrics, sources).text().await
}

#[tokio::test]
async fn every_metric_of_the_table_is_written_as_agreed() {
    let metrics = metrics();
    everything_happens(&metrics);
    let text = text(metrics, vec![Arc::new(Gauges)]).await;
    let scrape = Scrape::parse(&text);
    for metric in Metric::ALL {
        assert_eq!(
            scrape.kinds.get(metric.name).map(String::as_str),
            Some(metric.kind.as_str()),
            "{metric:?}"
        );
        let name = if matches!(metric.kind, Kind::Histogram(_)) {
            format!("{}_count", metric.name)
        } else {
            metric.name.to_owned()
        };
        let (_, labels, _) = scrape.samples.iter().find(|(it, _, _)| *it == name).expect("a sample");
        let labels: Vec<_> = labels.keys().map(String::as_str).collect();
        let mut expected = metric.labels.to_vec();
        expected.sort_unstable();
        assert_eq!(labels, expected, "{metric:?}");
    }
    assert_eq!(scrape.kinds.len(), Metric::ALL.len());
    let agreed = include_str!("golden/exposition.txt");
    assert!(
        text == agreed,
        "what is written changed; if that is intended, tests/scrapes/golden/exposition.txt is to be:\n{text}"
    );
}

#[tokio::test]
async fn events_are_counted_under_what_they_say() {
    let metrics = metrics();
    everything_happens(&metrics);
    everything_happens(&metrics);
    let scrape = Scrape::parse(&text(metrics, Vec::new()).await);
    let sum = |name, labels: &[(&str, &str)]| scrape.whole(name, labels);
    let unmatched = [("http_route", "unmatched"), ("http_request_method", "_OTHER")];
    assert_eq!(sum("http_server_request_duration_seconds_count", &unmatched), 2);
    assert_eq!(sum("transaction_retries_total", &[("reason", Race::Deadlock.as_str())]), 2);
    assert_eq!(sum("db_client_operation_duration_seconds_count", &[("operation", "users.find")]), 2);
    assert_eq!(sum("storage_operation_duration_seconds_count", &[("outcome", "unavailable")]), 2);
    assert_eq!(sum("port_call_duration_seconds_count", &[("port", "cache"), ("operation", "get")]), 2);
    assert_eq!(sum("jobs_finished_total", &[]), 2, "a try that is followed by another is no end of a job");
    assert_eq!(sum("job_run_duration_seconds_count", &[("outcome", "retried")]), 2);
    assert_eq!(sum("lease_lost_total", &[]), 2);
    assert_eq!(sum("http_server_active_requests", &[]), 0, "all were answered");
    assert_eq!(sum("http_server_queued_requests", &[]), 2, "of two each time one still waits");
    assert_eq!(sum("http_server_shed_requests_total", &[("reason", "full")]), 2);
    assert_eq!(sum("http_server_shed_requests_total", &[("reason", "late")]), 0, "which is told, too");
    assert_eq!(sum("http_server_panics_total", &[]), 2);
    assert_eq!(sum("circuit_breaker_state", &[("breaker", "cache"), ("state", "open")]), 1);
    assert_eq!(sum("circuit_breaker_state", &[]), 1, "it is in one state");
}

#[tokio::test]
async fn a_wait_is_counted_from_when_the_job_could_have_run() {
    let clock = Arc::new(ManualClock::default());
    let metrics = Arc::new(Metrics::new(clock.clone()));
    let due = clock.now();
    clock.advance(Duration::from_secs(7));
    metrics.observe(&Event::JobStarted { queue: "default", task: "a.b", due });
    // Another host's clock may be ahead.
    metrics.observe(&Event::JobStarted {
        queue: "default",
        task: "a.b",
        due: due.plus(Duration::from_mins(1)),
    });
    let scrape = Scrape::parse(&text(metrics, Vec::new()).await);
    assert_eq!(scrape.whole("job_wait_duration_seconds_sum", &[]), 7);
    assert_eq!(scrape.whole("job_wait_duration_seconds_count", &[]), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_is_named_and_costs_half_a_second_at_most() {
    let began = Instant::now();
    let sources: Vec<Arc<dyn Source>> =
        vec![Arc::new(Broken::Hangs), Arc::new(Gauges), Arc::new(Broken::Refuses), Arc::new(Broken::Hangs)];
    let scrape = Scrape::parse(&text(metrics(), sources).await);
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    let up = |source| scrape.whole("scrape_source_up", &[("source", source)]);
    assert_eq!((up("hangs"), up("refuses"), up("gauges")), (0, 0, 1));
    assert_eq!(scrape.count("process_open_fds", &[]), 1, "the others are there");
}

#[tokio::test]
async fn the_queue_and_the_process_tell_of_themselves() {
    let clock = Arc::new(ManualClock::default());
    let queue = Arc::new(MemoryJobQueue::new(clock));
    queue.enqueue(&[a_job().build()]).await.expect("taken");
    let sources: Vec<Arc<dyn Source>> =
        vec![Arc::new(Queues::of(queue)), Arc::new(Process), Arc::new(Runtime)];
    let scrape = Scrape::parse(&text(metrics(), sources).await);
    let ready = [("queue", "default"), ("state", "ready")];
    assert_eq!(scrape.whole("jobs_in_state", &ready), 1);
    assert_eq!(scrape.count("job_oldest_ready_age_seconds", &[]), 1);
    assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.sum("process_open_fds", &[]) > 2.0);
    assert!(scrape.sum("process_max_fds", &[]) >= scrape.sum("process_open_fds", &[]));
    assert!(scrape.sum("process_start_time_seconds", &[]) > 1.6e9);
    assert!(scrape.sum("tokio_workers", &[]) >= 1.0);
}

#[tokio::test]
async fn the_pulse_notes_how_late_a_task_wakes_that_another_one_holds_up() {
    let metrics = metrics();
    // On one thread: nothing else runs while this one sleeps.
    let held_up = async {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(300));
        tokio::task::yield_now().await;
    };
    tokio::select! {
        biased;
        () = pulse(metrics.clone()) => {}
        () = async { held_up.await; tokio::time::sleep(Duration::from_millis(150)).await } => {}
    }
    let scrape = Scrape::parse(&text(metrics, Vec::new()).await);
    let delay = "tokio_scheduling_delay_seconds";
    assert!(scrape.sum(&format!("{delay}_sum"), &[]) > 0.15, "it was due after a tenth of a second");
    let late = scrape.whole(&format!("{delay}_count"), &[])
        - scrape.whole(&format!("{delay}_bucket"), &[("le", "0.1")]);
    assert!(late >= 1);
}
