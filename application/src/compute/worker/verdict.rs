//! What is to be said of a try, given how it ended: a pure table.

use std::time::Duration;

use portwright_domain::job::{Backoff, CauseOfDeath, Death, LeasedJob, Outcome};
use portwright_domain::ports::job_queue::Verdict;

use crate::compute::task::TaskEnd;

/// How the code of a task came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Ended(TaskEnd),
    /// By a panic with this message.
    Panicked(String),
    /// It was dropped where it waited.
    Dropped,
    /// It has not: it neither yields nor looks whether it should stop.
    Stuck,
}

/// Why it was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody cancelled the job.
    Cancelled,
    /// It took longer than its timeout.
    TimedOut,
    /// The worker lost the right to run it.
    LeaseLost,
    /// The worker ends.
    Draining,
}

/// The verdict on a try; `share`, from 0 to 1, is where in its window the next try is.
///
/// What came to its end counts as that, although it was asked to stop; an error does not, since it may be how the task
/// stops.
pub(super) fn judge(end: End, reason: Option<Reason>, leased: &LeasedJob, share: f64) -> Verdict {
    let retry = |cause, detail| {
        let delay = spread(leased.job.backoff, leased.attempt, share);
        Verdict::Retry { delay, death: Death { cause, detail } }
    };
    let dead = |cause, detail| Verdict::Finish(Outcome::Dead(Death { cause, detail }));
    match (end, reason) {
        (End::Ended(TaskEnd::Returned(result)), _) => {
            Verdict::Finish(Outcome::Succeeded(result).within_bounds())
        }
        (End::Ended(TaskEnd::PayloadInvalid(invalid)), _) => {
            dead(CauseOfDeath::PayloadInvalid, invalid.to_string())
        }
        (_, Some(Reason::Cancelled)) => Verdict::Finish(Outcome::Cancelled),
        // Dropped although nobody asked: its runtime has ended.
        (_, Some(Reason::LeaseLost | Reason::Draining)) | (End::Dropped | End::Stuck, None) => {
            Verdict::Release
        }
        (_, Some(Reason::TimedOut)) => {
            retry(CauseOfDeath::TimedOut, format!("it took longer than {:?}", leased.job.timeout))
        }
        (End::Ended(TaskEnd::Failed { retryable: true, .. }), None)
            if leased.attempt < leased.job.max_attempts =>
        {
            retry(CauseOfDeath::Error, "it returned an error that may be tried again".to_owned())
        }
        (End::Ended(TaskEnd::Failed { error, .. }), None) => {
            Verdict::Finish(Outcome::Failed(error).within_bounds())
        }
        (End::Ended(TaskEnd::Unwritable(detail)), None) => {
            dead(CauseOfDeath::Error, format!("its answer has no form in JSON: {detail}"))
        }
        (End::Panicked(message), None) => retry(CauseOfDeath::Error, format!("it panicked: {message}")),
    }
}

/// What a verdict is called where tries are counted and logged.
pub(super) const fn outcome_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Finish(outcome) => outcome.state().as_str(),
        Verdict::Retry { .. } => "retried",
        Verdict::Release => "released",
    }
}

