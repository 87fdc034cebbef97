//! Primes: what the task answers through a worker, and that it stops.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;

use portwright_application::Primes;
use portwright_application::compute::{Worker, WorkerOptions};
use portwright_application::primes::{PrimesError, PrimesFound, PrimesQuery};
use portwright_domain::job::{JobId, JobState, Progress, WorkerId};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::Cancelled;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Runs jobs until the work is done, which is its result.
async fn with_worker<T>(world: &World, work: impl Future<Output = T>) -> T {
    let options = WorkerOptions::new(WorkerId::parse("primes").expect("a valid name"));
    let tasks = Arc::new(portwright_application::task_registry(&world.services));
    let worker = Worker::new(world.queue.clone(), tasks, world.events.clone(), options);
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let stop = soft.clone();
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    tokio::join!(worker.run(soft, hard), work).1
}

async fn until_progress(world: &World, job: JobId) -> Progress {
    for _ in 0..20_000 {
        let found = world.queue.find(job).await.expect("find works");
        if let Some(found) = found.filter(|job| job.progress.done > 0) {
            return found.progress;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not say how far it is");
}

#[tokio::test]
async fn a_worker_finds_them() {
    let world = World::new();
    let primes: &Primes = &world.services.primes;
    let call = primes.count_job(PrimesQuery { below: 1_000_000 });
    let job = call.id();
    let found = with_worker(&world, call.into_future()).await;
    assert_eq!(found, Ok(PrimesFound { count: 78_498, largest: Some(999_983) }));
    let job = world.queue.find(job).await.expect("find works").expect("it is known");
    let whole = Progress { done: 1_000_000, total: Some(1_000_000), message: None };
    assert_eq!((job.state, job.progress), (JobState::Succeeded, whole));
}

#[tokio::test]
async fn there_are_none_below_two() {
    let world = World::new();
    for below in [0, 1, 2] {
        let found = with_worker(&world, world.services.primes.count(PrimesQuery { below })).await;
        assert_eq!(found, Ok(PrimesFound { count: 0, largest: None }), "{below}");
    }
}

#[tokio::test]
async fn what_would_take_too_long_is_refused() {
    let world = World::new();
    let query = PrimesQuery { below: PrimesQuery::MOST + 1 };
    let refused = with_worker(&world, world.services.primes.count(query)).await;
    assert_eq!(refused, Err(PrimesError::TooLarge { most: PrimesQuery::MOST }));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_its_job_is_cancelled() {
    let world = World::new();
    let call = world.services.primes.count_job(PrimesQuery { below: PrimesQuery::MOST });
    let job = call.id();
    let cancelled = async {
        let progress = until_progress(&world, job).await;
        assert_eq!(progress.total, Some(PrimesQuery::MOST));
        world.queue.cancel(job).await.expect("cancel works")
    };
    let (answer, cancelled) =
        with_worker(&world, async { tokio::join!(call.wait(Duration::from_secs(50)), cancelled) }).await;
    assert_eq!(cancelled, Cancelled::Requested);
    assert!(matches!(answer, Err(PrimesError::Compute(_))), "{answer:?}");
    let job = world.queue.find(job).await.expect("find works").expect("it is known");
    assert_eq!(job.state, JobState::Cancelled);
}
