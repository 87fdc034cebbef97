//! All places for children, and what is to be done when something happens, as a function of that and the time alone.
//!
//! Invariants
//! - A place has one child at a time, and the next one only after the last one is gone and its wait is over.
//! - A place whose next child waits, or never comes, is not free: else a crash loop would wander through all of them.
//! - Only a child that does nothing is sent away because it is one too many.

use std::time::Duration;

use portwright_domain::job::WorkerId;
use tokio::time::Instant;

use super::restarts::{End, HEALTHY, Restarts};
use super::stage::{Order, Stage, Step};
use crate::lifeline::Said;

/// Every place there is.
pub(super) struct Fleet {
    places: Vec<Place>,
    /// How long a child may take to finish what it runs.
    drain: Duration,
    stopping: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a child in this place.
    Start(usize),
    /// Tell the child in this place.
    Tell(usize, Order),
}

#[derive(Default)]
struct Place {
    held_by: Holder,
    restarts: Restarts,
}

/// Who has a place.
#[derive(Default)]
enum Holder {
    #[default]
    Nobody,
    /// A child that is started then.
    Next(Instant),
    Child(Child),
    /// Nobody any more: children refuse to start, with this status.
    Refused(i32),
}

/// What is known of a child.
pub(super) struct Child {
    pub(super) worker: WorkerId,
    pub(super) pid: Option<u32>,
    pub(super) stage: Stage,
    /// Nobody needs it any more; a child that ends otherwise is followed by another.
    pub(super) unwanted: bool,
    pub(super) tasks: Vec<String>,
    pub(super) running: usize,
    pub(super) settled: u64,
    /// How it ended, and whether it had been healthy.
    pub(super) end: Option<(End, bool)>,
}

/// What becomes of a place when its child is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequel {
    /// It was not needed any more.
    Free,
    /// The next child comes after this long.
    Again(Duration),
    /// No child comes any more.
    Never,
}

impl Fleet {
    /// Places for so many children, all free.
    pub(super) fn new(places: usize, drain: Duration) -> Self {
        Self { places: std::iter::repeat_with(Place::default).take(places).collect(), drain, stopping: false }
    }

    /// Sees to it that there are as many children as this, or will be.
    pub(super) fn resize(&mut self, wanted: usize, now: Instant) -> Vec<Action> {
        if self.stopping {
            return Vec::new();
        }
        let there = self.workers();
        let mut actions = self.fill(wanted.saturating_sub(there), now);
        actions.extend(self.thin_out(there.saturating_sub(wanted), now));
        actions
    }

    fn fill(&mut self, missing: usize, now: Instant) -> Vec<Action> {
        let free = self.places.iter_mut().filter(|place| matches!(place.held_by, Holder::Nobody));
        free.take(missing).for_each(|place| place.held_by = Holder::Next(now));
        self.time_passes(now)
    }

    fn thin_out(&mut self, surplus: usize, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut left = surplus;
        for at in (0..self.places.len()).rev() {
            if left == 0 {
                break;
            }
            match &self.places[at].held_by {
                Holder::Next(_) => self.places[at].held_by = Holder::Nobody,
                Holder::Child(child) if child.running == 0 && matches!(child.stage, Stage::Ready { .. }) => {
                    actions.extend(self.step(at, Step::Unwanted(now + self.drain), now));
                }
                _ => continue,
            }
            left -= 1;
        }
        actions
    }

    /// A child was started in this place.
    pub(super) fn started(&mut self, at: usize, worker: WorkerId, pid: Option<u32>, now: Instant) {
        let place = &mut self.places[at];
        place.restarts.started(now);
        let stage = Stage::started(now);
        let (unwanted, tasks, end) = (false, Vec::new(), None);
        let child = Child { worker, pid, stage, unwanted, tasks, running: 0, settled: 0, end };
        place.held_by = Holder::Child(child);
    }

    /// The child in this place says something.
    pub(super) fn said(&mut self, at: usize, said: Said, now: Instant) {
        let Holder::Child(child) = &mut self.places[at].held_by else { return };
        match said {
            Said::Ready { tasks } => {
                child.tasks = tasks;
                (child.stage, _) = child.stage.after(Step::SaysReady, now);
            }
            Said::Busy { running, settled } => (child.running, child.settled) = (running, settled),
            // Of all that a child ever was; nothing is decided by it.
            Said::Counted(_) => {}
        }
    }

