//! A tour of all operations, with a look at everything they can answer: the document has to know it all.

mod avatars;
mod jobs;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portwright::config::{AppEnv, Registration};
use portwright_e2e::app::{ADMIN, PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::described::{Described, operations};

/// Somebody who compares each answer with the document, and remembers where they were.
struct Tourist {
    document: Value,
    seen: BTreeMap<String, BTreeSet<u16>>,
}

impl Tourist {
    fn new() -> Self {
        Self { document: portwright_http::document().value, seen: BTreeMap::new() }
    }

    /// Asks for something that must be answered with this status.
    async fn ask(&mut self, caller: &Caller, what: &str, body: Value, status: u16) -> Answer {
        self.ask_with(caller, what, body, &[], status).await
    }

    /// The same with headers. `what` is method and path, and null is no body.
    async fn ask_with(
        &mut self,
        caller: &Caller,
        what: &str,
        body: Value,
        headers: &[(&str, &str)],
        status: u16,
    ) -> Answer {
        let body = (!body.is_null()).then(|| ("application/json", body.to_string().into_bytes()));
        self.send(caller, what, body, headers, status).await
    }

    /// The same with a body of any media type.
    async fn send(
        &mut self,
        caller: &Caller,
        what: &str,
        body: Option<(&str, Vec<u8>)>,
        headers: &[(&str, &str)],
        status: u16,
    ) -> Answer {
        let (method, path) = what.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let mut request = caller.request(method.clone(), path);
        if let Some((media_type, bytes)) = body {
            request = request.header("Content-Type", media_type).body(bytes);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = caller.send(request).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);

        let operations = operations(&self.document);
        let (template, _, operation) = operations
            .iter()
            .filter(|(template, of, _)| *of == method && fits(template, path))
            .min_by_key(|(template, ..)| template.matches('{').count())
            .expect("the operation is documented");
        Described::new(&self.document, operation).covers(&answer, what);
        self.seen.entry(format!("{method} {template}")).or_default().insert(status);
        answer
    }

    /// Panics if there is an operation whose success was not seen.
    fn has_seen_everything(&self) {
        for (template, method, operation) in operations(&self.document) {
            let name = format!("{method} {template}");
            let seen = self.seen.get(&name).cloned().unwrap_or_default();
            let described = Described::new(&self.document, operation);
            for success in described.statuses().into_iter().filter(|status| *status < 400) {
                assert!(seen.contains(&success), "the tour has not seen a {success} of {name}");
            }
            if described.demands_sign_in() {
                assert!(seen.contains(&401), "the tour has not seen a 401 of {name}");
            }
        }
    }
}

fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(wanted, given)| wanted.starts_with('{') || *wanted == given)
}

#[tokio::test]
async fn no_operation_answers_what_the_document_does_not_list() {
    let app = TestApp::embedded().await;
    let mut tourist = Tourist::new();
    sessions(&app, &mut tourist).await;
    users(&app, &mut tourist).await;
    conditions(&app, &mut tourist).await;
    avatars::visit(&app, &mut tourist).await;
    jobs::visit(&app, &mut tourist).await;
    transfers::visit(&app, &mut tourist).await;
    service(&app, &mut tourist).await;
    tourist.has_seen_everything();

    bad_requests(&app, &mut tourist).await;
    limits(&mut tourist).await;
}

