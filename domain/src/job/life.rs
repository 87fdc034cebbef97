//! [`Life`]: where a job stands, and each step that it may take, as a function of that and the time alone.
//!
//! The rules of leases, fencing and crashes are here and nowhere else: an adapter loads a life, lets it take a step and
//! stores it, in one transaction or under one lock. A step that is not allowed changes nothing.

use std::time::Duration;

use super::{CauseOfDeath, Death, JobState, Lease, NewJob, Outcome, Priority, Run, WorkerId};
use crate::ports::job_queue::{Cancelled, Settled, Verdict};
use crate::time::Timestamp;

/// A job that crashed alone this often is dead.
const STRIKES: u32 = 3;
/// A strike is forgotten when no other came for this long.
const STRIKE_COUNTS_FOR: Duration = Duration::from_hours(72);

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// It waits for this moment.
    Scheduled(Timestamp),
    /// It waits for a worker.
    Ready(Turn),
    /// This worker holds it.
    Running(WorkerId),
    /// It ended like this, then.
    Ended(Outcome, Timestamp),
}

/// Which of the ready jobs start first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// It was handed back untouched, and comes before all others.
    HandedBack,
    /// It starts by its priority.
    Usual,
}

impl Turn {
    /// The rank of a ready job, from 0 for what was handed back to 16 for priority 0: the lower the sooner.
    #[must_use]
    pub const fn rank(self, priority: Priority) -> u8 {
        match self {
            Self::HandedBack => 0,
            Self::Usual => 1 + Priority::MAX.get() - priority.get(),
        }
    }
}

/// What changes about a job, from its enqueuing to its removal; progress aside, which decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Where it stands.
    pub stands: Stands,
    /// When it could run for the first time: its place among jobs of its rank, also after a failed try.
    pub since: Timestamp,
    /// Starts that count.
    pub attempts: u32,
    /// The fencing token of the newest lease; 0 before the first.
    pub run: Run,
    /// The newest lease that settled, so that settling again is recognised.
    pub settled: Option<Run>,
    /// Somebody wants it stopped while it runs.
    pub cancel: bool,
    /// A process died while it held this job: it runs alone.
    pub suspect: bool,
    /// How often it crashed alone.
    pub strikes: u32,
    /// When it last did.
    pub struck_at: Option<Timestamp>,
    /// When it last started.
    pub started_at: Option<Timestamp>,
}

impl Life {
    /// The life of a job that is enqueued now.
    #[must_use]
    pub fn begin(job: &NewJob, now: Timestamp) -> Self {
        let due = job.scheduled_for.filter(|due| *due > now);
        Self {
            stands: due.map_or(Stands::Ready(Turn::Usual), Stands::Scheduled),
            since: due.unwrap_or(now),
            attempts: 0,
            run: Run(0),
            settled: None,
            cancel: false,
            suspect: false,
            strikes: 0,
            struck_at: None,
            started_at: None,
        }
    }

    /// The state that others see.
    #[must_use]
    pub const fn state(&self) -> JobState {
        match &self.stands {
            Stands::Scheduled(_) => JobState::Scheduled,
            Stands::Ready(_) => JobState::Ready,
            Stands::Running(_) => JobState::Running,
            Stands::Ended(outcome, _) => outcome.state(),
        }
    }

