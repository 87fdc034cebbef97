//! [`Policy`]: how much patience a port deserves.
//!
//! There is one for what is in this process or on its disks, and one for what is reached over a network: they differ in
//! what is normal. A deadline here is a backstop: it is longer than what a healthy adapter bounds itself, because an
//! adapter knows better what became of the question.

use std::time::Duration;

/// The patience with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long one call may take, beyond what it was asked to wait; then it is `Unavailable`.
    pub deadline: Duration,
    /// When its breaker opens, and closes again.
    pub thresholds: Thresholds,
}

/// When a breaker opens, and closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Calls that ended longer ago than this are forgotten, a tenth of this at a time.
    pub window: Duration,
    /// Fewer calls within the window than this prove nothing.
    pub calls: u64,
    /// It opens as soon as this many of a hundred calls failed.
    pub failed_percent: u64,
    /// A call that takes longer than this, beyond what it was asked to wait, is slow.
    pub slow_after: Duration,
    /// It opens as soon as this many of a hundred calls were slow.
    pub slow_percent: u64,
    /// How long it refuses every call before a few may try: up to half as long again, so that not all processes try at
    /// one moment.
    pub open: Duration,
    /// So many calls may try at once, and as many must work before it closes; 1 at least.
    pub probes: u32,
}

impl Thresholds {
    /// Half of at least five calls in five seconds failed, or took longer than a second; open for half a second; closed
    /// after three that worked.
    pub const DEFAULT: Self = Self {
        window: Duration::from_secs(5),
        calls: 5,
        failed_percent: 50,
        slow_after: Duration::from_secs(1),
        slow_percent: 50,
        open: Duration::from_millis(500),
        probes: 3,
    };

    const fn slow_after(self, slow_after: Duration) -> Self {
        Self { slow_after, ..self }
    }
}

impl Policy {
    /// In this process, on its disks or on this host: 30 s, which nothing takes unless a disk hangs, and nothing is slow.
    pub const LOCAL: Self =
        Self { deadline: Duration::from_secs(30), thresholds: Thresholds::DEFAULT.slow_after(Duration::MAX) };

    /// Over a network: 2 s, and slow after 1 s.
    pub const REMOTE: Self = Self { deadline: Duration::from_secs(2), thresholds: Thresholds::DEFAULT };

    /// A cache over a network: 20 ms, and slow after 10 ms. It is asked on the way of every request, which does without it
    /// sooner than wait for it.
    pub const CACHE: Self = Self {
        deadline: Duration::from_millis(20),
        thresholds: Thresholds::DEFAULT.slow_after(Duration::from_millis(10)),
    };

    /// A rate limiter over a network: so long, and slow after half of it. Every request is counted before anything else,
    /// so this is what an outage costs each until the breaker opens; and what a busy process has to read an answer that
    /// is there.
    #[must_use]
    pub fn rate_limiter(deadline: Duration) -> Self {
        Self { deadline, thresholds: Thresholds::DEFAULT.slow_after(deadline / 2) }
    }
}

/// The patience with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorePolicy {
    /// Opening a view or a unit of work.
    pub policy: Policy,
    /// How long one question within either may take, or a rollback.
    pub question: Duration,
    /// How long a commit may take. What became of one that is given up is unknown, so this is longer than the store
    /// needs to find that out by itself.
    pub commit: Duration,
}

impl StorePolicy {
    /// On the disks of this host: 30 s for every step.
    pub const LOCAL: Self =
        Self { policy: Policy::LOCAL, question: Policy::LOCAL.deadline, commit: Policy::LOCAL.deadline };

    /// Over a network: opening as any port there, then 12 s per question, whose statement the server bounds with 10 s, and
    /// 20 s for a commit.
    pub const REMOTE: Self =
        Self { policy: Policy::REMOTE, question: Duration::from_secs(12), commit: Duration::from_secs(20) };
}

/// The patience with a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoragePolicy {
    /// Everything but bytes on their way.
    pub policy: Policy,
    /// How long the storage may take for one part of an object, up or down; what the other end of an upload takes does not
    /// count.
    pub part: Duration,
}

impl StoragePolicy {
    /// On the disks of this host: 30 s for every step.
    pub const LOCAL: Self = Self { policy: Policy::LOCAL, part: Policy::LOCAL.deadline };

    /// Over a network: as any port there, and 10 s per part, which is some megabytes.
    pub const REMOTE: Self = Self { policy: Policy::REMOTE, part: Duration::from_secs(10) };
}
