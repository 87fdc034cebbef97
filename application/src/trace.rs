//! Where requests and tries of jobs stand in their traces.

use std::num::{NonZeroU64, NonZeroU128};

use portwright_domain::trace::{Sampler, SpanId, TraceContext, TraceId};

use crate::jitter::random_bits;

/// What made somebody ask for a job. It goes with the job, so that whatever is logged and recorded of it is found
/// together with what was logged and recorded of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request, or the job, that asked.
    pub trace: TraceContext,
    /// The id of the request that it all began with.
    pub request_id: Option<String>,
}

/// A new place in the trace of `parent`, or in a new one.
#[must_use]
pub fn begin(sampler: Sampler, parent: Option<&TraceContext>) -> TraceContext {
    let span_id = SpanId(NonZeroU64::new(random_bits()).unwrap_or(NonZeroU64::MIN));
    if let Some(parent) = parent {
        return parent.child(span_id, sampler.samples(parent.trace_id, Some(parent.is_sampled)));
    }
    let bits = u128::from(random_bits()) << 64 | u128::from(random_bits());
    let trace_id = TraceId(NonZeroU128::new(bits).unwrap_or(NonZeroU128::MIN));
    TraceContext { trace_id, span_id, is_sampled: sampler.samples(trace_id, None), state: None }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portwright_domain::trace::TraceState;

    use super::*;

    #[test]
    fn whoever_has_no_parent_begins_a_trace_of_its_own() {
        let begun: Vec<_> = (0..10_000).map(|_| begin(Sampler::PARENT_OR_ALL, None)).collect();
        assert!(begun.iter().all(|it| it.is_sampled && it.state.is_none()));
        assert_eq!(begun.iter().map(|it| it.trace_id).collect::<HashSet<_>>().len(), begun.len());
        assert_eq!(begun.iter().map(|it| it.span_id).collect::<HashSet<_>>().len(), begun.len());
        let quarter = Sampler { obeys_parent: true, ratio: 0.25 };
        let sampled = (0..10_000).filter(|_| begin(quarter, None).is_sampled).count();
        assert!((2_200..2_800).contains(&sampled), "{sampled}");
    }

    #[test]
    fn whoever_has_a_parent_goes_on_in_its_trace() {
        let parent = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let parent = parent.expect("valid").with_state(TraceState::parse("a=1"));
        let child = begin(Sampler::OFF, Some(&parent));
        assert_eq!(child, TraceContext { span_id: child.span_id, ..parent.clone() });
        assert_ne!(child.span_id, parent.span_id);
        let never = Sampler { obeys_parent: false, ratio: 0.0 };
        assert!(!begin(never, Some(&parent)).is_sampled);
    }
}
