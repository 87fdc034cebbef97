//! Calls whose callers wait for the result, while the workers that run them are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portwright_application::compute::ComputeError;
use portwright_domain::job::CauseOfDeath;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Jobs;
use super::crew::Crew;
use crate::durability::Random;
use crate::place::Place;
use crate::size::sized;
use crate::works::{WorkError, right_answer};

const CALLERS: usize = 64;
const WAIT: Duration = Duration::from_secs(10);
/// What a busy machine takes to say that the wait is over.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Tally {
    answered: u64,
    unfinished: u64,
    dead: u64,
    longest: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_gets_the_right_answer_or_an_error_in_time_while_workers_are_killed() {
    let mut random = Random::seeded();
    let calls = u64::try_from(sized(10_000, 100_000)).expect("not that many");
    let place = Place::empty();
    let mut crew = Crew::gather(&place).await;
    let (jobs, next) = (Arc::new(Jobs::at(&place)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(jobs.clone(), next.clone(), calls));
    }
    let mut kills = 0;
    while next.load(Ordering::Relaxed) < calls {
        sleep(Duration::from_millis(random.within(50..500))).await;
        crew.lose_one(&mut random);
        kills += 1;
    }

    let mut all = Tally::default();
    for tally in callers.join_all().await {
        all.answered += tally.answered;
        all.unfinished += tally.unfinished;
        all.dead += tally.dead;
        all.longest = all.longest.max(tally.longest);
    }
    let Tally { answered, unfinished, dead, longest } = all;
    println!(
        "{calls} calls, {kills} kills: {answered} answered, {unfinished} unfinished, {dead} dead; the longest took \
         {longest:?}"
    );
    assert_eq!(answered + unfinished + dead, calls);
    // A call is late only where kills came again and again to its job.
    assert!(answered * 1_000 >= calls * 999, "only {answered} of {calls} were answered");
    assert_eq!(crew.server.stop().await.code, Some(0));
}

async fn call(jobs: Arc<Jobs>, next: Arc<AtomicU64>, calls: u64) -> Tally {
    let mut tally = Tally::default();
    loop {
        let question = next.fetch_add(1, Ordering::Relaxed);
        if question >= calls {
            return tally;
        }
        let asked = Instant::now();
        match jobs.works.answer_job(question).wait(WAIT).await {
            Ok(answer) => {
                assert_eq!(answer, right_answer(question), "a wrong answer to {question}");
                tally.answered += 1;
            }
            Err(WorkError::Compute(ComputeError::Unfinished { .. })) => tally.unfinished += 1,
            // Three kills that hit it while it ran alone look like its own doing.
            Err(WorkError::Compute(ComputeError::Dead { cause: CauseOfDeath::Crashed, .. })) => {
                tally.dead += 1;
            }
            Err(error) => panic!("{question}: {error:?}"),
        }
        let took = asked.elapsed();
        assert!(took <= WAIT + SLACK, "{question} took {took:?}");
        tally.longest = tally.longest.max(took);
    }
}
