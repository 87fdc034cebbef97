//! The right to run a job: how a worker keeps it, loses it, and is told that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use portwright_application::compute::Worker;
use portwright_application::compute::worker::{Ending, Tally};
use portwright_domain::PortError;
use portwright_domain::job::{JobId, JobState, Lease, Progress, TaskName, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settlement};
use portwright_domain::ports::{Event, JobQueue, JobSource};
use portwright_memory::MemoryJobQueue;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::stage::{LEASE, Stage};
use super::wire::{Fault, Wire};
use super::works::Sum;

const SECOND: Duration = Duration::from_secs(1);

/// Does this while the worker runs; returns once the worker has ended.
pub(super) async fn during<T>(worker: &Worker, work: impl Future<Output = T>) -> T {
    let (stop, hard) = (CancellationToken::new(), CancellationToken::new());
    let (answer, ending) = tokio::join!(
        async {
            let answer = work.await;
            stop.cancel();
            answer
        },
        worker.run(stop.clone(), hard)
    );
    assert_eq!(ending, Ending::Drained);
    answer
}

/// Returns once the job stands there, which it has to within an hour.
pub(super) async fn until(stage: &Stage, job: JobId, wanted: JobState) {
    let end = Instant::now() + Duration::from_hours(1);
    loop {
        let found = stage.job(job).await.state;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < end, "the job is {found:?}, not {wanted:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn enqueue_pass(stage: &Stage) -> JobId {
    stage.works.pass_job().enqueue().await.expect("it is taken")
}

fn over_wire(stage: &Stage) -> (Arc<Wire>, Worker) {
    let wire = Wire::to(&stage.queue);
    (wire.clone(), stage.worker_on(wire, "one", |_| {}))
}

#[tokio::test(start_paused = true)]
async fn a_worker_keeps_its_lease_for_as_long_as_its_jobs_run() {
    let stage = Stage::new();
    let job = stage.works.linger_on_job(Duration::ZERO).enqueue().await.expect("it is taken");
    let worker = stage.worker("one");
    during(&worker, async {
        for _ in 0..25 {
            sleep(LEASE / 3).await;
            assert_eq!(stage.queue.reclaim().await.expect("reclaim works"), 0);
        }
        assert_eq!(stage.job(job).await.state, JobState::Running);
        stage.queue.cancel(job).await.expect("cancel works");
    })
    .await;
    assert_eq!(stage.job(job).await.state, JobState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_keeps_its_lease_too() {
    let stage = Stage::new();
    let worker = stage.worker("one");
    during(&worker, async {
        sleep(LEASE * 5).await;
        let job = stage.works.add_job(Sum::of(&[1])).enqueue().await.expect("it is taken");
        sleep(SECOND).await;
        assert_eq!(stage.job(job).await.state, JobState::Succeeded);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_running_job_that_is_cancelled_ends_within_a_second_or_so() {
    let stage = Stage::new();
    let polite = stage.works.linger_on_job(Duration::from_millis(10)).enqueue().await.expect("it is taken");
    let deaf = enqueue_pass(&stage).await;
    let worker = stage.worker("one");
    during(&worker, async {
        stage.works.signals.until_begun(2).await;
        for job in [polite, deaf] {
            let cancelled_at = Instant::now();
            stage.queue.cancel(job).await.expect("cancel works");
            until(&stage, job, JobState::Cancelled).await;
            assert!(cancelled_at.elapsed() < SECOND * 2, "{:?}", cancelled_at.elapsed());
        }
    })
    .await;
    assert_eq!(stage.works.signals.at_once.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_stops_before_its_lease_ends() {
    for fault in [Fault::Away, Fault::Silent] {
        let stage = Stage::new();
        let (wire, worker) = over_wire(&stage);
        let job = stage.works.linger_on_job(Duration::ZERO).enqueue().await.expect("it is taken");
        during(&worker, async {
            stage.works.signals.until_begun(1).await;
            wire.set(fault);
            sleep(LEASE / 2).await;
            assert_eq!(stage.works.signals.at_once.load(Ordering::SeqCst), 1, "it may come back in time");
            sleep(LEASE / 6 + SECOND).await;
            assert_eq!(stage.works.signals.at_once.load(Ordering::SeqCst), 0);
            assert_eq!(stage.job(job).await.state, JobState::Running, "its lease has not ended");
            wire.set(Fault::None);
            stage.works.signals.until_begun(2).await;
            let attempts = stage.job(job).await.attempts;
            assert_eq!(attempts, 1, "being cut off does not count");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_the_queue_is_away_is_settled_when_it_is_back() {
    let stage = Stage::new();
    let (wire, worker) = over_wire(&stage);
    let job = enqueue_pass(&stage).await;
    during(&worker, async {
        stage.works.signals.until_begun(1).await;
        wire.set(Fault::Away);
        stage.works.signals.gate.add_permits(1);
        sleep(LEASE / 2).await;
        assert_eq!(stage.job(job).await.state, JobState::Running);
        wire.set(Fault::None);
        sleep(SECOND * 2).await;
        assert_eq!(stage.job(job).await.state, JobState::Succeeded);
    })
    .await;
    assert_eq!(stage.works.signals.begun(), 1);
    assert_eq!(worker.tally(), Tally { running: 0, settled: 1, lost: 0 });
}

#[tokio::test(start_paused = true)]
async fn what_ends_under_a_lost_lease_changes_nothing_and_the_worker_lives_on() {
    let stage = Stage::new();
    let (wire, zombie) = over_wire(&stage);
    let job = enqueue_pass(&stage).await;
    during(&zombie, async {
        stage.works.signals.until_begun(1).await;
        wire.set(Fault::Silent);
        stage.works.signals.gate.add_permits(1);
        let mut lost = 0;
        for _ in 0..LEASE.as_secs() {
            sleep(SECOND).await;
            lost += stage.queue.reclaim().await.expect("reclaim works");
        }
        assert_eq!(lost, 1);
        let other = stage.worker("two");
        during(&other, async {
            stage.works.signals.until_begun(2).await;
            wire.set(Fault::None);
            sleep(LEASE / 2).await;
            assert_eq!(zombie.tally(), Tally { running: 0, settled: 0, lost: 1 });
            assert_eq!(stage.events.count(&Event::LeaseLost { task: "works.pass" }), 1);
            assert_eq!(stage.job(job).await.state, JobState::Running, "the other one has it");
            stage.works.signals.gate.add_permits(1);
            until(&stage, job, JobState::Succeeded).await;
        })
        .await;
        let next = stage.works.add_job(Sum::of(&[1])).enqueue().await.expect("it is taken");
        until(&stage, next, JobState::Succeeded).await;
    })
    .await;
    assert_eq!(zombie.tally(), Tally { running: 0, settled: 1, lost: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_lease_never_arrived_is_handed_back() {
    let stage = Stage::new();
    let (wire, worker) = over_wire(&stage);
    wire.set(Fault::LoseLeases);
    let job = stage.works.add_job(Sum::of(&[1])).enqueue().await.expect("it is taken");
    during(&worker, async {
        sleep(SECOND).await;
        assert_eq!(stage.job(job).await.state, JobState::Running, "the queue believes so");
        sleep(LEASE).await;
        assert_eq!(stage.job(job).await.state, JobState::Succeeded);
    })
    .await;
    assert_eq!((stage.works.signals.begun(), stage.job(job).await.attempts), (1, 1));
    assert_eq!(stage.queue.reclaim().await.expect("reclaim works"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_lease_arrives_too_late_is_not_begun() {
    let stage = Stage::new();
    let wire = Wire::to(&stage.queue);
    let worker = stage.worker_on(wire.clone(), "one", |options| options.lease = SECOND * 3);
    wire.set(Fault::Late(SECOND * 4));
    let job = stage.works.add_job(Sum::of(&[1])).enqueue().await.expect("it is taken");
    during(&worker, async {
        sleep(SECOND).await;
        let queue = stage.job(job).await.spec.queue;
        stage.queue.set_paused(&queue, true).await.expect("pausing works");
        sleep(SECOND * 5).await;
        assert_eq!((stage.works.signals.begun(), stage.job(job).await.state), (0, JobState::Ready));
        stage.queue.set_paused(&queue, false).await.expect("resuming works");
        until(&stage, job, JobState::Succeeded).await;
    })
    .await;
}

/// Sees to it that no more jobs are asked for than there are places, whatever has not been answered yet.
struct Places {
    queue: Arc<MemoryJobQueue>,
    free: AtomicU32,
}

impl Places {
    fn add(&self, places: usize) {
        self.free.fetch_add(u32::try_from(places).expect("few"), Ordering::SeqCst);
    }
}

#[async_trait]
impl JobSource for Places {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        self.add(settle.len());
        let free = self.free.fetch_sub(want.max, Ordering::SeqCst);
        assert!(free >= want.max, "{} places are asked for where {free} are free", want.max);
        let exchange = self.queue.exchange(settle, want).await?;
        self.add(want.max as usize - exchange.leased.len());
        Ok(exchange)
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Renewal, PortError> {
        self.queue.renew(worker, lease).await
    }

    async fn report(&self, lease: &Lease, progress: &Progress) -> Result<(), PortError> {
        self.queue.report(lease, progress).await
    }

    async fn bury(&self, worker: &WorkerId) -> Result<u64, PortError> {
        self.queue.bury(worker).await
    }

    async fn reclaim(&self) -> Result<u64, PortError> {
        self.queue.reclaim().await
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_jobs_run_than_there_are_places() {
    let stage = Stage::new();
    for _ in 0..40 {
        enqueue_pass(&stage).await;
    }
    let counter = Arc::new(Places { queue: stage.queue.clone(), free: AtomicU32::new(3) });
    let worker = stage.worker_on(counter, "one", |options| options.concurrency = 3);
    during(&worker, async {
        for settled in 1..=40 {
            stage.works.signals.until_begun((settled + 2).min(40)).await;
            sleep(Duration::from_millis(50)).await;
            assert!(worker.tally().running <= 3);
            stage.works.signals.gate.add_permits(1);
        }
        while worker.tally().settled < 40 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(stage.works.signals.most_at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_may_have_killed_a_worker_run_alone() {
    let stage = Stage::new();
    for _ in 0..3 {
        enqueue_pass(&stage).await;
    }
    let ghost = WorkerId::parse("ghost").expect("a valid name");
    let want = LeaseRequest {
        worker: ghost.clone(),
        tasks: vec![(TaskName::parse("works.pass").expect("a valid name"), 1)],
        queues: Vec::new(),
        max: 3,
        lease: LEASE,
        wait: Duration::ZERO,
    };
    assert_eq!(stage.queue.exchange(&[], &want).await.expect("exchange works").leased.len(), 3);
    assert_eq!(stage.queue.bury(&ghost).await.expect("bury works"), 3);
    stage.works.signals.gate.add_permits(3);
    assert_eq!(stage.drain().await, 3);
    assert_eq!(stage.works.signals.most_at_once.load(Ordering::SeqCst), 1);
}
