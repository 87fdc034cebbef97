//! Leases when somebody sets the clock of Redis, or a failover leads to a machine with another: nothing is stuck, nothing
//! is accepted twice.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod invariants;

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{Lease, LeasedJob, Outcome, Unwatched, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Limits, Settled, Settlement, Verdict};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::ManualClock;
use portwright_testkit::builders::jobs;
use portwright_testkit::servers::Redis;

const JUMPS: [Duration; 2] = [Duration::from_hours(1), Duration::from_hours(24)];
const LEASE: Duration = Duration::from_secs(30);
/// How often somebody looks for dead workers.
const LOOK: Duration = Duration::from_secs(1);

struct Scene {
    /// What the server goes by.
    clock: Arc<ManualClock>,
    queue: RedisJobQueue,
    server: Redis,
}

impl Scene {
    /// Two jobs wait, and somebody looks for dead workers.
    async fn new() -> Self {
        let server = Redis::new();
        let clock = Arc::new(ManualClock::default());
        let config = RedisConfig::at([server.url()]).expect("a URL");
        let queue = RedisJobQueue::init_with_clock(&config, Limits::default(), clock.clone()).await;
        let scene = Self { clock, queue: queue.expect("a queue"), server };
        scene.queue.enqueue(&jobs(2)).await.expect("enqueue works");
        assert_eq!(scene.look().await, 0);
        scene
    }

    async fn look(&self) -> u64 {
        self.queue.reclaim().await.expect("reclaim works")
    }

    async fn lease(&self, worker: &str) -> Vec<LeasedJob> {
        self.exchange(&[], worker, 1).await.leased
    }

    async fn finish(&self, lease: &Lease) -> Settled {
        let verdict = Verdict::Finish(Outcome::Cancelled);
        let settlement = Settlement { lease: lease.clone(), verdict };
        self.exchange(&[settlement], lease.worker.as_str(), 0).await.settled[0]
    }

    async fn exchange(&self, settle: &[Settlement], worker: &str, max: u32) -> Exchange {
        let want = LeaseRequest {
            worker: WorkerId::parse(worker).expect("a name"),
            tasks: vec![(jobs(1)[0].task.clone(), 1)],
            queues: Vec::new(),
            max,
            lease: LEASE,
            wait: Duration::ZERO,
        };
        self.queue.exchange(settle, &want).await.expect("exchange works")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_worker_loses_its_jobs_in_time_although_the_clock_was_set_back() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        scene.lease("dead").await;
        let alive = scene.lease("alive").await.remove(0).lease;
        scene.clock.advance(LOOK);
        assert_eq!(scene.look().await, 0);
        scene.clock.set(scene.clock.now().minus(jump));
        // It renews before anybody has looked by the new time.
        let renewed = async || {
            let renewed = scene.queue.renew(&alive.worker, LEASE).await.expect("renew works");
            assert_eq!(renewed.held.len(), 1, "who lives keeps its own");
        };
        renewed().await;
        let mut waited = Duration::ZERO;
        while scene.look().await == 0 {
            assert!(waited <= LEASE + LOOK, "its lease does not end");
            waited += LOOK;
            scene.clock.advance(LOOK);
            renewed().await;
        }
        assert!(waited + LOOK + LOOK >= LEASE, "its lease ended after {waited:?}");
        assert_eq!(scene.lease("next").await[0].lease.job, jobs(1)[0].id);
        assert_eq!(scene.finish(&alive).await, Settled::Accepted);
        invariants::hold(&scene.server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_takes_no_job_from_who_lives() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        let lease = scene.lease("one").await.remove(0).lease;
        scene.clock.advance(jump);
        for _ in 0..60 {
            assert_eq!(scene.look().await, 0);
            let held = scene.queue.renew(&lease.worker, LEASE).await.expect("renew works").held;
            assert_eq!(held, std::slice::from_ref(&lease));
            scene.clock.advance(LOOK);
        }
        assert_eq!(scene.finish(&lease).await, Settled::Accepted);
        invariants::hold(&scene.server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_gives_a_running_job_away_once_and_fences_who_had_it() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        let first = scene.lease("one").await.remove(0).lease;
        scene.clock.advance(jump);
        let mut waited = Duration::ZERO;
        while scene.look().await == 0 {
            assert!(waited < Unwatched::GRACE, "its lease does not end");
            waited += LOOK;
            scene.clock.advance(LOOK);
        }
        assert_eq!(scene.look().await, 0);
        let second = scene.lease("two").await.remove(0).lease;
        assert_eq!(second.job, first.job);
        assert!(second.run > first.run);
        let held = scene.queue.renew(&first.worker, LEASE).await.expect("renew works").held;
        assert_eq!(held, [], "it is told");
        assert_eq!(scene.finish(&first).await, Settled::LeaseLost);
        assert_eq!(scene.finish(&second).await, Settled::Accepted);
        invariants::hold(&scene.server);
    }
}
