//! [`Caller`]: somebody who calls the API, signed in or not.

use std::sync::Arc;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::events::Events;
use crate::freshness::Freshness;

/// A client of the API, which reads what was written before, whichever replica answers.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    base: String,
    session: Value,
    freshness: Arc<Freshness>,
}

impl Caller {
    pub(crate) fn new(http: Client, base: String, freshness: Arc<Freshness>) -> Self {
        Self { http, base, session: Value::Null, freshness }
    }

    /// The same client with this session.
    #[must_use]
    pub fn with_session(&self, session: Value) -> Self {
        Self { session, ..self.clone() }
    }

    /// The same client with another access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let mut other = self.clone();
        other.session["accessToken"] = token.into();
        other
    }

    /// The session as it was answered.
    #[must_use]
    pub fn session(&self) -> &Value {
        &self.session
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.session["accessToken"].as_str().unwrap_or_default()
    }

    /// The refresh token.
    #[must_use]
    pub fn refresh_token(&self) -> &str {
        self.session["refreshToken"].as_str().unwrap_or_default()
    }

    /// The signed-in user's identity.
    #[must_use]
    pub fn id(&self) -> &str {
        self.session["user"]["id"].as_str().unwrap_or_default()
    }

    /// The path of the signed-in user.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/users/{}", self.id())
    }

    /// A request to be completed and sent with [`Caller::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match self.session["accessToken"].as_str() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let (http, request) = request.build_split();
        let mut request = request.expect("a request");
        self.freshness.ask(&mut request);
        let answer = http.execute(request).await.expect("an answer");
        self.freshness.heard(answer.headers());
        Answer::of(answer).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `GET` with one more header.
    pub async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        self.send(self.request(Method::GET, path).header(name, value)).await
    }

    /// `POST` of JSON with one more header.
    pub async fn post_with(&self, path: &str, body: &Value, name: &str, value: &str) -> Answer {
        self.send(self.request(Method::POST, path).json(body).header(name, value)).await
    }

    /// A job of this caller that counts the primes below a number; as it was answered, which is before it began.
    pub async fn start_primes(&self, below: u64) -> Value {
        let query = json!({"below": below});
        self.post_with("/compute/primes", &query, "Prefer", "respond-async").await.expect(202)
    }

    /// Opens a stream of events, from behind the last one that was seen. Panics unless the answer is one.
    pub async fn follow(&self, path: &str, last_event_id: Option<&str>) -> Events {
        let request = self.request(Method::GET, path);
        let request = last_event_id.into_iter().fold(request, |it, id| it.header("Last-Event-ID", id));
        Events::of(request.send().await.expect("an answer"))
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }
}
