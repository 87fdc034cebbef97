//! The span of a try: what everything has in common that is logged and recorded meanwhile.
//!
//! Fields whose names begin with `otel.` are for traces and in no log. The names are those of OpenTelemetry's conventions
//! for messaging, where there is one.

use std::time::Duration;

use portwright_domain::TraceContext;
use portwright_domain::job::{LeasedJob, Outcome};
use portwright_domain::ports::job_queue::Verdict;
use portwright_domain::trace::TraceState;
use tracing::field::{self, Empty};
use tracing::{Span, error_span, info, warn};

use super::verdict::outcome_of;
use crate::compute::envelope::Meta;

/// The span of this try, which stands at `trace` because of `parent`. At the level of errors, so that no filter takes
/// from a warning which job it is about.
pub(super) fn of_try(
    leased: &LeasedJob,
    meta: Option<&Meta>,
    trace: &TraceContext,
    parent: Option<&TraceContext>,
) -> Span {
    error_span!(
        "job",
        job_id = %leased.lease.job,
        task = %leased.job.task,
        attempt = leased.attempt,
        trace_id = %trace.trace_id,
        request_id = meta.and_then(|meta| meta.request_id.as_deref()),
        user_id = meta.and_then(|meta| meta.requested_by).map(field::display),
        messaging.destination.name = leased.job.queue.as_str(),
        outcome = Empty,
        "error.type" = Empty,
        otel.kind = "consumer",
        otel.messaging.system = "portwright",
        otel.messaging.operation.name = "process",
        otel.messaging.operation.type = "process",
        otel.trace = %trace,
        otel.parent = parent.map(|parent| field::display(parent.span_id)),
        otel.state = trace.state.as_ref().map(TraceState::as_str),
    )
}

/// Says once, within the span of the try, how it ended.
pub(super) fn end(verdict: &Verdict, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (span, outcome) = (Span::current(), outcome_of(verdict));
    span.record("outcome", outcome);
    match verdict {
        Verdict::Retry { death, .. } | Verdict::Finish(Outcome::Dead(death)) => {
            span.record("error.type", death.cause.as_str());
            warn!(duration_ms, detail = death.detail, "a try failed");
        }
        Verdict::Finish(Outcome::Failed(_)) => {
            // The task's own word, which is for whoever asked.
            span.record("error.type", outcome);
            info!(duration_ms, "a try ended");
        }
        Verdict::Finish(Outcome::Succeeded(_) | Outcome::Cancelled) | Verdict::Release => {
            info!(duration_ms, "a try ended");
        }
    }
}
