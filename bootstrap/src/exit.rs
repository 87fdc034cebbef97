//! How a run ends: the numbers that supervisors, scripts and container probes read.
//!
//! From 64 up they are those of `sysexits.h`. A supervisor restarts after 69, 70 and 75; after 73, 77 and 78 nothing
//! changes until somebody changes something.

use std::process::ExitCode;

/// The status of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; also a server that was told to stop and finished what it had begun.
    Done = 0,
    /// A check failed, or a shutdown was cut short.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A dependency cannot be reached, or the port is taken.
    Unavailable = 69,
    /// A bug of ours.
    Bug = 70,
    /// The data directory, or a file in it, cannot be created.
    CannotCreate = 73,
    /// Something is in the way that goes away by itself, or with another process.
    TryAgain = 75,
    /// The operating system does not let us.
    Permission = 77,
    /// The configuration has problems.
    Config = 78,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that the run ended before it began.
    #[must_use]
    pub const fn nothing_was_started(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::CannotCreate | Self::TryAgain | Self::Permission | Self::Config
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
