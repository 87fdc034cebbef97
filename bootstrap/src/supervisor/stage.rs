//! Where a child stands, and each step that it may take, as a function of that and the time alone.
//!
//! ```text
//! Starting ──says so──► Ready ──unwanted──► Draining: asked ──► hurried ──► killed
//!    │ └─unwanted──────────┼──────────────────▲ │                              ▲
//!    └─takes too long──────┼────────────────────┼──────────────────────────────┘
//!                          └──────────ends──────┴──► Gone
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How long a child may take until it is ready.
pub(super) const START: Duration = Duration::from_secs(30);
/// How long a child may live after it was hurried: it ends itself before.
const HURRY: Duration = Duration::from_millis(2500);
/// How long the kernel may take to end a child that was killed, before it is killed again.
const KILL: Duration = Duration::from_secs(5);

/// Where a child stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was started and has not said yet that it is ready.
    Starting {
        /// It has to say so before.
        until: Instant,
    },
    /// It takes jobs.
    Ready {
        /// Since then.
        since: Instant,
    },
    /// It was told to end.
    Draining {
        /// How insistently.
        pressure: Pressure,
        /// There will be more pressure then.
        until: Instant,
    },
    /// It has ended.
    Gone,
}

/// How insistently a child was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    /// It may finish what it runs.
    Asked,
    /// It is to hand back what it runs, and go.
    Hurried,
    /// Nobody asks any more.
    Killed,
}

/// What happens to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It says that it is ready.
    SaysReady,
    /// Nobody needs it any more; it may take until then to finish what it runs.
    Unwanted(Instant),
    /// Time passes.
    TimePasses,
    /// It ends.
    Ends,
}

/// What a child is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Take no more jobs, finish those you have, and end: SIGTERM.
    Terminate,
    /// Hand back what you have, and end: the lifeline is cut.
    Hurry,
    /// SIGKILL.
    Kill,
}

impl Stage {
    /// A child that is started now.
    pub(super) fn started(now: Instant) -> Self {
        Self::Starting { until: now + START }
    }

    /// The stage after this step, and what the child is to be told. A step that makes no sense changes nothing.
    pub(super) fn after(self, step: Step, now: Instant) -> (Self, Option<Order>) {
        use Pressure::{Asked, Hurried, Killed};
        let draining = |pressure, until| Self::Draining { pressure, until };
        match (self, step) {
            (Self::Gone, _) => (self, None),
            (_, Step::Ends) => (Self::Gone, None),
            (Self::Starting { .. }, Step::SaysReady) => (Self::Ready { since: now }, None),
            (Self::Starting { .. } | Self::Ready { .. }, Step::Unwanted(until)) => {
                (draining(Asked, until), Some(Order::Terminate))
            }
            // Whoever has to go anyway may have to go sooner.
            (Self::Draining { pressure: Asked, until }, Step::Unwanted(sooner)) => {
                (draining(Asked, until.min(sooner)), None)
            }
            (Self::Starting { until }, Step::TimePasses) if until <= now => {
                (draining(Killed, now + KILL), Some(Order::Kill))
            }
            (Self::Draining { pressure, until }, Step::TimePasses) if until <= now => match pressure {
                Asked => (draining(Hurried, now + HURRY), Some(Order::Hurry)),
                Hurried | Killed => (draining(Killed, now + KILL), Some(Order::Kill)),
            },
            _ => (self, None),
        }
    }

    /// When passing time changes something.
    pub(super) const fn due(self) -> Option<Instant> {
        match self {
            Self::Starting { until } | Self::Draining { until, .. } => Some(until),
            Self::Ready { .. } | Self::Gone => None,
        }
    }

    /// For people.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Draining { .. } => "draining",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_takes_only_the_steps_of_the_diagram() {
        use Order::{Hurry, Kill as KillIt, Terminate};
        use Pressure::{Asked, Hurried, Killed};
        use Step::{Ends, SaysReady, TimePasses, Unwanted};
        let now = Instant::now();
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let draining = |pressure, until| Stage::Draining { pressure, until };
        let starting = |until| Stage::Starting { until };
        let ready = Stage::Ready { since: now };
        let table = [
            (starting(later), SaysReady, ready, None),
            (starting(later), TimePasses, starting(later), None),
            (starting(now), TimePasses, draining(Killed, now + KILL), Some(KillIt)),
            (starting(later), Unwanted(soon), draining(Asked, soon), Some(Terminate)),
            (starting(later), Ends, Stage::Gone, None),
            (ready, SaysReady, ready, None),
            (ready, TimePasses, ready, None),
            (ready, Unwanted(soon), draining(Asked, soon), Some(Terminate)),
            (ready, Ends, Stage::Gone, None),
            (draining(Asked, later), SaysReady, draining(Asked, later), None),
            (draining(Asked, later), Unwanted(soon), draining(Asked, soon), None),
            (draining(Asked, soon), Unwanted(later), draining(Asked, soon), None),
            (draining(Asked, soon), TimePasses, draining(Asked, soon), None),
            (draining(Asked, now), TimePasses, draining(Hurried, now + HURRY), Some(Hurry)),
            (draining(Hurried, now), Unwanted(soon), draining(Hurried, now), None),
            (draining(Hurried, now), TimePasses, draining(Killed, now + KILL), Some(KillIt)),
            (draining(Killed, now), TimePasses, draining(Killed, now + KILL), Some(KillIt)),
            (draining(Hurried, soon), Ends, Stage::Gone, None),
            (Stage::Gone, SaysReady, Stage::Gone, None),
            (Stage::Gone, Unwanted(soon), Stage::Gone, None),
            (Stage::Gone, TimePasses, Stage::Gone, None),
            (Stage::Gone, Ends, Stage::Gone, None),
        ];
        for (stage, step, expected, order) in table {
            assert_eq!(stage.after(step, now), (expected, order), "{stage:?} {step:?}");
        }
    }

    #[test]
    fn passing_time_changes_something_exactly_when_it_is_due() {
        let now = Instant::now();
        let stages = [
            Stage::started(now),
            Stage::Ready { since: now },
            Stage::Draining { pressure: Pressure::Asked, until: now + START },
            Stage::Gone,
        ];
        for stage in stages {
            let at = stage.due().unwrap_or(now + START);
            let before = stage.after(Step::TimePasses, at - Duration::from_millis(1));
            assert_eq!(before, (stage, None));
            assert_eq!(stage.after(Step::TimePasses, at).0 != stage, stage.due().is_some(), "{stage:?}");
        }
    }
}