    /// The child in this place has ended, or could not be started. Its jobs are still its own.
    pub(super) fn ended(&mut self, at: usize, end: End, now: Instant) {
        let Holder::Child(child) = &mut self.places[at].held_by else { return };
        child.end = Some((end, child.is_healthy(now)));
        (child.stage, _) = child.stage.after(Step::Ends, now);
        child.running = 0;
    }

    /// The jobs of the child in this place, which has ended, were given back: the place is free for the next.
    pub(super) fn buried(&mut self, at: usize, now: Instant) -> Sequel {
        let place = &mut self.places[at];
        let Holder::Child(Child { end: Some((end, healthy)), unwanted, .. }) = place.held_by else {
            return Sequel::Free;
        };
        let (holder, sequel) = if self.stopping || unwanted {
            (Holder::Nobody, Sequel::Free)
        } else {
            match (place.restarts.after(end, healthy, now), end) {
                (Some(at), _) => (Holder::Next(at), Sequel::Again(at - now)),
                (None, End::Refused(code)) => (Holder::Refused(code), Sequel::Never),
                (None, _) => (Holder::Nobody, Sequel::Never),
            }
        };
        place.held_by = holder;
        sequel
    }

    /// Does what is due.
    pub(super) fn time_passes(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for at in 0..self.places.len() {
            match self.places[at].held_by {
                Holder::Next(due) if due <= now => actions.push(Action::Start(at)),
                _ => actions.extend(self.step(at, Step::TimePasses, now)),
            }
        }
        actions
    }

    /// When [`Fleet::time_passes`] will have something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = |place: &Place| match &place.held_by {
            Holder::Next(due) => Some(*due),
            Holder::Child(child) => child.stage.due(),
            Holder::Nobody | Holder::Refused(_) => None,
        };
        self.places.iter().filter_map(due).min()
    }

    /// Starts nobody any more, and tells all children to end; they may take until then to finish what they run.
    pub(super) fn stop(&mut self, until: Instant, now: Instant) -> Vec<Action> {
        self.stopping = true;
        let mut actions = Vec::new();
        for at in 0..self.places.len() {
            if let Holder::Next(_) = self.places[at].held_by {
                self.places[at].held_by = Holder::Nobody;
            }
            actions.extend(self.step(at, Step::Unwanted(until), now));
        }
        actions
    }

    fn step(&mut self, at: usize, step: Step, now: Instant) -> Option<Action> {
        let Holder::Child(child) = &mut self.places[at].held_by else { return None };
        let (stage, order) = child.stage.after(step, now);
        child.stage = stage;
        child.unwanted |= matches!(step, Step::Unwanted(_));
        order.map(|order| Action::Tell(at, order))
    }

    /// Children that are there or will be, without those that are on their way out.
    pub(super) fn workers(&self) -> usize {
        let counts = |place: &&Place| match &place.held_by {
            Holder::Child(child) => !child.unwanted,
            Holder::Next(_) | Holder::Refused(_) => true,
            Holder::Nobody => false,
        };
        self.places.iter().filter(counts).count()
    }

    /// Jobs that the children hold.
    pub(super) fn running(&self) -> usize {
        self.children().map(|child| child.running).sum()
    }

    /// All children whose jobs are their own.
    pub(super) fn children(&self) -> impl Iterator<Item = &Child> {
        self.places.iter().filter_map(|place| match &place.held_by {
            Holder::Child(child) => Some(child),
            _ => None,
        })
    }

    /// The child in this place.
    pub(super) fn child(&self, at: usize) -> Option<&Child> {
        if let Holder::Child(child) = &self.places[at].held_by { Some(child) } else { None }
    }

    /// Whether the children in this place end as soon as they start.
    pub(super) fn is_crash_loop(&self, at: usize, now: Instant) -> bool {
        self.places[at].restarts.is_crash_loop() && !self.child(at).is_some_and(|child| child.is_healthy(now))
    }

    /// What is wrong with the places, in words.
    pub(super) fn troubles(&self, now: Instant) -> Vec<String> {
        let trouble = |at: usize| match self.places[at].held_by {
            Holder::Refused(code) => Some(format!("one refuses to run (exit {code})")),
            _ if self.is_crash_loop(at, now) => Some("one ends as soon as it starts".to_owned()),
            _ => None,
        };
        (0..self.places.len()).filter_map(trouble).collect()
    }
}

impl Child {
    /// Whether it did what a child is for.
    fn is_healthy(&self, now: Instant) -> bool {
        self.settled > 0 || matches!(self.stage, Stage::Ready { since } if now - since >= HEALTHY)
    }
}

#[cfg(test)]
mod tests;
