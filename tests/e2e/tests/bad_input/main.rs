//! What clients send that they should not: each mistake has one answer, and none of them is our fault.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod fuzz;
mod json;
mod media;
mod routes;
mod sizes;
mod values;

use std::collections::BTreeSet;

use portwright_e2e::app::PASSWORD;
use portwright_e2e::{Answer, Caller, TestApp, wire};
use reqwest::Method;
use serde_json::{Value, json};

/// An operation that takes a body of JSON.
struct Operation {
    method: Method,
    /// As in the document.
    template: &'static str,
    path: String,
    /// With all fields, and all of them right.
    body: Value,
}

impl Operation {
    /// Sends a body as it is. The caller may do everything.
    async fn send(&self, admin: &Caller, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = admin.request(self.method.clone(), &self.path);
        admin.send(request.header("Content-Type", content_type).body(body)).await
    }

    async fn send_json(&self, admin: &Caller, body: &Value) -> Answer {
        self.send(admin, "application/json", body.to_string()).await
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

/// All of them; whom they change is `user`. Panics if the document has others.
async fn operations(app: &TestApp, user: &Caller) -> Vec<Operation> {
    let person = json!({"email": "new@example.com", "password": PASSWORD, "firstName": "A", "lastName": "B"});
    let mut new_user = person.clone();
    new_user["role"] = json!("user");
    new_user["isActive"] = json!(true);
    let change = json!({
        "email": "changed@example.com", "firstName": "A", "lastName": "B", "role": "user", "isActive": true,
    });
    let token = json!({"refreshToken": "nonsense"});
    let operations: Vec<_> = [
        (Method::POST, "/auth/register", person),
        (Method::POST, "/auth/login", json!({"email": "a@example.com", "password": PASSWORD})),
        (Method::POST, "/auth/refresh", token.clone()),
        (Method::POST, "/auth/logout", token),
        (Method::POST, "/auth/password", json!({"currentPassword": PASSWORD, "newPassword": PASSWORD})),
        (Method::POST, "/users", new_user),
        (Method::PATCH, "/users/{id}", change.clone()),
        (Method::PUT, "/users/{id}", change),
        (Method::POST, "/compute/primes", json!({"below": 100})),
        (Method::POST, "/users/export", json!({"format": "csv", "filter": {}})),
    ]
    .map(|(method, template, body)| Operation {
        method,
        template,
        path: template.replace("{id}", user.id()),
        body,
    })
    .into();

    let document = document(app).await;
    let mut documented = BTreeSet::new();
    for (path, method, operation) in documented_operations(&document) {
        if operation["requestBody"]["content"].get("application/json").is_some() {
            documented.insert(format!("{method} {path}"));
        }
    }
    let ours: BTreeSet<_> = operations.iter().map(Operation::name).collect();
    assert_eq!(ours, documented, "tell this test about the operations that take a body");
    operations
}

/// A path of this template at which there is something: this user, or an export that has ended.
fn existing(template: &str, user: &Caller, export: &str) -> String {
    let is_export = template.starts_with("/jobs/") || template.starts_with("/users/exports/");
    let id = if is_export { export } else { user.id() };
    template.replace("{id}", id).replace("{code}", "not-found").replace("{name}", "cpu")
}

/// An export that has ended: there is a job of this identity, and a file.
async fn ended_export(app: &TestApp) -> String {
    let export = app.admin().await.post("/users/export", &json!({"format": "csv"})).await;
    app.drain_jobs().await;
    export.body(202)["id"].as_str().expect("an id").to_owned()
}

async fn document(app: &TestApp) -> Value {
    app.nobody().get("/openapi.json").await.expect(200)
}

fn documented_operations(document: &Value) -> impl Iterator<Item = (&str, Method, &Value)> {
    document["paths"].as_object().expect("paths").iter().flat_map(|(path, operations)| {
        operations.as_object().expect("operations").iter().map(|(method, operation)| {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            (path.as_str(), method, operation)
        })
    })
}

/// A request as it is written, for what a client library would not send.
async fn raw(app: &TestApp, head: &str, body: &[u8]) -> Answer {
    Answer::parse(&wire::request(&app.address(), head, body).await)
}
