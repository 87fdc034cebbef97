//! The outermost layer: somebody sees what callers see.

use std::future::Future;

use portwright_domain::PortError;
use portwright_domain::ports::{Event, Observer};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

/// The answer to a call, which is observed as [`Event::PortCalled`]; one that nobody waits for any more is not. It is a
/// span of whatever trace it belongs to, which costs nothing where nobody records spans.
pub(crate) async fn observed<T>(
    observer: &dyn Observer,
    operation: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let span = span_of(operation);
    let began = Instant::now();
    let answer = call.instrument(span.clone()).await;
    let (port, method) = operation.split_once('.').unwrap_or((operation, ""));
    let error = answer.as_ref().err().map(PortError::kind);
    if let Some(error) = error {
        span.record("error.type", tracing::field::display(error));
    }
    observer.observe(&Event::PortCalled { port, operation: method, took: began.elapsed(), error });
    answer
}

/// The span of a call, under the names of OpenTelemetry's conventions for databases and messaging.
fn span_of(operation: &'static str) -> Span {
    debug_span!(
        "port",
        port.operation = operation,
        "error.type" = Empty,
        otel.kind = "client",
        otel.name = operation,
        otel.db.operation.name = is_of(operation, &DATABASE).then_some(operation),
        otel.messaging.operation.name = is_of(operation, &QUEUE).then_some(operation),
    )
}

const DATABASE: [&str; 5] = ["store", "users", "sessions", "idempotency", "outbox"];
const QUEUE: [&str; 2] = ["job_queue", "job_source"];

fn is_of(operation: &str, ports: &[&str]) -> bool {
    operation.split_once('.').is_some_and(|(port, _)| ports.contains(&port))
}
