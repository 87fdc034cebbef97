//! Workers that are cut off, answers that are lost, processes that die, jobs that are cancelled: whatever happens in
//! whatever order, every job comes to exactly one end, and nobody without the right to it changes anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portwright_application::compute::Worker;
use portwright_domain::PortError;
use portwright_domain::job::{JobId, JobState, Lease, Progress, Run, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settled, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::stage::{LEASE, Stage};
use super::wire::{Fault, Wire};
use super::works::Sum;

/// Everything that was leased and settled, by whomever.
#[derive(Default)]
struct Ledger {
    /// The newest run that was leased of each job.
    runs: Mutex<HashMap<JobId, Run>>,
    /// How often each run was accepted as the last.
    finished: Mutex<HashMap<JobId, Vec<Run>>>,
}

/// A way to the queue on which everything is written down before it may be lost.
struct Watched {
    queue: Arc<dyn JobSource>,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl JobSource for Watched {
    async fn exchange(&self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange, PortError> {
        let exchange = self.queue.exchange(settle, want).await?;
        let mut finished = self.ledger.finished.lock().unwrap_or_else(PoisonError::into_inner);
        for (settlement, settled) in settle.iter().zip(&exchange.settled) {
            let Lease { job, run, .. } = settlement.lease;
            let runs = finished.entry(job).or_default();
            let is_end = matches!(settlement.verdict, Verdict::Finish(_)) && *settled == Settled::Accepted;
            // Settling again is answered again.
            if is_end && !runs.contains(&run) {
                runs.push(run);
            }
        }
        let mut runs = self.ledger.runs.lock().unwrap_or_else(PoisonError::into_inner);
        for leased in &exchange.leased {
            let Lease { job, run, .. } = leased.lease;
            let before = runs.insert(job, run);
            assert!(before.is_none_or(|before| before < run), "run {run:?} of {job} follows {before:?}");
        }
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

/// The same in every run: xorshift.
struct Dice(AtomicU64);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let mut bits = self.0.load(Ordering::Relaxed);
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.0.store(bits, Ordering::Relaxed);
        bits % limit
    }
}

/// A place where one worker process follows another.
async fn workers(stage: &Stage, ledger: &Arc<Ledger>, place: u64, dice: &Dice, end: &CancellationToken) {
    let mut life = 0;
    while !end.is_cancelled() {
        life += 1;
        let watched = Watched { queue: stage.queue.clone(), ledger: ledger.clone() };
        let wire = Wire::to(&Arc::new(watched));
        let name = format!("worker-{place}-{life}");
        let worker = stage.worker_on(wire.clone(), &name, |options| options.concurrency = 4);
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let fate = async {
            for _ in 0..=dice.below(6) {
                sleep(Duration::from_secs(dice.below(20))).await;
                wire.set(match dice.below(5) {
                    0 => Fault::Away,
                    1 => Fault::Silent,
                    2 => Fault::LoseLeases,
                    3 => Fault::Late(Duration::from_secs(dice.below(15))),
                    _ => Fault::None,
                });
                sleep(Duration::from_secs(dice.below(60))).await;
                wire.set(Fault::None);
            }
            match dice.below(3) {
                0 => soft.cancel(),
                1 => hard.cancel(),
                _ => return kill(stage, &worker).await,
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = worker.run(soft.clone(), hard.clone()) => {}
            () = fate => {}
            () = end.cancelled() => {}
        }
        // Whatever it held is found by its supervisor, or by nobody until its lease ends.
        if dice.below(2) == 0 {
            kill(stage, &worker).await;
        }
    }
}

async fn kill(stage: &Stage, worker: &Worker) {
    stage.queue.bury(&worker.options().id).await.expect("bury works");
}

async fn is_over(stage: &Stage, jobs: &[JobId]) -> bool {
    for job in jobs {
        if !stage.job(*job).await.state.is_terminal() {
            return false;
        }
    }
    true
}

async fn live_through(seed: u64) {
    let (stage, ledger, dice) = (Stage::new(), Arc::new(Ledger::default()), Dice(AtomicU64::new(seed)));
    stage.works.signals.gate.add_permits(100_000);
    let mut jobs = Vec::new();
    for number in 0..200 {
        let works = &stage.works;
        let job = match dice.below(6) {
            0 => works.hesitate_job(2).enqueue().await,
            1 => works.linger_on_job(Duration::from_secs(dice.below(9))).enqueue().await,
            2 => works.pass_job().after(Duration::from_secs(dice.below(200))).enqueue().await,
            3 => works.refuse_job("no".to_owned()).priority(9).enqueue().await,
            4 => works.nap_job(Duration::from_secs(dice.below(50))).enqueue().await,
            _ => works.add_job(Sum::of(&[number])).enqueue().await,
        };
        jobs.push(job.expect("it is taken"));
    }
    let end = CancellationToken::new();
    let reaping = async {
        while !end.is_cancelled() {
            sleep(Duration::from_secs(1)).await;
            stage.queue.reclaim().await.expect("reclaim works");
        }
    };
    let watching = async {
        // A lost lease, a crash alone and a late start all together take much less than this.
        for _ in 0..6_000 {
            sleep(Duration::from_secs(10)).await;
            if dice.below(4) == 0 {
                let job = jobs[usize::try_from(dice.below(200)).expect("small")];
                stage.queue.cancel(job).await.expect("cancel works");
            }
            if is_over(&stage, &jobs).await {
                break;
            }
        }
        end.cancel();
    };
    let places = (0..3).map(|place| workers(&stage, &ledger, place, &dice, &end));
    tokio::join!(reaping, watching, futures::future::join_all(places));

    let finished = ledger.finished.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for job in jobs {
        let record = stage.job(job).await;
        assert!(record.state.is_terminal(), "seed {seed}: {job} is {:?}", record.state);
        let ends = finished.get(&job).map_or(0, Vec::len);
        assert!(ends <= 1, "seed {seed}: {job} was finished {ends} times");
        if matches!(record.state, JobState::Succeeded | JobState::Failed) {
            assert_eq!(ends, 1, "seed {seed}: {job} ended and nobody said so");
        }
    }
    assert_eq!(stage.queue.reclaim().await.expect("reclaim works"), 0);
    sleep(LEASE).await;
}

#[tokio::test(start_paused = true)]
async fn every_job_comes_to_exactly_one_end_whatever_happens() {
    for seed in 1..=8 {
        live_through(seed * 0x9e37_79b9).await;
    }
}
