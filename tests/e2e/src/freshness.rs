//! [`Freshness`]: the newest `Consistency-Token` that the callers of an app have seen.

use std::sync::Mutex;

use portwright_domain::ports::{CommitToken, Purpose, Sealer};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Request};

/// The name in both directions.
const TOKEN: &str = "consistency-token";

/// What all callers of an app send with their reads, as clients do that want to see what they wrote, whichever replica
/// answers. They share it, since in a test one sees what another did.
///
/// Answers to requests at the same time come in any order, and which of two tokens is newer is no client's to know; this
/// one looks inside.
pub(crate) struct Freshness {
    sealer: Box<dyn Sealer>,
    newest: Mutex<Option<(Vec<u64>, HeaderValue)>>,
}

impl Freshness {
    pub(crate) fn new(sealer: impl Sealer + 'static) -> Self {
        Self { sealer: Box::new(sealer), newest: Mutex::new(None) }
    }

    /// Adds the token to a read that says nothing about it.
    pub(crate) fn ask(&self, request: &mut Request) {
        if request.method() != Method::GET || request.headers().contains_key(TOKEN) {
            return;
        }
        if let Some((_, token)) = &*self.newest.lock().expect("nobody panicked in here") {
            request.headers_mut().insert(TOKEN, token.clone());
        }
    }

    /// Notes the token of an answer, if it has one.
    pub(crate) fn heard(&self, answer: &HeaderMap) {
        if let Some(token) = answer.get(TOKEN) {
            let opened = token.to_str().ok().and_then(|text| self.sealer.open(Purpose::CommitToken, text));
            let opened = opened.and_then(|content| String::from_utf8(content).ok());
            self.note(&opened.expect("an answer has a token of ours"), token.clone());
        }
    }

    /// Notes a commit that no answer told of.
    pub(crate) fn committed(&self, token: &CommitToken) {
        let sealed = self.sealer.seal(Purpose::CommitToken, token.as_str().as_bytes());
        self.note(token.as_str(), sealed.parse().expect("a header value"));
    }

    fn note(&self, content: &str, token: HeaderValue) {
        let place = place(content);
        let mut newest = self.newest.lock().expect("nobody panicked in here");
        if newest.as_ref().is_none_or(|(known, _)| *known <= place) {
            *newest = Some((place, token));
        }
    }
}

/// Where in the history of the store it is: the numbers of PostgreSQL's `pg:TIMELINE:LSN`. A store whose reads are always
/// the newest has none.
fn place(content: &str) -> Vec<u64> {
    content.split(':').filter_map(|part| u64::from_str_radix(part, 16).ok()).collect()
}
