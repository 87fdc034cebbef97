//! The OpenAPI document is true: it is the committed one, it and the router know the same operations, and no operation
//! answers what it does not list.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod described;
mod tour;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use portwright_domain::avatar::PictureKind;
use portwright_e2e::{Caller, TestApp};
use portwright_http::ProblemCode;
use portwright_testkit::pictures::picture;
use reqwest::Method;
use serde_json::{Value, json};

use described::{Described, operations};

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let generated = portwright_http::document().json();
    let differs = |(old, new): (&str, &str)| old != new;
    let line = committed.lines().zip(generated.lines()).position(differs).unwrap_or_default() + 1;
    assert!(
        committed == generated,
        "openapi/openapi.json is not what the code says (line {line}); write it anew: cargo run -- openapi --write"
    );
}

#[tokio::test]
async fn the_served_document_is_the_generated_one_in_every_form() {
    let app = TestApp::embedded().await;
    let generated = portwright_http::document();
    let nobody = app.nobody();
    assert_eq!(nobody.get("/openapi.json").await.expect(200), generated.value);
    let yaml = nobody.get("/openapi.yaml").await;
    yaml.expect(200);
    assert_eq!(yaml.text, generated.yaml());
    let page = nobody.get("/docs").await;
    page.expect(200);
    assert!(page.text.contains(&generated.value.to_string()), "the page shows another document");
    for elsewhere in ["src=\"http", "src=\"//", "href=\"http", "@import"] {
        assert!(!page.text.contains(elsewhere), "the page loads from elsewhere: {elsewhere}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = portwright_http::document().value;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "only {} references", found.len());
    for reference in found {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("an operationId");
        assert!(names.insert(name), "{name} is the name of two operations");
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{method} {path} has no summary"
        );
    }
}

/// A user who may do little, with a picture, and with a job that has ended, beside an export.
struct Somebody {
    user: Caller,
    job: String,
    export: String,
}

impl Somebody {
    async fn of(app: &TestApp) -> Self {
        let user = app.user("user").await;
        let job = user.start_primes(100).await["id"].as_str().expect("an id").to_owned();
        let put = user.request(Method::PUT, &format!("{}/avatar", user.path()));
        let put = put.header("Content-Type", "image/png").header("Prefer", "respond-async");
        user.send(put.body(picture(PictureKind::Png, 9, 9))).await.expect(202);
        let order = app.admin().await.post("/users/export", &json!({"format": "csv"})).await;
        let export = order.body(202)["id"].as_str().expect("an id").to_owned();
        app.drain_jobs().await;
        Self { user, job, export }
    }

    /// A path of this template at which there is something, whatever it is about.
    fn path(&self, template: &str) -> String {
        let id = match template {
            "/users/exports/{id}" => &self.export,
            _ if template.starts_with("/jobs/") => &self.job,
            _ => self.user.id(),
        };
        template.replace("{id}", id).replace("{code}", "not-found").replace("{name}", "cpu")
    }
}

#[tokio::test]
async fn the_router_knows_every_documented_operation_and_demands_what_the_document_says() {
    let app = TestApp::embedded().await;
    let (admin, somebody) = (app.admin().await, Somebody::of(&app).await);
    let document = portwright_http::document().value;
    let mut operations = operations(&document);
    // What is removed is not there for those who come later.
    operations.sort_by_key(|(_, method, _)| *method == Method::DELETE);
    for (template, method, operation) in operations {
        let (path, described) = (somebody.path(template), Described::new(&document, operation));
        let body = operation.get("requestBody").map(|_| json!({}));
        let call = async |caller: &Caller| {
            let request = caller.request(method.clone(), &path);
            caller.send(if let Some(body) = &body { request.json(body) } else { request }).await
        };
        let anonymous = call(&app.nobody()).await;
        let is_asked = anonymous.status == 401 && anonymous.json()["code"] == "unauthorized";
        assert_eq!(is_asked, described.demands_sign_in(), "{method} {path}: {}", anonymous.text);
        assert_eq!(is_asked, anonymous.header("www-authenticate") == "Bearer", "{method} {path}");
        if described.demands_sign_in() {
            assert!(described.statuses().contains(&401), "{method} {path} does not list 401");
        }
        // Nothing that an administrator may not do, and nothing to do with an empty body.
        if method != Method::DELETE {
            let answer = call(&admin).await;
            assert!(![401, 403, 404, 405].contains(&answer.status), "{method} {path}: {}", answer.text);
        }
        // The roles that may not, are told so in the document.
        let answer = call(&somebody.user).await;
        assert!(
            described.statuses().contains(&answer.status),
            "{method} {path}: {} is not listed",
            answer.status
        );
    }
    admin.delete(&somebody.user.path()).await.expect(204);
}

#[tokio::test]
async fn the_router_knows_no_method_and_no_path_that_is_not_documented() {
    let app = TestApp::embedded().await;
    let (admin, somebody) = (app.admin().await, Somebody::of(&app).await);
    let document = portwright_http::document().value;
    let documented: BTreeSet<_> = operations(&document).iter().map(|(path, ..)| (*path).to_owned()).collect();
    for template in &documented {
        let has = |method: &Method| {
            operations(&document).iter().any(|(path, has, _)| path == template && has == method)
        };
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if !has(&method) {
                let request = admin.request(method, &somebody.path(template)).json(&json!({}));
                let answer = admin.send(request).await;
                answer.expect_problem(405, "method-not-allowed");
            }
        }
    }
    for path in [
        "/",
        "/api",
        "/v1",
        "/metric",
        "/debug",
        "/debug/pprof",
        "/admin",
        "/status",
        "/info",
        "/version",
        "/env",
        "/config",
        "/console",
        "/graphql",
        "/swagger",
        "/swagger-ui",
        "/swagger.json",
        "/api-docs",
        "/spec",
        "/redoc",
        "/rapidoc",
        "/scalar",
        "/actuator",
        "/actuator/env",
        "/server-status",
        "/static",
        "/assets",
        "/files",
        "/ws",
        "/login",
        "/logout",
        "/register",
        "/me",
        "/auth",
        "/auth/logout-all",
        "/auth/sessions",
        "/auth/verify",
        "/auth/forgot",
        "/auth/reset",
        "/auth/token",
        "/oauth/token",
        "/.well-known/openid-configuration",
        "/.well-known/security.txt",
        "/users/me",
        "/users/search",
        "/users/count",
        "/users/import",
        "/users/export",
        "/users/{id}/avatar",
        "/users/{id}/password",
        "/users/{id}/sessions",
        "/jobs",
        "/queues",
        "/compute/primes",
        "/problems",
        "/health/startup",
        "/healthz",
        "/livez",
        "/readyz",
        "/ping",
    ] {
        // Some of them may be there one day.
        if documented.contains(path) {
            continue;
        }
        // At `/users/{id}` there is nothing of that name.
        let answer = admin.get(&somebody.path(path)).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        answer.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn every_problem_has_a_page_that_says_how_to_mend_it() {
    let app = TestApp::embedded().await;
    let document = portwright_http::document().value;
    let named = document["components"]["responses"].as_object().expect("problems").keys().map(String::as_str);
    let all: BTreeSet<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    for code in named {
        assert!(all.contains(code), "{code} is no problem");
    }
    for code in ProblemCode::ALL {
        let page = app.nobody().get(&format!("/problems/{}", code.as_str())).await;
        page.expect(200);
        for part in
            [code.title(), code.as_str(), code.meaning(), code.remedy(), &code.status().as_u16().to_string()]
        {
            assert!(page.text.contains(part), "{}: {part:?} is missing", code.as_str());
        }
    }
}