    /// How it ended, once it did.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.stands {
            Stands::Ended(outcome, _) => Some(outcome),
            _ => None,
        }
    }

    /// When it ended, once it did.
    #[must_use]
    pub const fn finished_at(&self) -> Option<Timestamp> {
        match &self.stands {
            Stands::Ended(_, at) => Some(*at),
            _ => None,
        }
    }

    /// Whether this lease is the right to run it: the newest, and not over.
    #[must_use]
    pub fn is_held_by(&self, lease: &Lease) -> bool {
        self.run == lease.run && matches!(&self.stands, Stands::Running(worker) if *worker == lease.worker)
    }

    /// A scheduled job whose moment has come is ready.
    pub fn fall_due(&mut self, now: Timestamp) {
        if matches!(self.stands, Stands::Scheduled(due) if due <= now) {
            self.stands = Stands::Ready(Turn::Usual);
        }
    }

    /// A worker starts a ready job.
    pub fn start(&mut self, worker: &WorkerId, now: Timestamp) {
        if matches!(self.stands, Stands::Ready(_)) {
            self.stands = Stands::Running(worker.clone());
            self.attempts += 1;
            self.run = Run(self.run.0 + 1);
            self.started_at = Some(now);
        }
    }

    /// The holder of a lease says what came of it.
    pub fn settle(&mut self, lease: &Lease, verdict: &Verdict, max_attempts: u32, now: Timestamp) -> Settled {
        if self.settled == Some(lease.run) {
            return Settled::Accepted;
        }
        if !self.is_held_by(lease) {
            return Settled::LeaseLost;
        }
        self.settled = Some(lease.run);
        self.stands = match verdict {
            Verdict::Finish(outcome) => Stands::Ended(outcome.clone().within_bounds(), now),
            Verdict::Retry { .. } | Verdict::Release if self.cancel => Stands::Ended(Outcome::Cancelled, now),
            Verdict::Release => {
                self.attempts -= 1;
                Stands::Ready(Turn::HandedBack)
            }
            Verdict::Retry { death, .. } if self.attempts >= max_attempts => {
                Stands::Ended(Outcome::Dead(death.clone()), now)
            }
            Verdict::Retry { delay, .. } => {
                // Its worker lived to tell.
                self.suspect = false;
                if delay.is_zero() { Stands::Ready(Turn::Usual) } else { Stands::Scheduled(now.plus(*delay)) }
            }
        };
        Settled::Accepted
    }

    /// The process of its holder died. Who ran alone is to blame; of several nobody knows who, so each has to prove
    /// itself alone. A start that ended in a crash does not count as an attempt.
    pub fn crash(&mut self, alone: bool, now: Timestamp) {
        if !matches!(self.stands, Stands::Running(_)) {
            return;
        }
        self.attempts -= 1;
        self.suspect = true;
        if alone {
            let forgotten = self.struck_at.is_none_or(|at| at.plus(STRIKE_COUNTS_FOR) <= now);
            self.strikes = if forgotten { 1 } else { self.strikes + 1 };
            self.struck_at = Some(now);
        }
        self.stands = if self.cancel {
            Stands::Ended(Outcome::Cancelled, now)
        } else if self.strikes >= STRIKES {
            let detail = format!("its worker died {STRIKES} times while it ran alone");
            Stands::Ended(Outcome::Dead(Death { cause: CauseOfDeath::Crashed, detail }), now)
        } else {
            Stands::Ready(Turn::Usual)
        };
    }

    /// Somebody wants it stopped.
    pub fn cancel(&mut self, now: Timestamp) -> Cancelled {
        match self.stands {
            Stands::Scheduled(_) | Stands::Ready(_) => {
                self.stands = Stands::Ended(Outcome::Cancelled, now);
                Cancelled::Prevented
            }
            Stands::Running(_) => {
                self.cancel = true;
                Cancelled::Requested
            }
            Stands::Ended(..) => Cancelled::TooLate,
        }
    }

    /// Somebody wants it tried again from the start; true if it ended without success. The fencing token goes on.
    pub fn retry(&mut self, now: Timestamp) -> bool {
        let again = self.state().is_terminal() && self.state().may_become(JobState::Ready);
        if again {
            *self = Self {
                stands: Stands::Ready(Turn::Usual),
                since: now,
                attempts: 0,
                run: self.run,
                settled: self.settled,
                cancel: false,
                suspect: false,
                strikes: 0,
                struck_at: None,
                started_at: self.started_at,
            };
        }
        again
    }

    /// No worker knew the task of a ready job for too long.
    pub fn give_up(&mut self, now: Timestamp) {
        if matches!(self.stands, Stands::Ready(_)) {
            let detail = "no worker that knows its task and version asked for it".to_owned();
            self.stands = Stands::Ended(Outcome::Dead(Death { cause: CauseOfDeath::NotServed, detail }), now);
        }
    }
}

#[cfg(test)]
mod tests;
