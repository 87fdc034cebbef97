//! [`Circuit`]: the state machine of a breaker. Pure: time and chance are passed in.
//!
//! ```text
//!            too many failed or were slow            its time is over, somebody calls
//!   closed ───────────────────────────────▶ open ──────────────────────────────────▶ half-open
//!     ▲                                       ▲                                        │    │
//!     │                                       └──────── one failed or was slow ────────┘    │
//!     └──────────────────────────── enough of them worked ──────────────────────────────────┘
//! ```
//!
//! Invariants
//! - What began before the latest change of state changes nothing any more.
//! - A probe that ends in whatever way, given up included, makes room for another one.
//! - A probe that waits because it was asked to keeps nobody from trying for long.
//! - A call that says nothing of the port (its caller gave it up) is as if it had never been.

use std::time::Duration;

use super::window::{Tally, Window};
use crate::policy::Thresholds;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Lets them through.
    Closed,
    /// Refuses them.
    Open,
    /// Lets a few try.
    HalfOpen,
}

impl State {
    /// The stable name in logs, metrics and health.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What a call said of its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// A call that was let through; to be given back when it has ended.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The number of changes before it.
    changes: u64,
    is_probe: bool,
}

impl Ticket {
    /// Whether it takes one of the few places of those who try.
    pub(crate) const fn is_probe(&self) -> bool {
        self.is_probe
    }
}

#[derive(Debug)]
pub(crate) struct Circuit {
    thresholds: Thresholds,
    phase: Phase,
    changes: u64,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open { until: Duration },
    HalfOpen { trying: u32, worked: u32 },
}

impl Circuit {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, phase: Phase::Closed(Window::new(thresholds.window)), changes: 0 }
    }

    pub(crate) const fn state(&self) -> State {
        match self.phase {
            Phase::Closed(_) => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// What the next call would meet.
    pub(crate) fn state_at(&self, now: Duration) -> State {
        match self.phase {
            Phase::Open { until } if now >= until => State::HalfOpen,
            _ => self.state(),
        }
    }

    /// A call wants through; `None` refuses it.
    pub(crate) fn admit(&mut self, now: Duration) -> Option<Ticket> {
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            self.enter(Phase::HalfOpen { trying: 0, worked: 0 });
        }
        let most = self.thresholds.probes.max(1);
        let is_probe = match &mut self.phase {
            Phase::Closed(_) => false,
            Phase::HalfOpen { trying, .. } if *trying < most => {
                *trying += 1;
                true
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => return None,
        };
        Some(Ticket { changes: self.changes, is_probe })
    }

    /// A question within something that was let through: it is not refused, and counts.
    pub(crate) const fn within(&self) -> Ticket {
        Ticket { changes: self.changes, is_probe: false }
    }

    /// A probe takes long because it was asked to: another may try in its place. What becomes of it still counts.
    pub(crate) const fn make_room(&mut self, ticket: &mut Ticket) {
        if let Phase::HalfOpen { trying, .. } = &mut self.phase
            && ticket.is_probe
            && ticket.changes == self.changes
        {
            *trying -= 1;
        }
        ticket.is_probe = false;
    }

    /// A call ended; `None` if it says nothing of the port. `chance` from 0 to 1 spreads when it is tried again.
    pub(crate) fn settle(&mut self, ticket: &Ticket, verdict: Option<Verdict>, now: Duration, chance: f64) {
        if ticket.changes != self.changes {
            return;
        }
        let next = match (&mut self.phase, verdict) {
            (Phase::Closed(window), Some(verdict)) => {
                let tally = window.count(verdict, now);
                self.thresholds.are_exceeded(tally).then(|| self.thresholds.opened(now, chance))
            }
            (Phase::HalfOpen { trying, worked }, verdict) => {
                *trying -= u32::from(ticket.is_probe);
                *worked += u32::from(verdict.is_some());
                let enough = *worked >= self.thresholds.probes;
                match verdict {
                    Some(verdict) if verdict.failed || verdict.slow => {
                        Some(self.thresholds.opened(now, chance))
                    }
                    Some(_) if enough => Some(Phase::Closed(Window::new(self.thresholds.window))),
                    _ => None,
                }
            }
            (Phase::Closed(_), None) | (Phase::Open { .. }, _) => None,
        };
        if let Some(next) = next {
            self.enter(next);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.changes += 1;
    }
}

impl Thresholds {
    const fn are_exceeded(&self, tally: Tally) -> bool {
        tally.calls >= self.calls
            && (tally.failed * 100 >= tally.calls * self.failed_percent
                || tally.slow * 100 >= tally.calls * self.slow_percent)
    }

    fn opened(&self, now: Duration, chance: f64) -> Phase {
        let spread = self.open.mul_f64(chance / 2.0);
        Phase::Open { until: now.saturating_add(self.open).saturating_add(spread) }
    }
}
