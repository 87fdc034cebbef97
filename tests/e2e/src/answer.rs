//! [`Answer`]: what came back, and what a test expects of it.

use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;

/// An answer that has arrived whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a body") }
    }

    /// An answer as it came over a socket, with `Content-Length`. Panics if there is none.
    #[must_use]
    pub fn parse(raw: &str) -> Self {
        let (head, text) = raw.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {raw:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.trim().parse().expect("a value"));
        }
        Self { status: status.expect("a status"), headers, text: text.to_owned() }
    }

    /// A header; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The body, if the status is this one.
    #[track_caller]
    #[must_use]
    pub fn body(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Panics if the status is another; the body.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "often the status is all that matters")]
    pub fn expect(&self, status: u16) -> Value {
        self.body(status)
    }

    /// Panics if it is not this problem in every respect that all problems share; the body.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "often the code is all that matters")]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect_refused(status, code);
        assert!(body["instance"].as_str().is_some_and(|path| path.starts_with('/')), "{body}");
        body
    }

    /// The same for a request whose head was refused: what it wanted is not known, so there may be no `instance`.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "often the code is all that matters")]
    pub fn expect_refused(&self, status: u16, code: &str) -> Value {
        let body = self.body(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["requestId"], self.header("x-request-id"));
        for name in ["title", "detail"] {
            assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        body
    }

    /// Panics if it is not a validation problem with exactly these (pointer, code) pairs, in any order.
    #[track_caller]
    pub fn expect_invalid(&self, expected: &[(&str, &str)]) {
        let body = self.expect_problem(422, "validation-failed");
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let errors = body["errors"].as_array().expect("errors").iter();
        let mut found: Vec<_> = errors.map(|error| (text(error, "pointer"), text(error, "code"))).collect();
        let mut expected: Vec<_> =
            expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}
