//! Real servers from local binaries, on free ports, each for as long as the value that stands for it.
//!
//! A server runs under a small shell that reads commands from a pipe. When the test ends, however it ends, the pipe
//! closes, and the shell takes the server down and removes its files: a dead test leaves nothing behind. Nothing here
//! is asynchronous or knows a driver, so any adapter can use it.
//!
//! S3 has no small server that is installed everywhere, so that one is a thread of the test; it takes the feature `s3`.
//! Servers in containers take the feature `containers`.

mod authority;
#[cfg(feature = "containers")]
pub mod containers;
mod haproxy;
mod postgres;
mod redis;
#[cfg(feature = "s3")]
pub mod s3;
mod shell;

pub use authority::{Authority, Certificate};
pub use haproxy::Haproxy;
pub use postgres::Postgres;
pub use redis::Redis;
#[cfg(feature = "s3")]
pub use s3::S3;

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, and everything is written.
    Fast,
    /// Everybody stops at once, and the next start recovers.
    Immediate,
    /// As when the machine kills it.
    Kill,
}

impl Stop {
    /// What the scripts call it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
            Self::Kill => "kill",
        }
    }
}
