//! [`Fault`]: what may go wrong, from the matrices of faults that the product is made for, and whom it may hurt.

use std::fmt;
use std::time::Duration;

use portwright_testkit::proxy::Trouble;
use portwright_testkit::servers::Stop;
use portwright_testkit::servers::s3;

/// The servers of ours that a drill has.
pub(crate) const NODES: usize = 2;

/// What our servers depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Primary,
    Standby,
    Redis,
    Files,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Primary, Self::Standby, Self::Redis, Self::Files];
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "the primary",
            Self::Standby => "the standby",
            Self::Redis => "Redis",
            Self::Files => "S3",
        })
    }
}

/// The name of one of our servers.
pub(crate) fn name_of(node: usize) -> char {
    if node == 0 { 'A' } else { 'B' }
}

/// How the connections from one of our servers to a peer fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Bytes arrive later.
    Slow(Duration),
    /// Bytes are swallowed.
    Blackhole,
    /// Connections are cut, and no new one is made.
    Refuse,
    /// Connections are cut, once.
    Cut,
}

impl Wire {
    /// What the proxy does meanwhile.
    pub(crate) fn trouble(self) -> Trouble {
        match self {
            Self::Slow(by) => Trouble::Delay(by),
            Self::Blackhole => Trouble::Blackhole,
            Self::Refuse => Trouble::Refuse,
            Self::Cut => Trouble::None,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A server of ours is killed, and with it its workers.
    KillNode(usize),
    /// A server of ours is told to stop, and started again.
    RestartNode(usize),
    /// A server of ours stands still.
    FreezeNode(usize),
    /// A worker of this server is killed.
    KillWorker(usize),
    /// The workers of this server stand still, longer than their leases last.
    FreezeWorkers(usize),
    /// A server of somebody else's ends.
    Stop(Peer, Stop),
    /// A server of somebody else's stands still.
    Freeze(Peer),
    /// The standby shows nothing new.
    PauseReplay,
    /// The standby shows what is new later.
    Lag(Duration),
    /// S3 fails in this way, so many times.
    FailFiles(s3::Fault, u32),
    /// What is between a server of ours and a peer.
    Wire(usize, Peer, Wire),
}

/// What cannot fail in two ways at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Node(usize),
    Peer(Peer),
    Wire(usize, Peer),
}

impl Fault {
    /// What fails.
    pub(crate) fn thing(self) -> Thing {
        match self {
            Self::KillNode(node)
            | Self::RestartNode(node)
            | Self::FreezeNode(node)
            | Self::KillWorker(node)
            | Self::FreezeWorkers(node) => Thing::Node(node),
            Self::Stop(peer, _) | Self::Freeze(peer) => Thing::Peer(peer),
            Self::PauseReplay | Self::Lag(_) => Thing::Peer(Peer::Standby),
            Self::FailFiles(..) => Thing::Peer(Peer::Files),
            Self::Wire(node, peer, _) => Thing::Wire(node, peer),
        }
    }

    /// Whether a client of this server may get no answer at all.
    pub(crate) fn silences(self, node: usize) -> bool {
        matches!(self, Self::KillNode(it) | Self::RestartNode(it) | Self::FreezeNode(it) if it == node)
    }

    /// The peer that fails for this server.
    pub(crate) fn peer_of(self, node: usize) -> Option<Peer> {
        match self.thing() {
            Thing::Peer(peer) => Some(peer),
            Thing::Wire(it, peer) if it == node => Some(peer),
            Thing::Node(_) | Thing::Wire(..) => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KillNode(node) => write!(f, "server {} is killed", name_of(node)),
            Self::RestartNode(node) => write!(f, "server {} is told to stop", name_of(node)),
            Self::FreezeNode(node) => write!(f, "server {} stands still", name_of(node)),
            Self::KillWorker(node) => write!(f, "a worker of {} is killed", name_of(node)),
            Self::FreezeWorkers(node) => write!(f, "the workers of {} stand still", name_of(node)),
            Self::Stop(peer, how) => write!(f, "{peer} ends ({how:?})"),
            Self::Freeze(peer) => write!(f, "{peer} stands still"),
            Self::PauseReplay => write!(f, "the standby shows nothing new"),
            Self::Lag(by) => write!(f, "the standby is {by:?} behind"),
            Self::FailFiles(fault, times) => write!(f, "S3 fails {times} times ({fault:?})"),
            Self::Wire(node, peer, wire) => write!(f, "between {} and {peer}: {wire:?}", name_of(node)),
        }
    }
}
