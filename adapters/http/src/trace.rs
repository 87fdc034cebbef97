//! Where a request stands in its trace (W3C Trace Context), and what its jobs are told of that.

use poem::Request;
use poem::http::HeaderMap;
use portwright_application::trace::Origin;
use portwright_domain::TraceContext;
use portwright_domain::trace::TraceState;

/// Whoever sent the request, by its `traceparent` and `tracestate`. Of two parents nobody could say which.
pub(crate) fn parent_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all("traceparent").iter();
    let (Some(header), None) = (given.next(), given.next()) else { return None };
    let parent = TraceContext::parse(header.to_str().ok()?)?;
    Some(parent.with_state(state_of(headers)))
}

/// What is in several headers is one list.
fn state_of(headers: &HeaderMap) -> Option<TraceState> {
    let mut list = String::new();
    for header in headers.get_all("tracestate") {
        if list.len() > TraceState::MAX_BYTES {
            return None;
        }
        list.extend([header.to_str().ok()?, ","]);
    }
    TraceState::parse(&list)
}

/// The request, for a job that it asks for.
pub(crate) fn origin(request: &Request) -> Option<Origin> {
    request.data::<Origin>().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn a_request_has_the_parent_that_it_names_if_it_names_one() {
        let parent = parent_of(&headers(&[("traceparent", PARENT)])).expect("a parent");
        assert_eq!((parent.to_string().as_str(), &parent.state), (PARENT, &None));
        assert_eq!(parent_of(&headers(&[])), None);
        assert_eq!(parent_of(&headers(&[("traceparent", "nonsense")])), None);
        assert_eq!(parent_of(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])), None);
        assert_eq!(parent_of(&headers(&[("tracestate", "a=1")])), None, "a state alone is of no trace");
    }

    #[test]
    fn the_state_is_what_all_its_headers_say_together() {
        let state = |pairs: &[(&'static str, &'static str)]| {
            let all: Vec<_> = [("traceparent", PARENT)].iter().chain(pairs).copied().collect();
            parent_of(&headers(&all)).expect("a parent").state.map(|state| state.as_str().to_owned())
        };
        assert_eq!(
            state(&[("tracestate", "a=1, b=2"), ("tracestate", "c=3")]).as_deref(),
            Some("a=1,b=2,c=3")
        );
        assert_eq!(state(&[("tracestate", "a=1"), ("tracestate", "nonsense")]), None);
    }
}
