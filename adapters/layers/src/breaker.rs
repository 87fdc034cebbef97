//! [`Breaker`]: the middle layer. A port that does not do its part is left alone for a while, and whoever calls it knows at
//! once instead of waiting.
//!
//! Only `Unavailable` is a failure: a conflict, a lost race or a value that does not parse were answered by somebody. A
//! full queue was, too.

mod circuit;
#[cfg(test)]
mod model;
mod window;

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portwright_domain::ports::job_queue::Limits;
use portwright_domain::ports::{Event, Observer};
use portwright_domain::{ErrorKind, PortError};
use tokio::time::{Instant, sleep};

pub(crate) use self::circuit::State;
use self::circuit::{Circuit, Ticket, Verdict};
use crate::policy::Thresholds;

/// The breaker before a port, or before a part of it that can be down alone.
pub(crate) struct Breaker {
    name: &'static str,
    slow_after: Duration,
    /// How long a probe that was asked to wait keeps its place.
    probe_place: Duration,
    circuit: Mutex<Circuit>,
    /// Its time counts from here.
    made_at: Instant,
    observer: Arc<dyn Observer>,
}

/// A call that was let through. Dropping it says no more than how long the call was waited for.
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    ticket: Ticket,
    began: Instant,
    /// What the call was asked to wait.
    wait: Duration,
    failed: Option<bool>,
}

impl Breaker {
    pub(crate) fn new(name: &'static str, thresholds: Thresholds, observer: Arc<dyn Observer>) -> Self {
        let circuit = Mutex::new(Circuit::new(thresholds));
        let Thresholds { slow_after, open: probe_place, .. } = thresholds;
        Self { name, slow_after, probe_place, circuit, made_at: Instant::now(), observer }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// What the next call would meet.
    pub(crate) fn state(&self) -> State {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner).state_at(self.made_at.elapsed())
    }

    /// Lets a call through that is asked to wait for so long, or refuses it.
    pub(crate) fn admit(&self, operation: &'static str, wait: Duration) -> Result<Permit<'_>, PortError> {
        let ticket = self.change(Circuit::admit).ok_or_else(|| {
            PortError::new(ErrorKind::Unavailable, operation, format!("the breaker {} is open", self.name))
        })?;
        Ok(self.permit(ticket, wait))
    }

    /// Counts a question within something that was let through, and never refuses it: whoever is half-way keeps a
    /// connection that may well work, and what was done so far would be lost.
    pub(crate) fn within(&self) -> Permit<'_> {
        let ticket = self.change(|circuit, _| circuit.within());
        self.permit(ticket, Duration::ZERO)
    }

    fn permit(&self, ticket: Ticket, wait: Duration) -> Permit<'_> {
        Permit { breaker: self, ticket, began: Instant::now(), wait, failed: None }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Circuit, Duration) -> T) -> T {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let before = circuit.state();
        let answer = change(&mut circuit, self.made_at.elapsed());
        // Under the lock, so that whoever watches is told of changes in their order.
        self.tell(before, circuit.state());
        answer
    }

    fn tell(&self, before: State, after: State) {
        if before == after {
            return;
        }
        let (breaker, state) = (self.name, after.as_str());
        // In a long outage it is half-open once a second, which is news to nobody.
        match (before, after) {
            (State::Closed, _) => {
                tracing::warn!(breaker, "a port does not answer as it should: calls are refused");
            }
            (_, State::Closed) => tracing::info!(breaker, "a port answers again"),
            _ => tracing::debug!(breaker, state, "a breaker changed its state"),
        }
        self.observer.observe(&Event::BreakerChanged { breaker, state });
    }
}

impl Permit<'_> {
    /// The answer to the call, from which `judge` tells whether the port failed; `None` if nobody can say.
    pub(crate) async fn counted<T>(
        mut self,
        judge: impl Fn(&PortError) -> Option<bool>,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let mut call = pin!(call);
        if self.ticket.is_probe() && !self.wait.is_zero() {
            tokio::select! {
                biased;
                answer = &mut call => return self.judged(judge, answer),
                () = sleep(self.breaker.probe_place) => {
                    self.breaker.change(|circuit, _| circuit.make_room(&mut self.ticket));
                }
            }
        }
        let answer = call.await;
        self.judged(judge, answer)
    }

    fn judged<T>(
        mut self,
        judge: impl Fn(&PortError) -> Option<bool>,
        answer: Result<T, PortError>,
    ) -> Result<T, PortError> {
        self.failed = answer.as_ref().map_or_else(judge, |_| Some(false));
        answer
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Waiting in vain for so long proves that it is slow, whoever lost patience.
        let slow = self.began.elapsed() > self.breaker.slow_after.saturating_add(self.wait);
        let verdict = match self.failed {
            Some(failed) => Some(Verdict { failed, slow }),
            None => slow.then_some(Verdict { failed: false, slow }),
        };
        self.breaker.change(|circuit, now| circuit.settle(&self.ticket, verdict, now, random_share()));
    }
}

/// Whether a port that answers like this failed.
pub(crate) fn is_failure(error: &PortError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.detail() != Limits::FULL
}

/// From 0 to 1. The standard library seeds every `RandomState` differently, which is random enough to spread tries.
fn random_share() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
