//! The request id: what a client, our logs and a report have in common.

use poem::http::{HeaderName, HeaderValue};
use poem::{Request, Response};
use portwright_domain::ports::IdGenerator;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 1–128 of `A-Za-z0-9._-`.
#[derive(Debug, Clone)]
pub(super) struct RequestId(String);

impl RequestId {
    /// The client's, if it is valid; else a new one.
    pub(super) fn of(request: &Request, ids: &dyn IdGenerator) -> Self {
        let given = request.header(X_REQUEST_ID).filter(|id| is_valid(id));
        Self(given.map_or_else(|| ids.next().to_string(), str::to_owned))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn write(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
    }
}

fn is_valid(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_harmless() {
        for id in ["a", "A-Z_0.9", &"x".repeat(128)] {
            assert!(is_valid(id), "{id}");
        }
        for id in ["", "a b", "a\"b", "ä", &"x".repeat(129)] {
            assert!(!is_valid(id), "{id}");
        }
    }
}