/// The wait before the next try. Exponential ones are spread over two thirds of their window, so that what failed
/// together does not come back together.
fn spread(backoff: Backoff, attempt: u32, share: f64) -> Duration {
    let wait = backoff.after(attempt);
    match backoff {
        Backoff::Fixed(_) => wait,
        Backoff::Exponential { .. } => {
            wait.saturating_sub((wait * 2 / 3).mul_f64(1.0 - share.clamp(0.0, 1.0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use portwright_domain::job::{Lease, Run, WorkerId};
    use portwright_testkit::builders::a_job;

    use super::*;
    use crate::compute::envelope::Args;

    /// Try number `attempt` of three, a second apart.
    fn leased(attempt: u32) -> LeasedJob {
        let mut job = a_job().build();
        job.backoff = Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_secs(3) };
        let worker = WorkerId::parse("one").expect("a valid name");
        LeasedJob { lease: Lease { job: job.id, run: Run(7), worker }, job, attempt, suspect: false }
    }

    fn returned() -> End {
        End::Ended(TaskEnd::Returned(Bytes::from_static(b"1")))
    }

    fn failed(retryable: bool) -> End {
        End::Ended(TaskEnd::Failed { error: Bytes::from_static(b"2"), retryable })
    }

    fn unreadable() -> End {
        End::Ended(TaskEnd::PayloadInvalid(Args::from_json(1, "0").expect("JSON").refused()))
    }

    /// A verdict in one word.
    fn word(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Finish(Outcome::Dead(death)) => format!("dead of {}", death.cause.as_str()),
            Verdict::Finish(outcome) => outcome.state().as_str().to_owned(),
            Verdict::Retry { death, .. } => format!("retry, or dead of {}", death.cause.as_str()),
            Verdict::Release => "release".to_owned(),
        }
    }

    #[test]
    fn every_end_has_its_verdict() {
        use Reason::{Cancelled, Draining, LeaseLost, TimedOut};
        let large = || Bytes::from(vec![b'1'; Outcome::MAX_RESULT + 1]);
        let panicked = || End::Panicked("ouch".to_owned());
        let unwritable = || End::Ended(TaskEnd::Unwritable("a map key".to_owned()));
        let cases = [
            (returned(), None, 1, "succeeded"),
            (returned(), Some(TimedOut), 1, "succeeded"),
            (returned(), Some(Cancelled), 1, "succeeded"),
            (returned(), Some(LeaseLost), 1, "succeeded"),
            (End::Ended(TaskEnd::Returned(large())), None, 1, "dead of result_too_large"),
            (failed(false), None, 1, "failed"),
            (failed(true), None, 2, "retry, or dead of error"),
            (failed(true), None, 3, "failed"),
            (failed(false), Some(Cancelled), 1, "cancelled"),
            (failed(false), Some(TimedOut), 1, "retry, or dead of timed_out"),
            (failed(false), Some(Draining), 1, "release"),
            (
                End::Ended(TaskEnd::Failed { error: large(), retryable: false }),
                None,
                1,
                "dead of result_too_large",
            ),
            (unreadable(), None, 1, "dead of payload_invalid"),
            (unreadable(), Some(Draining), 1, "dead of payload_invalid"),
            (unwritable(), None, 1, "dead of error"),
            (panicked(), None, 1, "retry, or dead of error"),
            (panicked(), None, 3, "retry, or dead of error"),
            (panicked(), Some(Cancelled), 1, "cancelled"),
            (End::Dropped, Some(Cancelled), 1, "cancelled"),
            (End::Dropped, Some(TimedOut), 1, "retry, or dead of timed_out"),
            (End::Dropped, Some(LeaseLost), 1, "release"),
            (End::Dropped, None, 1, "release"),
            (End::Stuck, Some(Cancelled), 1, "cancelled"),
            (End::Stuck, Some(TimedOut), 1, "retry, or dead of timed_out"),
            (End::Stuck, Some(LeaseLost), 1, "release"),
        ];
        for (end, reason, attempt, expected) in cases {
            let case = format!("{end:?}, asked to stop: {reason:?}, attempt {attempt}");
            let case: String = case.chars().take(120).collect();
            assert_eq!(word(&judge(end, reason, &leased(attempt), 0.5)), expected, "{case}");
        }
    }

    #[test]
    fn tries_are_spread_over_two_thirds_of_a_window_that_doubles_up_to_its_cap() {
        let window = |attempt| {
            [0.0, 1.0].map(|share| match judge(End::Panicked(String::new()), None, &leased(attempt), share) {
                Verdict::Retry { delay, .. } => delay.as_millis(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!([1, 2, 3, 9].map(window), [[333, 1_000], [666, 2_000], [1_000, 3_000], [1_000, 3_000]]);
    }

    #[test]
    fn a_fixed_wait_is_what_it_says() {
        assert_eq!(spread(Backoff::Fixed(Duration::from_secs(5)), 9, 0.1), Duration::from_secs(5));
    }
}
