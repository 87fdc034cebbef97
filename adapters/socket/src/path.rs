//! Where the socket is, whatever the length of the path.
//!
//! An address of a Unix socket has 108 bytes, a path can have 4,096. The directory is opened, and the address goes through
//! its descriptor in `/proc`, which is always short.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The name of the socket in the data directory.
const NAME: &str = "queue.sock";

/// The longest path that is an address, with its terminating zero.
const LONGEST: usize = 107;

/// An address for the socket in a directory, valid while it lives.
pub(crate) struct Address {
    /// Keeps the descriptor open that the path leads through.
    _directory: Option<File>,
    path: PathBuf,
}

impl Address {
    pub(crate) fn within(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { _directory: None, path });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
        Ok(Self { _directory: Some(directory), path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
