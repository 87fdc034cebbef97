//! The deadline of a request, as far as the edge knows it. What is behind the use cases is told of it by a function that is
//! given to us: the edge and whatever is there know nothing of each other.

use std::sync::Arc;

use futures::future::BoxFuture;
use poem::{Response, Result};
use tokio::time::Instant;

/// A handler at work.
pub type Handling<'a> = BoxFuture<'a, Result<Response>>;

/// Runs a handler and tells all that it asks for until when the answer is of use.
pub type WithDeadline = Arc<dyn for<'a> Fn(Instant, Handling<'a>) -> Handling<'a> + Send + Sync>;

/// Whether a handler failed because its time was over: what it asked for was given up a moment before the handler was.
pub(super) fn failed_in_the_end(answered: &Result<Response>, at: Instant) -> bool {
    let status = answered.as_ref().map_or_else(poem::Error::status, Response::status);
    status.is_server_error() && Instant::now() >= at
}
