//! [`Api`]: a client of a server, signed in or not.

use std::net::SocketAddr;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::place::PATIENCE;

/// The password of everybody whom a test makes.
pub(crate) const PASSWORD: &str = "tango-velvet-harbor-91";

#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    url: String,
    /// As it was answered.
    pub(crate) session: Value,
}

/// An answer that has arrived whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// Null if it is no JSON.
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { http, url: format!("http://{address}"), session: Value::Null }
    }

    /// Sends a request; an error if no answer comes, as from a server that is killed.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = self.session["accessToken"].as_str() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|it| it.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        Ok(Answer {
            status,
            retry_after,
            body: serde_json::from_slice(&response.bytes().await?).unwrap_or_default(),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await.expect("an answer")
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/auth/login", &json!({"email": email, "password": password})).await
    }

    /// Somebody with a new account.
    pub(crate) async fn registered(&self, email: &str) -> Self {
        self.with_session(self.post("/auth/register", &new_user(email)).await.expect(201))
    }

    pub(crate) fn with_session(&self, session: Value) -> Self {
        Self { session, ..self.clone() }
    }

    /// How many users there are, as an administrator sees it.
    pub(crate) async fn count_users(&self) -> u64 {
        self.get("/users").await.expect(200)["pagination"]["total"].as_u64().expect("a number")
    }
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

pub(crate) fn new_user(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace"})
}
