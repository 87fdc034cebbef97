//! Many kills at moments that nobody chose: no job is lost, stuck, late or accepted twice, and none dies of what happened to
//! its worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::{JobId, Outcome};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::crew::{Crew, Kill};
use super::{Jobs, Trace};
use crate::durability::Random;
use crate::place::Place;
use crate::size::sized;

const MANY: usize = 200;
const JOBS_FOR_EACH_KILL: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_stuck_late_or_accepted_twice_however_often_workers_are_killed() {
    let mut random = Random::seeded();
    let place = Place::empty();
    let mut crew = Crew::gather(&place).await;
    let jobs = Arc::new(Jobs::at(&place));
    // Those who wait take up the places of a connection.
    let waiting = Arc::new(Jobs::at(&place));
    let (mut kills, mut ids, mut telling) = (Vec::new(), Vec::new(), JoinSet::new());
    for _ in 0..sized(40, MANY) {
        let taken = take_jobs(&jobs, &mut random).await;
        // Whoever waits hears of the first end that is accepted.
        let (waiting, waited_for) = (waiting.clone(), taken.clone());
        telling.spawn(async move { waiting.ends_of(&waited_for).await });
        ids.extend(taken);
        sleep(Duration::from_millis(random.within(50..300))).await;
        kills.push(crew.lose_one(&mut random));
    }

    let told: BTreeMap<JobId, Outcome> = telling.join_all().await.into_iter().flatten().collect();
    assert_eq!(told.len(), ids.len());
    jobs.expect_rest().await;
    assert!(jobs.ends_of(&ids).await == told, "an end was followed by another");

    jobs.expect_success(&told);
    let traces = jobs.trace("all");
    let history = History::of(&traces);
    for (id, outcome) in &told {
        history.expect_accepted_last(*id, outcome);
    }
    let Interrupted { midway, at_the_end, longest } = history.interrupted(&kills);
    let before_the_beginning = history.never_begun();
    println!(
        "{} jobs, {} kills: interrupted {before_the_beginning} runs before they began, {midway} midway, {at_the_end} \
         before their end was accepted; run again after {longest:?} at most",
        ids.len(),
        kills.len(),
    );
    // With fewer kills, it is luck which phases they meet.
    assert!(
        midway > 0 && (kills.len() < MANY || before_the_beginning.min(at_the_end) > 0),
        "a phase was spared"
    );
    let ended = crew.server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

async fn take_jobs(jobs: &Arc<Jobs>, random: &mut Random) -> Vec<JobId> {
    let mut taking = JoinSet::new();
    for _ in 0..JOBS_FOR_EACH_KILL {
        let (jobs, time) = (jobs.clone(), Duration::from_millis(random.within(0..60)));
        taking.spawn(async move { jobs.take_time("all", time).await });
    }
    taking.join_all().await
}

/// The runs of all jobs, by their numbers.
struct History<'a>(BTreeMap<&'a str, BTreeMap<u64, Run<'a>>>);

#[derive(Default)]
struct Run<'a> {
    begin: Option<&'a Trace>,
    ended: bool,
}

/// Runs that kills interrupted.
struct Interrupted {
    midway: usize,
    at_the_end: usize,
    /// How long it took at most until one of their jobs ran again.
    longest: BTreeMap<Duration, Duration>,
}

impl<'a> History<'a> {
    fn of(traces: &'a [Trace]) -> Self {
        let mut jobs = BTreeMap::<&str, BTreeMap<u64, Run<'_>>>::new();
        for trace in traces {
            let run = jobs.entry(&trace.job).or_default().entry(trace.run).or_default();
            match trace.step.as_str() {
                "begin" => run.begin = Some(trace),
                step => run.ended = step == "end",
            }
        }
        Self(jobs)
    }

    /// What is accepted is of the last run, which has ended: no earlier one was still taken when that began.
    fn expect_accepted_last(&self, id: JobId, outcome: &Outcome) {
        if let Outcome::Succeeded(result) = outcome {
            let (last, run) = self.0[id.to_string().as_str()].last_key_value().expect("a run");
            assert_eq!(result, last.to_string().as_str(), "{id}");
            assert!(run.ended, "{id} has a result of nothing");
        }
    }

    /// Runs that were leased and left no trace before another one did.
    fn never_begun(&self) -> usize {
        let skipped = |runs: &BTreeMap<u64, Run<'_>>| {
            let last = runs.last_key_value().map_or(0, |(last, _)| usize::try_from(*last).expect("few"));
            last - runs.len()
        };
        self.0.values().map(skipped).sum()
    }

    /// Panics if the job of an interrupted run began again too late.
    fn interrupted(&self, kills: &[Kill]) -> Interrupted {
        let kills: BTreeMap<u32, &Kill> = kills.iter().map(|kill| (kill.pid, kill)).collect();
        let mut interrupted = Interrupted { midway: 0, at_the_end: 0, longest: BTreeMap::new() };
        for runs in self.0.values() {
            let numbers: BTreeSet<u64> = runs.keys().copied().collect();
            for (number, run) in runs.iter().filter(|(number, _)| numbers.contains(&(*number + 1))) {
                let next = runs[&(number + 1)].begin.expect("it began");
                let Some(kill) = run.begin.and_then(|begin| kills.get(&begin.pid)) else { continue };
                *(if run.ended { &mut interrupted.at_the_end } else { &mut interrupted.midway }) += 1;
                let waited = next.at.since(kill.at);
                assert!(waited <= kill.recovery, "{next:?} came {waited:?} after {kill:?}");
                let longest = interrupted.longest.entry(kill.recovery).or_default();
                *longest = waited.max(*longest);
            }
        }
        interrupted
    }
}
