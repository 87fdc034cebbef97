//! Leases when somebody sets the clock: nothing is stuck, nothing is accepted twice.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{Lease, LeasedJob, Outcome, Unwatched, WorkerId};
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Settled, Settlement, Verdict};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use portwright_testkit::ManualClock;
use portwright_testkit::builders::jobs;
use tempfile::TempDir;
use tokio::time::timeout;

const JUMPS: [Duration; 2] = [Duration::from_hours(1), Duration::from_hours(24)];
/// How often somebody looks for dead workers.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

struct Scene {
    clock: Arc<ManualClock>,
    queue: SqliteJobQueue,
    _folder: TempDir,
}

impl Scene {
    /// Two jobs wait, and somebody looks for dead workers.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::default());
        let config = SqliteConfig::at(folder.path().join("queue.db"));
        let queue = SqliteJobQueue::init(&config, Limits::default(), clock.clone()).await.expect("a queue");
        queue.enqueue(&jobs(2)).await.expect("enqueue works");
        queue.reclaim().await.expect("reclaim works");
        Self { clock, queue, _folder: folder }
    }

    async fn lease(&self, worker: &str, lease: Duration) -> Vec<LeasedJob> {
        self.exchange(&[], worker, 1, lease).await.1
    }

    async fn finish(&self, lease: &Lease) -> Settled {
        let verdict = Verdict::Finish(Outcome::Cancelled);
        let settlement = Settlement { lease: lease.clone(), verdict };
        self.exchange(&[settlement], lease.worker.as_str(), 0, PATIENCE).await.0[0]
    }

    async fn exchange(
        &self,
        settle: &[Settlement],
        worker: &str,
        max: u32,
        lease: Duration,
    ) -> (Vec<Settled>, Vec<LeasedJob>) {
        let want = LeaseRequest {
            worker: WorkerId::parse(worker).expect("a name"),
            tasks: vec![(jobs(1)[0].task.clone(), 1)],
            queues: Vec::new(),
            max,
            lease,
            wait: Duration::ZERO,
        };
        let exchange = self.queue.exchange(settle, &want).await.expect("exchange works");
        (exchange.settled, exchange.leased)
    }
}

#[tokio::test]
async fn a_dead_worker_loses_its_jobs_in_time_although_the_clock_was_set_back() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        let lease = Duration::from_millis(200);
        scene.lease("dead", lease).await;
        scene.lease("alive", PATIENCE * 6).await;
        scene.clock.set(scene.clock.now().minus(jump));
        let reclaimed = async {
            while scene.queue.reclaim().await.expect("reclaim works") == 0 {
                tokio::time::sleep(lease / 20).await;
            }
        };
        timeout(PATIENCE, reclaimed).await.expect("its lease ends");
        assert_eq!(scene.lease("next", PATIENCE).await[0].lease.job, jobs(1)[0].id);
        assert!(scene.lease("other", PATIENCE).await.is_empty(), "who lives keeps its own");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_takes_no_job_from_who_lives() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        let lease = scene.lease("one", PATIENCE).await.remove(0).lease;
        scene.clock.advance(jump);
        for _ in 0..30 {
            assert_eq!(scene.queue.reclaim().await.expect("reclaim works"), 0);
            let held = scene.queue.renew(&lease.worker, PATIENCE).await.expect("renew works").held;
            assert_eq!(held, std::slice::from_ref(&lease));
            scene.clock.advance(LOOK);
        }
        assert_eq!(scene.finish(&lease).await, Settled::Accepted);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_gives_a_running_job_away_once_and_fences_who_had_it() {
    for jump in JUMPS {
        let scene = Scene::new().await;
        let first = scene.lease("one", PATIENCE).await.remove(0).lease;
        scene.clock.advance(jump);
        let mut waited = Duration::ZERO;
        while scene.queue.reclaim().await.expect("reclaim works") == 0 {
            assert!(waited < Unwatched::GRACE, "its lease does not end");
            waited += LOOK;
            scene.clock.advance(LOOK);
        }
        assert_eq!(scene.queue.reclaim().await.expect("reclaim works"), 0);
        let second = scene.lease("two", PATIENCE).await.remove(0).lease;
        assert_eq!(second.job, first.job);
        assert!(second.run > first.run);
        let held = scene.queue.renew(&first.worker, PATIENCE).await.expect("renew works").held;
        assert_eq!(held, [], "it is told");
        assert_eq!(scene.finish(&first).await, Settled::LeaseLost);
        assert_eq!(scene.finish(&second).await, Settled::Accepted);
    }
}
