//! What a worker tells its supervisor while it works: how busy it is, and what it has counted.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use portwright_application::compute::Worker;
use portwright_metrics::{Metrics, Report};
use tokio::time::sleep;

use crate::lifeline::{Lifeline, Said};

/// How often the supervisor hears how busy this worker is, if that changes.
const EVERY: Duration = Duration::from_millis(200);
/// It hears of the counts once in as many times: of a worker that is killed, those of the last second are not known.
const COUNTS_ONCE_IN: u32 = 5;

/// Tells the supervisor, if there is one, for as long as it is polled.
pub(super) struct Reporting<'a> {
    pub(super) line: Option<&'a Lifeline>,
    pub(super) worker: &'a Worker,
    pub(super) metrics: &'a Metrics,
}

impl Reporting<'_> {
    pub(super) async fn go_on(&self, tasks: Vec<String>) -> Infallible {
        let Some(line) = self.line else { return pending().await };
        line.say(&Said::Ready { tasks });
        let (mut last, mut counted) = (self.worker.tally(), Vec::new());
        loop {
            for _ in 0..COUNTS_ONCE_IN {
                sleep(EVERY).await;
                let tally = self.worker.tally();
                if tally != last {
                    let running = usize::try_from(tally.running).unwrap_or(usize::MAX);
                    line.say(&Said::Busy { running, settled: tally.settled });
                    last = tally;
                }
            }
            let counts = self.metrics.reports();
            if counts != counted && say(line, &counts) {
                counted = counts;
            }
        }
    }

    /// Tells what it has counted in its whole life.
    pub(super) fn end(&self) {
        if let Some(line) = self.line {
            say(line, &self.metrics.reports());
        }
    }
}

/// Whether all of it was taken. Whoever does not take one line is not bothered with the rest: this thread keeps the lease.
fn say(line: &Lifeline, counts: &[Report]) -> bool {
    counts.iter().all(|report| line.say(&Said::Counted(report.clone())))
}
