//! The innermost layer: nobody waits for ever for a port.

use std::future::Future;
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};

/// The answer to a call, or `Unavailable` once it is late. The call is dropped then; what became of it is unknown.
pub(crate) async fn within<T>(
    deadline: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_elapsed| Err(late(deadline, operation)))
}

/// There was no answer in time.
pub(crate) fn late(deadline: Duration, operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, format!("no answer in {deadline:?}"))
}
