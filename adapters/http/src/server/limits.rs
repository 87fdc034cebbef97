//! [`ServerLimits`]: how much of us one client may have.

use std::time::Duration;

/// Every bound on what clients can take up. The defaults serve the open internet; tests shrink them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; one more is closed as soon as it is accepted. 10,000.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64), trusted proxies excepted. 256.
    pub connections_per_address: usize,
    /// From the connection, or from the first byte of a later request, to the end of the request head: else 408, or
    /// silence for silence. 10 s.
    pub head_timeout: Duration,
    /// From an answer to the next request: else the connection is closed. Not below `head_timeout`. 30 s.
    pub idle_timeout: Duration,
    /// A client that takes none of the answer for so long is cut off. 30 s.
    pub write_timeout: Duration,
    /// How long a closed connection may go on sending what nobody reads, so that its last answer is not lost in a
    /// reset. 2 s.
    pub linger: Duration,
    /// Bytes of a request head, request line included: else 431. 16 KiB.
    pub head_bytes: usize,
    /// Bytes of a request target: else 414. 8 KiB.
    pub target_bytes: usize,
    /// The longest pause within a body: else 408. 15 s.
    pub body_pause: Duration,
    /// A body slower than `body_rate` is 408 once we waited for it this long. 10 s.
    pub body_grace: Duration,
    /// Bytes of a body per second of waiting for it. 1,024.
    pub body_rate: u32,
    /// What a path allows that has no limits of its own.
    pub route: RouteLimits,
}

/// Bounds on one request, which differ from path to path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteLimits {
    /// Bytes of a body: else 413, before any of it is read if `Content-Length` tells. 1 MiB.
    pub body_bytes: u64,
    /// From the head of the request to the head of its answer: else 504, or 408 if the body was not all here yet.
    /// 30 s.
    pub deadline: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 256,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            head_bytes: 16 * 1024,
            target_bytes: 8 * 1024,
            body_pause: Duration::from_secs(15),
            body_grace: Duration::from_secs(10),
            body_rate: 1024,
            route: RouteLimits::default(),
        }
    }
}

impl ServerLimits {
    /// How long the next piece of a body may take, when `received` bytes of it were waited for so long: no longer than a pause,
    /// nor than the least rate allows.
    pub(crate) fn body_patience(&self, received: u64, waited: Duration) -> Duration {
        let earned = Duration::from_secs(received / u64::from(self.body_rate.max(1)));
        (self.body_grace + earned).saturating_sub(waited).min(self.body_pause)
    }
}

impl RouteLimits {
    /// The limits of a path that has none of its own.
    pub const DEFAULT: Self = Self { body_bytes: 1024 * 1024, deadline: Duration::from_secs(30) };
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
