//! From what OpenDAL reports to what a caller can do about it.

use opendal::ErrorKind as Reported;
use portwright_domain::{ErrorKind, PortError};

use crate::s3::refusal;

/// The same failure in the words of the port. That nothing is there is no failure, and is asked for before.
pub(crate) fn port_error(operation: &'static str, error: opendal::Error) -> PortError {
    if let Some((kind, meaning)) = refusal::of(&error) {
        return PortError::new(kind, operation, meaning).with_source(error);
    }
    let kind = match error.kind() {
        Reported::PermissionDenied | Reported::ConfigInvalid => ErrorKind::Misconfigured,
        Reported::Unsupported => ErrorKind::Unsupported,
        // Something that we did not put is where an object or its folder should be.
        Reported::IsADirectory | Reported::NotADirectory => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    PortError::new(kind, operation, error.message().to_owned()).with_source(error)
}
