//! Jobs, how they are enqueued through any trouble, and what a worker does with them.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{Lease, LeasedJob, NewJob, Outcome, WorkerId};
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Settled, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_domain::{ErrorKind, PortError};
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::builders::{JobBuilder, a_job};
use tokio::time::{Instant, sleep, timeout};

/// How soon the queue works again once its server does.
pub(crate) const SOON: Duration = Duration::from_secs(2);
/// How often a worker asks what it holds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_mins(1);

pub(crate) async fn queue_at(urls: &[String]) -> Arc<RedisJobQueue> {
    let config = RedisConfig::at(urls).expect("URLs");
    Arc::new(RedisJobQueue::init(&config, Limits::default()).await.expect("a queue"))
}

pub(crate) fn job(number: u32) -> NewJob {
    JobBuilder::number(number).build()
}

/// Enqueues until it is acknowledged.
pub(crate) async fn enqueue_stubbornly(queue: &RedisJobQueue, jobs: &[NewJob]) {
    while let Err(refused) = queue.enqueue(jobs).await {
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A worker of this name, which knows the task of [`a_job`].
pub(crate) fn want(name: &str, max: u32, lease: Duration, wait: Duration) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::parse(name).expect("a name"),
        tasks: vec![(a_job().build().task, 1)],
        queues: Vec::new(),
        max,
        lease,
        wait,
    }
}

/// The job is done, and its result says by which of its runs.
pub(crate) fn done(leased: LeasedJob) -> Settlement {
    let run = leased.lease.run.0.to_be_bytes();
    Settlement { lease: leased.lease, verdict: Verdict::Finish(Outcome::Succeeded(run.to_vec().into())) }
}

/// Works until it is dropped, as a worker does: what could not be settled is settled again, and what was leased with an
/// answer that was lost is handed back.
pub(crate) async fn work(
    queue: Arc<RedisJobQueue>,
    name: &str,
    lease: Duration,
    settled: impl Fn(&Lease, Settled),
) {
    let want = want(name, 8, lease, Duration::from_millis(500));
    let (mut settle, mut looked): (Vec<Settlement>, _) = (Vec::new(), Instant::now());
    loop {
        // An answer may be lost long before its question arrives.
        if looked.elapsed() > LOOK_EVERY && hand_back_unknown(&queue, &settle, &want).await.is_ok() {
            looked = Instant::now();
        }
        match queue.exchange(&settle, &want).await {
            Ok(exchange) => {
                for (settlement, answer) in settle.iter().zip(exchange.settled) {
                    settled(&settlement.lease, answer);
                }
                settle = exchange.leased.into_iter().map(done).collect();
            }
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
                while hand_back_unknown(&queue, &settle, &want).await.is_err() {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

/// Hands back what this worker holds and has never heard of.
async fn hand_back_unknown(
    queue: &RedisJobQueue,
    known: &[Settlement],
    want: &LeaseRequest,
) -> Result<(), PortError> {
    let held = queue.renew(&want.worker, want.lease).await?.held;
    let lost = held.into_iter().filter(|held| known.iter().all(|known| known.lease != *held));
    let release = |lease| Settlement { lease, verdict: Verdict::Release };
    let lost: Vec<_> = lost.map(release).collect();
    let only_settle = LeaseRequest { max: 0, wait: Duration::ZERO, ..want.clone() };
    queue.exchange(&lost, &only_settle).await.map(drop)
}

/// A job goes through the queue within this time from now, before all others.
pub(crate) async fn works_within(queue: &RedisJobQueue, number: u32, within: Duration) {
    let begun = Instant::now();
    let urgent = JobBuilder::number(number).with_priority(15).build();
    let passes = async {
        enqueue_stubbornly(queue, std::slice::from_ref(&urgent)).await;
        while !matches!(queue.outcome(urgent.id, LONG).await, Ok(Some(_))) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(within, passes).await.unwrap_or_else(|_| panic!("still nothing after {:?}", begun.elapsed()));
}
