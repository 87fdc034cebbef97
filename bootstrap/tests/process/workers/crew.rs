//! [`Crew`]: workers that the server started and workers that a person did, and somebody who kills them.

use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::Clock;
use portwright_memory::SystemClock;
use rustix::process::Signal;
use tokio::process::Child;

use super::{LEASE, by_hand, children, ready_workers};
use crate::durability::Random;
use crate::place::Place;
use crate::server::{Server, send};

const SUPERVISED: usize = 2;
const BY_HAND: usize = 3;

/// A supervisor sees the death of a worker, and gives its jobs back.
const SEEN: Duration = Duration::from_secs(1);
/// Nobody sees that of others: their lease ends, and somebody looks for such leases.
const UNSEEN: Duration = LEASE.saturating_add(Duration::from_millis(1500));

pub(super) struct Crew<'a> {
    place: &'a Place,
    pub(super) server: Server,
    by_hand: Vec<Child>,
}

/// A worker that was killed.
#[derive(Debug)]
pub(super) struct Kill {
    pub(super) pid: u32,
    pub(super) at: Timestamp,
    /// By then its jobs run again.
    pub(super) recovery: Duration,
}

impl<'a> Crew<'a> {
    /// A server with workers of both kinds.
    pub(super) async fn gather(place: &'a Place) -> Self {
        let server = Server::start(&mut place.server_with_workers(SUPERVISED, SUPERVISED)).await;
        ready_workers(&server, SUPERVISED).await;
        let by_hand = (0..BY_HAND).map(|_| by_hand::start(&mut place.program("worker"))).collect();
        Self { place, server, by_hand }
    }

    /// Kills somebody: in one of four cases a supervised worker, of which each is started ten times a minute and no more
    /// often, so that there may be none.
    pub(super) fn lose_one(&mut self, random: &mut Random) -> Kill {
        let supervised = children(self.server.pid());
        let (choice, at) = (random.next(), SystemClock.now());
        let whom = |count: usize| usize::try_from(choice >> 8).unwrap_or_default() % count;
        if choice.is_multiple_of(4) && !supervised.is_empty() {
            let pid = supervised[whom(supervised.len())];
            send(pid, Signal::KILL);
            return Kill { pid, at, recovery: SEEN };
        }
        let worker = &mut self.by_hand[whom(BY_HAND)];
        let pid = worker.id().expect("nobody waited for it");
        send(pid, Signal::KILL);
        *worker = by_hand::start(&mut self.place.program("worker"));
        Kill { pid, at, recovery: UNSEEN }
    }
}
