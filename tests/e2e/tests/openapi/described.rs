//! [`Described`]: an operation as the document describes it.

use std::collections::BTreeSet;

use portwright_e2e::Answer;
use reqwest::Method;
use serde_json::Value;

/// Headers that mean something to a client, so that whoever gets one should have been told.
const TOLD: [&str; 16] = [
    "allow",
    "cache-control",
    "consistency-token",
    "content-security-policy",
    "etag",
    "link",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];

/// Those that every answer has; they are described where they differ from that.
const EVERYWHERE: [&str; 2] = ["cache-control", "content-security-policy"];

/// Every operation: its path template, its method, and what the document says of it.
pub(crate) fn operations(document: &Value) -> Vec<(&str, Method, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().expect("operations").iter().map(|(method, operation)| {
            (
                path.as_str(),
                Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method"),
                operation,
            )
        })
    });
    all.collect()
}

/// An operation as the document describes it.
pub(crate) struct Described<'a> {
    document: &'a Value,
    operation: &'a Value,
}

impl<'a> Described<'a> {
    pub(crate) const fn new(document: &'a Value, operation: &'a Value) -> Self {
        Self { document, operation }
    }

    pub(crate) fn demands_sign_in(&self) -> bool {
        self.operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty())
    }

    pub(crate) fn statuses(&self) -> BTreeSet<u16> {
        let answers = self.operation["responses"].as_object().expect("answers");
        answers.keys().map(|status| status.parse().expect("a status")).collect()
    }

    /// Panics if the answer has a status, a media type or a header that is not described, or lacks a header that is.
    #[track_caller]
    pub(crate) fn covers(&self, answer: &Answer, what: &str) {
        let described = &self.operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{what}: {} is not described: {}", answer.status, answer.text);
        let described = self.resolved(described);

        let types: Vec<_> =
            described["content"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let sent = answer.header("content-type");
        let fits =
            if sent.is_empty() { types.is_empty() } else { types.iter().any(|described| described == sent) };
        assert!(fits, "{what}: {} is {sent:?}, described is {types:?}", answer.status);

        let headers = described["headers"].as_object().into_iter().flatten();
        let headers: BTreeSet<_> = headers.map(|(name, _)| name.to_lowercase()).collect();
        for name in TOLD.iter().filter(|name| answer.headers.contains_key(**name)) {
            let told = headers.contains(*name) || EVERYWHERE.contains(name);
            assert!(told, "{what}: {} has {name}, which is not described", answer.status);
        }
        for name in headers.iter().filter(|name| !may_be_absent(name, what)) {
            assert!(answer.headers.contains_key(name), "{what}: {} has no {name}", answer.status);
        }
    }

    fn resolved(&self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).expect("it leads somewhere"),
            None => value,
        }
    }
}

/// Signing out changes nothing if the token is another's, reads have a token only where replicas answer, and health and
/// metrics, which are not counted, share the descriptions of problems with everybody else.
fn may_be_absent(header: &str, what: &str) -> bool {
    (header == "consistency-token" && (what.contains("/auth/logout") || what.starts_with("GET ")))
        || (header.contains("ratelimit") && ["/health", "/metrics"].iter().any(|it| what.contains(it)))
}
