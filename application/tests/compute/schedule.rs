//! Calls by the clock.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use portwright_application::compute::schedule::LOOK_BACK;
use portwright_application::compute::{Compute, Defaults, Scheduler};
use portwright_domain::mock::MockJobQueue;
use portwright_domain::page::{Limit, PageRequest};
use portwright_domain::ports::job_queue::JobFilter;
use portwright_domain::ports::{JobQueue, Unobserved};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use portwright_memory::MemoryJobQueue;
use portwright_testkit::{ManualClock, SequentialIds};
use tokio_util::sync::CancellationToken;

use super::works::{Sum, Works};

const HOUR: Duration = Duration::from_hours(1);

struct Town {
    clock: Arc<ManualClock>,
    queue: Arc<dyn JobQueue>,
}

impl Town {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { queue: Arc::new(MemoryJobQueue::new(clock.clone())), clock }
    }

    /// Another process, which adds at each full hour.
    fn process(&self) -> Scheduler {
        let ids = Arc::new(SequentialIds::new(self.clock.clone()));
        let observer = Arc::new(Unobserved);
        let compute =
            Compute::new(self.queue.clone(), self.clock.clone(), ids, observer, Defaults::default());
        let works = Arc::new(Works::new(compute));
        let scheduler = Scheduler::new(self.clock.clone());
        scheduler
            .every("works.add", "0 * * * *", works, |works| works.add_job(Sum::of(&[1])))
            .expect("it is cron")
    }

    async fn jobs(&self) -> usize {
        let page = PageRequest::Walk { after: None, limit: Limit::MAX };
        self.queue.list(&JobFilter::default(), &page).await.expect("list works").rows.len()
    }
}

#[tokio::test]
async fn each_moment_fires_once_in_however_many_processes() {
    let town = Town::new();
    let mut processes = [town.process(), town.process(), town.process()];
    for hour in 1..=24 {
        for process in &mut processes {
            process.fire().await;
            process.fire().await;
            town.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(town.jobs().await, hour);
        town.clock.set(ManualClock::START.plus(HOUR * u32::try_from(hour).expect("few")));
    }
}

#[tokio::test]
async fn a_moment_that_passed_while_nobody_ran_fires_when_somebody_does() {
    let town = Town::new();
    town.clock.set(ManualClock::START.plus(HOUR + LOOK_BACK - Duration::from_secs(1)));
    town.process().fire().await;
    assert_eq!(town.jobs().await, 1);
}

#[tokio::test]
async fn a_moment_that_passed_long_ago_does_not() {
    let town = Town::new();
    town.clock.set(ManualClock::START.plus(HOUR + LOOK_BACK));
    town.process().fire().await;
    assert_eq!(town.jobs().await, 0);
}

#[tokio::test]
async fn a_moment_that_met_a_queue_that_is_away_fires_when_it_is_back() {
    let town = Town::new();
    let queue = town.queue.clone();
    let mut away = MockJobQueue::new();
    let mut tries = 0;
    away.expect_enqueue().returning(move |jobs| {
        tries += 1;
        if tries < 3 {
            return Err(PortError::new(ErrorKind::Unavailable, "jobs.enqueue", "on cue"));
        }
        queue.enqueue(jobs).now_or_never().expect("a queue in memory waits for nobody")
    });
    let town = Town { queue: Arc::new(away), ..town };
    let mut process = town.process();
    for _ in 0..2 {
        assert_eq!(process.fire().await, Duration::from_secs(1), "it tries again soon");
    }
    assert_eq!(process.fire().await, Duration::from_secs(15));
    assert_eq!(process.fire().await, Duration::from_secs(15), "once is enough");
}

#[tokio::test]
async fn it_sleeps_until_the_next_moment_but_never_long() {
    let town = Town::new();
    let mut process = town.process();
    town.clock.set(ManualClock::START.plus(HOUR - Duration::from_millis(1_500)));
    assert_eq!(process.fire().await, Duration::from_millis(1_500));
    town.clock.set(ManualClock::START.plus(HOUR / 2));
    assert_eq!(process.fire().await, Duration::from_secs(15));
}

#[tokio::test]
async fn a_clock_that_is_set_back_fires_nothing_twice() {
    let town = Town::new();
    let mut process = town.process();
    town.clock.set(ManualClock::START.plus(HOUR * 2));
    process.fire().await;
    town.clock.set(ManualClock::START.plus(HOUR * 2).minus(Duration::from_secs(30)));
    process.fire().await;
    town.process().fire().await;
    town.clock.advance(Duration::from_mins(1));
    process.fire().await;
    assert_eq!(town.jobs().await, 1);
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_it_is_told_to() {
    let stop = CancellationToken::new();
    stop.cancel();
    Town::new().process().run(stop).await;
}

#[test]
fn what_is_no_cron_expression_or_never_comes_true_is_refused() {
    for cron in ["", "hello", "* * * *", "61 * * * *", "0 0 30 2 *"] {
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let town = Town::new();
        let ids = Arc::new(SequentialIds::new(clock.clone()));
        let compute = Compute::new(town.queue, clock.clone(), ids, Arc::new(Unobserved), Defaults::default());
        let works = Arc::new(Works::new(compute));
        let refused = Scheduler::new(clock).every("nightly", cron, works, Works::pass_job);
        let error = refused.map(drop).expect_err(cron);
        assert!(error.to_string().starts_with("the schedule nightly is no cron expression"), "{error}");
    }
}
