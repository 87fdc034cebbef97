//! Many kills at moments that nobody chose: no job is lost or stuck, and none dies of what happened to its worker.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{CauseOfDeath, JobId, Outcome};
use portwright_domain::ports::JobQueue;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Jobs, children, ready_workers};
use crate::durability::Random;
use crate::place::Place;
use crate::server::{Server, send};

/// Each of the workers may be started ten times a minute.
const KILLS: usize = 36;
const WORKERS: usize = 4;
const PRODUCERS: usize = 40;
const JOBS_EACH: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_or_stuck_however_often_workers_are_killed() {
    let mut random = Random::seeded();
    let place = Place::empty();
    let mut command = place.server_with_workers(WORKERS, WORKERS);
    let server = Server::start(&mut command).await;
    ready_workers(&server, WORKERS).await;
    let jobs = Arc::new(Jobs::at(&place));
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        producers.spawn(produce(jobs.clone()));
    }

    let mut killed = 0;
    while killed < KILLS {
        sleep(Duration::from_millis(50 + random.next() % 200)).await;
        let workers = children(server.pid());
        if let Some(victim) = workers.get(usize::try_from(random.next() % 4).expect("small")) {
            send(*victim, Signal::KILL);
            killed += 1;
        }
    }

    for id in producers.join_all().await.concat() {
        let outcome = jobs.queue.outcome(id, Duration::from_secs(50)).await.expect("an answer");
        match outcome {
            Some(Outcome::Succeeded(_)) => {}
            // Three kills that hit it while it ran alone look like its own doing.
            Some(Outcome::Dead(death)) if death.cause == CauseOfDeath::Crashed => {
                let of_job = |step: &str| {
                    let name = id.to_string();
                    jobs.trace("all").iter().filter(|it| it.job == name && it.step == step).count()
                };
                assert!(of_job("begin") > 3, "{id} was dead too soon: {death:?}");
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

async fn produce(jobs: Arc<Jobs>) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..JOBS_EACH {
        ids.push(jobs.take_time("all", Duration::from_millis(20)).await);
    }
    ids
}
