//! The deadline of whoever asks: a port is not waited for longer than its answer is of use.
//!
//! It travels with the task and not through signatures, as use cases and ports have nothing to decide by it. A task that a
//! request leaves behind does not inherit it: what must come to its end has its own time.

use std::future::Future;

use portwright_domain::{ErrorKind, PortError};
use tokio::time::{Instant, timeout_at};

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs `future`, within which no call of a port is waited for beyond `at`: it is `Unavailable` then, and one that is made
/// later is not begun. Deadlines nest, the earliest counts.
pub async fn with_deadline<F: Future>(at: Instant, future: F) -> F::Output {
    let at = DEADLINE.try_get().map_or(at, |outer| outer.min(at));
    DEADLINE.scope(at, future).await
}

/// The answer to a call, if it comes while somebody can use it.
pub(crate) async fn in_time<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let Ok(at) = DEADLINE.try_get() else { return call.await };
    let over = || PortError::new(ErrorKind::Unavailable, operation, "no time is left to the caller");
    if at <= Instant::now() {
        return Err(over());
    }
    timeout_at(at, call).await.unwrap_or_else(|_elapsed| Err(over()))
}
