//! [`Weather`]: which faults there were when, and so what a client may be told meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Fault, Peer, name_of};

/// So long after a fault has healed it may still be felt: this is the bound that the drill is about.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(5);

/// Nobody waits longer for a machine that has time.
const LATEST: Duration = Duration::from_mins(2);

/// Stands for the code of a report on the health, which has none.
pub(crate) const HEALTH: &str = "health";

/// What a client got instead of what it wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal<'a> {
    /// The connection failed, or no answer came in time.
    NoAnswer,
    /// A problem with this status and code; [`HEALTH`] is the code of a server that says that it does not serve.
    Problem(u16, &'a str),
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// A fault of the plan.
    Fault,
    /// A machine that had no time for us.
    Machine,
    /// Ours.
    Nobody,
}

/// What went wrong when.
#[derive(Default)]
pub(crate) struct Weather {
    windows: Mutex<Vec<Window>>,
    /// When the machine last had no time for us.
    starved: Mutex<Option<Instant>>,
}

struct Window {
    fault: Fault,
    began: Instant,
    healed: Option<Instant>,
}

impl Weather {
    /// A fault begins; the number of it.
    pub(crate) fn begins(&self, fault: Fault) -> usize {
        let mut windows = self.windows();
        windows.push(Window { fault, began: Instant::now(), healed: None });
        windows.len() - 1
    }

    /// It has healed.
    pub(crate) fn healed(&self, number: usize) {
        if let Some(window) = self.windows().get_mut(number) {
            window.healed = Some(Instant::now());
        }
    }

    /// The machine has no time for us.
    pub(crate) fn starved(&self) {
        *self.starved.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn last_starved(&self) -> Option<Instant> {
        *self.starved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything has had the time to be well again that it may take after the last fault, which healed then. On a
    /// machine that has no time for us, that begins when it has, but not for ever.
    pub(crate) fn is_over(&self, healed: Instant) -> bool {
        let begins = self.last_starved().map_or(healed, |starved| starved.max(healed));
        begins.elapsed() > AFTERMATH || healed.elapsed() > LATEST
    }

    /// Why a client that asked this server for something that needs these peers is refused like this.
    pub(crate) fn blame(&self, refusal: Refusal<'_>, node: usize, needs: &[Peer], asked: Instant) -> Blame {
        if self.explains(refusal, node, needs, asked) {
            return Blame::Fault;
        }
        // It makes things late, and nothing else.
        let of_time = matches!(refusal, Refusal::Problem(503, _) | Refusal::Problem(504, "timeout"));
        let starved = self.last_starved().is_some_and(|starved| starved + AFTERMATH >= asked);
        if of_time && starved { Blame::Machine } else { Blame::Nobody }
    }

    fn explains(&self, refusal: Refusal<'_>, node: usize, needs: &[Peer], asked: Instant) -> bool {
        let silent = |fault: Fault| fault.silences(node);
        let away = |fault: Fault, of: &[Peer]| {
            fault.peer_of(node).is_some_and(|peer| needs.contains(&peer) && of.contains(&peer))
        };
        self.meanwhile(asked, |fault| match refusal {
            // An answer whose bytes cannot all be given, or are not what was stored, is cut off.
            Refusal::NoAnswer => silent(fault) || away(fault, &[Peer::Files]),
            Refusal::Problem(503, "unavailable") | Refusal::Problem(504, "timeout") => {
                silent(fault) || away(fault, &Peer::ALL)
            }
            // Its worker died, or was not heard of, three times; which may be long ago.
            Refusal::Problem(502, "job-dead") => needs.contains(&Peer::Redis),
            Refusal::Problem(503, HEALTH) => silent(fault) || away(fault, &[Peer::Primary]),
            Refusal::Problem(503, "queue-unavailable") => silent(fault) || away(fault, &[Peer::Redis]),
            Refusal::Problem(..) => false,
        })
    }

    /// What there was from then on, in words.
    pub(crate) fn report(&self, since: Instant) -> String {
        let windows = self.windows();
        let near = windows.iter().filter(|it| it.healed.is_none_or(|healed| healed + 2 * AFTERMATH >= since));
        let words: Vec<_> = near
            .map(|window| match window.healed {
                Some(healed) => {
                    format!("{} (healed {:.1} s ago)", window.fault, healed.elapsed().as_secs_f64())
                }
                None => format!("{} ({:.1} s ago)", window.fault, window.began.elapsed().as_secs_f64()),
            })
            .collect();
        let starved = self
            .last_starved()
            .map(|it| format!("the machine had no time {:.1} s ago", it.elapsed().as_secs_f64()));
        let words: Vec<_> = words.into_iter().chain(starved).collect();
        if words.is_empty() { "nothing was wrong".to_owned() } else { words.join("; ") }
    }

    /// Whether this server was told to end, or was killed, from then on.
    pub(crate) fn ends(&self, node: usize) -> bool {
        self.windows().iter().any(|window| {
            window.healed.is_none()
                && matches!(window.fault, Fault::KillNode(it) | Fault::RestartNode(it) if it == node)
        })
    }

    fn meanwhile(&self, since: Instant, is_it: impl Fn(Fault) -> bool) -> bool {
        let felt = |window: &Window| window.healed.is_none_or(|healed| healed + AFTERMATH >= since);
        self.windows().iter().rev().any(|window| felt(window) && is_it(window.fault))
    }

    fn windows(&self) -> std::sync::MutexGuard<'_, Vec<Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request as a person reads it.
pub(crate) fn to(node: usize, what: &str) -> String {
    format!("{} {what}", name_of(node))
}
