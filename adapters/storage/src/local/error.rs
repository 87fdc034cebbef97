//! From what the operating system reports to what an operator should read.

use std::io;

use opendal::{Error, ErrorKind};
use rustix::io::Errno;

/// The same failure as OpenDAL tells it, with a message that says what is the matter.
pub(crate) fn opendal_error(error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "no such file or folder"),
        io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, "permission denied"),
        io::ErrorKind::StorageFull => (ErrorKind::Unexpected, "the disk is full"),
        io::ErrorKind::QuotaExceeded => (ErrorKind::Unexpected, "the disk quota is used up"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Unexpected, "the file system is read-only"),
        io::ErrorKind::FileTooLarge => {
            (ErrorKind::Unexpected, "the file would be larger than is allowed here")
        }
        io::ErrorKind::IsADirectory => (ErrorKind::IsADirectory, "a folder is where an object should be"),
        io::ErrorKind::NotADirectory => {
            (ErrorKind::NotADirectory, "something else is where a folder of objects should be")
        }
        // A link is never followed: it may lead out of the root.
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            (ErrorKind::IsADirectory, "a symbolic link is where an object should be")
        }
        _ => return Error::new(ErrorKind::Unexpected, error.to_string()).set_source(error),
    };
    Error::new(kind, message).set_source(error)
}

#[cfg(test)]
mod tests {
    use portwright_domain::ErrorKind::{Corrupt, Misconfigured, Unavailable};

    use super::*;
    use crate::error::port_error;

    #[test]
    fn every_failure_of_a_disk_says_what_is_the_matter() {
        for (errno, kind, detail) in [
            (Errno::NOSPC, Unavailable, "the disk is full"),
            (Errno::DQUOT, Unavailable, "the disk quota is used up"),
            (Errno::ROFS, Unavailable, "the file system is read-only"),
            (Errno::FBIG, Unavailable, "the file would be larger than is allowed here"),
            (Errno::IO, Unavailable, "Input/output error (os error 5)"),
            (Errno::ACCESS, Misconfigured, "permission denied"),
            (Errno::LOOP, Corrupt, "a symbolic link is where an object should be"),
            (Errno::ISDIR, Corrupt, "a folder is where an object should be"),
            (Errno::NOTDIR, Corrupt, "something else is where a folder of objects should be"),
        ] {
            let error = port_error("storage.put", opendal_error(errno.into()));
            assert_eq!((error.kind(), error.detail()), (kind, detail));
        }
    }
}