async fn sessions(app: &TestApp, tourist: &mut Tourist) {
    let nobody = app.nobody();
    let ada = new_user("ada@example.com", &json!({}));
    let session = tourist.ask(&nobody, "POST /auth/register", ada.clone(), 201).await.json();
    tourist.ask(&nobody, "POST /auth/register", ada, 409).await;
    tourist.ask(&nobody, "POST /auth/register", json!({}), 422).await;
    let closed = TestApp::with(|config| config.registration = Registration::Closed).await;
    tourist.ask(&closed.nobody(), "POST /auth/register", new_user("ada@example.com", &json!({})), 403).await;

    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    tourist.ask(&nobody, "POST /auth/login", credentials, 200).await;
    let wrong = json!({"email": "ada@example.com", "password": "not-the-password"});
    tourist.ask(&nobody, "POST /auth/login", wrong, 401).await;

    let ada = nobody.with_session(session);
    let token = json!({"refreshToken": ada.refresh_token()});
    let ada = ada.with_session(tourist.ask(&nobody, "POST /auth/refresh", token, 200).await.json());
    tourist.ask(&nobody, "POST /auth/refresh", json!({"refreshToken": "nonsense"}), 401).await;

    tourist.ask(&ada, "GET /auth/me", Value::Null, 200).await;
    tourist.ask(&nobody, "GET /auth/me", Value::Null, 401).await;
    tourist.ask(&nobody.with_token("nonsense"), "GET /auth/me", Value::Null, 401).await;

    let change = json!({"currentPassword": PASSWORD, "newPassword": "granite-otter-lagoon-37"});
    tourist.ask(&ada, "POST /auth/password", change.clone(), 204).await;
    tourist.ask(&ada, "POST /auth/password", change.clone(), 422).await;
    tourist.ask(&nobody, "POST /auth/password", change, 401).await;

    let token = json!({"refreshToken": ada.refresh_token()});
    tourist.ask(&ada, "POST /auth/logout", json!({"refreshToken": "nonsense"}), 204).await;
    tourist.ask(&ada, "POST /auth/logout", token.clone(), 204).await;
    tourist.ask(&ada, "POST /auth/logout", token, 401).await;
}

async fn users(app: &TestApp, tourist: &mut Tourist) {
    let (admin, moderator, user) = (app.admin().await, app.user("moderator").await, app.user("user").await);
    let nobody = app.nobody();
    for (caller, status) in [(&admin, 200), (&moderator, 200), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, "GET /users?page=1&limit=2", Value::Null, status).await;
        tourist.ask(caller, "GET /users?cursor=&limit=2", Value::Null, status).await;
    }
    tourist.ask(&admin, "GET /users?limit=0", Value::Null, 422).await;

    let grace = new_user("grace@example.com", &json!({}));
    let created = tourist.ask(&admin, "POST /users", grace.clone(), 201).await;
    for (caller, status) in [(&admin, 409), (&moderator, 403), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, "POST /users", grace.clone(), status).await;
    }
    let (of_grace, of_user) = (created.header("location").to_owned(), user.path());
    for (caller, path, status) in [
        (&admin, &of_grace, 200),
        (&moderator, &of_grace, 200),
        (&user, &of_user, 200),
        (&user, &of_grace, 404),
        (&nobody, &of_grace, 401),
        (&admin, &"/users/nonsense".to_owned(), 404),
    ] {
        tourist.ask(caller, &format!("GET {path}"), Value::Null, status).await;
    }
    for method in ["PATCH", "PUT"] {
        for (caller, path, body, status) in [
            (&admin, &of_grace, json!({"lastName": "Hopper"}), 200),
            (&user, &of_user, json!({"lastName": "Hopper"}), 200),
            (&user, &of_user, json!({"role": "admin"}), 403),
            (&user, &of_grace, json!({"lastName": "Hopper"}), 404),
            (&moderator, &of_grace, json!({"lastName": "Hopper"}), 403),
            (&nobody, &of_grace, json!({"lastName": "Hopper"}), 401),
            (&admin, &of_grace, json!({"email": ADMIN}), 409),
            (&admin, &admin.path(), json!({"role": "user"}), 409),
            (&admin, &of_grace, json!({"lastName": ""}), 422),
        ] {
            tourist.ask(caller, &format!("{method} {path}"), body, status).await;
        }
    }
    for (caller, path, status) in [
        (&nobody, &of_grace, 401),
        (&user, &of_grace, 403),
        (&admin, &admin.path(), 409),
        (&admin, &of_grace, 204),
        (&admin, &of_grace, 404),
    ] {
        tourist.ask(caller, &format!("DELETE {path}"), Value::Null, status).await;
    }
}

