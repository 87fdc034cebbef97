//! The outermost layer: somebody sees what callers see.

use std::future::Future;

use portwright_domain::PortError;
use portwright_domain::ports::{Event, Observer};
use tokio::time::Instant;

/// The answer to a call, which is observed as [`Event::PortCalled`]; one that nobody waits for any more is not.
pub(crate) async fn observed<T>(
    observer: &dyn Observer,
    operation: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let began = Instant::now();
    let answer = call.await;
    let (port, operation) = operation.split_once('.').unwrap_or((operation, ""));
    let error = answer.as_ref().err().map(PortError::kind);
    observer.observe(&Event::PortCalled { port, operation, took: began.elapsed(), error });
    answer
}
