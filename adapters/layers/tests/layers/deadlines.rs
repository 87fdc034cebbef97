//! Nobody waits for ever, and nobody who asked for a wait is cut short.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::job::{Lease, Progress, TaskName, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};
use portwright_domain::ports::{CacheKey, Consistency, JobSource, Unobserved};
use portwright_layers::Layers;
use portwright_memory::MemoryJobQueue;
use portwright_testkit::ManualClock;
use portwright_testkit::builders::JobBuilder;
use portwright_testkit::faults::When;
use tokio::time::Instant;

use crate::stage::{BLACK_HOLE, POLICY, Stage, is_late_after};

/// Never answers.
struct Silent;

#[async_trait]
impl JobSource for Silent {
    async fn exchange(&self, _: &[Settlement], _: &LeaseRequest) -> Result<Exchange, PortError> {
        pending().await
    }

    async fn renew(&self, _: &WorkerId, _: Duration) -> Result<Renewal, PortError> {
        pending().await
    }

    async fn report(&self, _: &Lease, _: &Progress) -> Result<(), PortError> {
        pending().await
    }

    async fn bury(&self, _: &WorkerId) -> Result<u64, PortError> {
        pending().await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        pending().await
    }
}

/// What an idle worker asks.
pub(crate) fn want(wait: Duration) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::parse("worker").expect("a name"),
        tasks: vec![(JobBuilder::number(1).build().task, 1)],
        queues: Vec::new(),
        max: 1,
        lease: Duration::from_secs(30),
        wait,
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_never_answers_costs_its_deadline_and_no_more() {
    let (stage, limit) = (Stage::new(POLICY), POLICY.deadline);
    let key = CacheKey::parse("key").expect("a key");
    stage.flaky.cue(When::Always, BLACK_HOLE);
    is_late_after(limit, stage.cache.get(&key)).await;
    is_late_after(limit, stage.cache.put(&key, "value".into(), limit)).await;
    is_late_after(limit, stage.cache.remove(std::slice::from_ref(&key))).await;

    let unit = stage.store.begin().await.expect("it begins");
    stage.flaky_store.cue(When::Always, BLACK_HOLE);
    is_late_after(limit, stage.store.read(Consistency::Strong)).await;
    is_late_after(limit, stage.store.begin()).await;
    is_late_after(limit * 2, unit.commit()).await;

    let layers = Layers::new(Arc::new(Unobserved));
    let source = layers.job_source(Arc::new(Silent), POLICY);
    let (worker, lease) = (want(limit).worker, Duration::from_secs(30));
    is_late_after(limit, source.renew(&worker, lease)).await;
    is_late_after(limit, source.bury(&worker)).await;
    is_late_after(limit, source.reclaim()).await;
    let wait = Duration::from_secs(20);
    is_late_after(wait + limit, source.exchange(&[], &want(wait))).await;
}

#[tokio::test(start_paused = true)]
async fn waits_that_were_asked_for_are_neither_cut_short_nor_slow() {
    let queue = Arc::new(MemoryJobQueue::new(Arc::new(ManualClock::default())));
    let layers = Layers::new(Arc::new(Unobserved));
    let (caller, worker) =
        (layers.job_queue(queue.clone(), POLICY), layers.job_source(queue.clone(), POLICY));
    let job = JobBuilder::number(1).build();
    let wait = POLICY.deadline * 10;
    let another =
        LeaseRequest { tasks: vec![(TaskName::parse("works.other").expect("a name"), 1)], ..want(wait) };
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(caller.call(&job, wait).await.expect("call works"), None);
        assert_eq!(caller.outcome(job.id, wait).await.expect("outcome works"), None);
        let seen = caller.find(job.id).await.expect("find works").expect("it is known");
        caller.changed(&seen, wait).await.expect("changed works");
        assert_eq!(worker.exchange(&[], &another).await.expect("exchange works"), Exchange::default());
        assert!(began.elapsed() >= wait * 3, "{:?}", began.elapsed());
    }
    let health = layers.health().check().await;
    assert!(health.details.iter().all(|(_, state)| state == "closed"), "{health:?}");
}