async fn conditions(app: &TestApp, tourist: &mut Tourist) {
    let (admin, user) = (app.admin().await, app.user("user").await);
    let path = user.path();
    let etag = admin.get(&path).await.header("etag").to_owned();
    tourist.ask_with(&admin, &format!("GET {path}"), Value::Null, &[("If-None-Match", &etag)], 304).await;
    for method in ["PATCH", "PUT", "DELETE"] {
        let body = if method == "DELETE" { Value::Null } else { json!({}) };
        let stale = [("If-Match", "\"4000000000\"")];
        tourist.ask_with(&admin, &format!("{method} {path}"), body, &stale, 412).await;
    }
    for path in ["/users", &path] {
        let forged = [("Consistency-Token", "nonsense")];
        tourist.ask_with(&admin, &format!("GET {path}"), Value::Null, &forged, 400).await;
    }
    let (one, other) = (new_user("one@example.com", &json!({})), new_user("other@example.com", &json!({})));
    let key = [("Idempotency-Key", "the-key")];
    let first = tourist.ask_with(&admin, "POST /users", one.clone(), &key, 201).await;
    let again = tourist.ask_with(&admin, "POST /users", one.clone(), &key, 201).await;
    assert_eq!(first.text, again.text);
    tourist.ask_with(&admin, "POST /users", other, &key, 422).await;
    tourist.ask_with(&admin, "POST /users", one, &[("Idempotency-Key", "")], 400).await;
    let credentials = json!({"email": ADMIN, "password": PASSWORD});
    tourist.ask_with(&app.nobody(), "POST /auth/login", credentials.clone(), &key, 200).await;
    // A session is given once.
    tourist.ask_with(&app.nobody(), "POST /auth/login", credentials, &key, 409).await;
}

async fn service(app: &TestApp, tourist: &mut Tourist) {
    let nobody = app.nobody();
    for what in [
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /.well-known/jwks.json",
        "GET /openapi.json",
        "GET /openapi.yaml",
        "GET /docs",
        "GET /problems/not-found",
    ] {
        tourist.ask(&nobody, what, Value::Null, 200).await;
    }
    tourist.ask(&nobody, "GET /problems/nothing", Value::Null, 404).await;
    let production = TestApp::with(|config| config.app_env = AppEnv::Production).await;
    tourist.ask(&production.nobody(), "GET /metrics", Value::Null, 404).await;
}

/// What the edge says to any request, to every operation.
async fn bad_requests(app: &TestApp, tourist: &mut Tourist) {
    let (admin, user) = (app.admin().await, app.user("user").await);
    let job = user.start_primes(100).await["id"].as_str().expect("an id").to_owned();
    app.drain_jobs().await;
    let document = tourist.document.clone();
    for (template, method, operation) in operations(&document) {
        let id = if template.starts_with("/jobs/") { &job } else { user.id() };
        let path = template.replace("{id}", id).replace("{code}", "not-found").replace("{name}", "cpu");
        let what = format!("{method} {path}");
        tourist.ask(&admin, &format!("{what}?surprise=1"), json!({}), 422).await;
        let takes = operation["requestBody"]["content"].as_object();
        if takes.is_some_and(|types| !types.contains_key("application/json")) {
            tourist.ask(&admin, &what, json!({}), 415).await;
            continue;
        }
        if method != Method::GET {
            let most = if template == "/users/{id}/avatar" { 5 } else { 1 };
            let too_large = json!({"email": "x".repeat(most * 1024 * 1024)});
            tourist.ask(&admin, &what, too_large, 413).await;
        }
        if operation["requestBody"]["content"].get("application/json").is_some() {
            tourist.ask_with(&admin, &what, Value::Null, &[("Content-Type", "application/json")], 400).await;
            tourist.ask(&admin, &what, Value::Null, 415).await;
        }
    }
}

async fn limits(tourist: &mut Tourist) {
    let app = TestApp::with(|config| {
        config.rate_limit.limit = 1;
        config.login.limit = 1;
    })
    .await;
    let document = tourist.document.clone();
    let nobody = app.nobody();
    nobody.get("/.well-known/jwks.json").await.expect(200);
    for (template, method, _) in operations(&document) {
        if !template.starts_with("/health") && template != "/metrics" {
            tourist.ask(&nobody, &format!("{method} {template}"), Value::Null, 429).await;
        }
    }
    let wrong = json!({"email": ADMIN, "password": "not-the-password"});
    app.advance(Duration::from_mins(1));
    tourist.ask(&nobody, "POST /auth/login", wrong.clone(), 401).await;
    tourist.ask(&nobody, "POST /auth/login", wrong, 429).await;
}
