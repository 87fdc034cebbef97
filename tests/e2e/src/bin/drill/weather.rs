//! [`Weather`]: which faults there were when, and so what a client may be told meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Fault, Peer, name_of};

/// So long after a fault has healed it may still be felt: this is the bound that the drill is about.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(5);

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

/// What went wrong when.
#[derive(Default)]
pub(crate) struct Weather(Mutex<Vec<Window>>);

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

    /// Whether a client that asked this server for something that needs these peers may be refused like this.
    pub(crate) fn explains(&self, refusal: Refusal<'_>, node: usize, needs: &[Peer], asked: Instant) -> bool {
        let silent = |fault: Fault| fault.silences(node);
        let away = |fault: Fault, of: &[Peer]| {
            fault.peer_of(node).is_some_and(|peer| needs.contains(&peer) && of.contains(&peer))
        };
        self.meanwhile(asked, |fault| match refusal {
            Refusal::NoAnswer => silent(fault),
            Refusal::Problem(503, "unavailable") | Refusal::Problem(504, "timeout") => {
                silent(fault) || away(fault, &Peer::ALL)
            }
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request as a person reads it.
pub(crate) fn to(node: usize, what: &str) -> String {
    format!("{} {what}", name_of(node))
}
