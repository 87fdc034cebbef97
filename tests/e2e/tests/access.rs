//! Who may do what: every role, every operation, on oneself, on somebody else and on nobody.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use portwright_e2e::app::{PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

const MISSING: &str = "/users/00000000-0000-7000-8000-000000000000";

/// One thing that somebody may want to do.
struct Operation {
    name: &'static str,
    method: Method,
    /// A path; `{id}` stands for a user.
    path: &'static str,
    body: Value,
    /// The status for an admin, a moderator, a user and somebody who is not signed in: on the own account, on another
    /// one, and on one that does not exist. What concerns no single user has three times the same.
    statuses: [[u16; 3]; 4],
}

const ANONYMOUS: [u16; 3] = [401; 3];

fn operations() -> Vec<Operation> {
    let operation = |name, method, path, body, [admin, moderator, user]: [[u16; 3]; 3]| Operation {
        name,
        method,
        path,
        body,
        statuses: [admin, moderator, user, ANONYMOUS],
    };
    let (profile, standing) = (json!({"firstName": "Other"}), json!({"isActive": true}));
    let of_profile = [[200, 200, 404], [200, 403, 403], [200, 404, 404]];
    let of_standing = [[200, 200, 404], [403; 3], [403; 3]];
    vec![
        operation("list", Method::GET, "/users", Value::Null, [[200; 3], [200; 3], [403; 3]]),
        operation("create", Method::POST, "/users", json!({}), [[201; 3], [403; 3], [403; 3]]),
        operation("me", Method::GET, "/auth/me", Value::Null, [[200; 3]; 3]),
        operation(
            "read",
            Method::GET,
            "/users/{id}",
            Value::Null,
            [[200, 200, 404], [200, 200, 404], [200, 404, 404]],
        ),
        operation("change", Method::PATCH, "/users/{id}", profile.clone(), of_profile),
        operation("put", Method::PUT, "/users/{id}", profile, of_profile),
        operation("change standing", Method::PATCH, "/users/{id}", standing.clone(), of_standing),
        operation("put standing", Method::PUT, "/users/{id}", standing, of_standing),
        operation(
            "change role",
            Method::PATCH,
            "/users/{id}",
            json!({"role": "user"}),
            [[409, 200, 404], [403; 3], [403; 3]],
        ),
        operation(
            "remove",
            Method::DELETE,
            "/users/{id}",
            Value::Null,
            [[409, 204, 404], [403; 3], [403; 3]],
        ),
    ]
}

async fn send(caller: &Caller, operation: &Operation, path: &str) -> Answer {
    let request = caller.request(operation.method.clone(), path);
    let body = match operation.name {
        "create" => new_user(&format!("{}@example.com", uuid::Uuid::new_v4()), &json!({})),
        _ => operation.body.clone(),
    };
    caller.send(if body.is_null() { request } else { request.json(&body) }).await
}

/// An answer without what differs between any two: identities, the path, and the count of requests.
fn essence(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    for name in ["requestId", "instance"] {
        body[name] = Value::Null;
    }
    let of_one_answer = |name: &str| name.contains("ratelimit") || matches!(name, "x-request-id" | "date");
    let headers = answer.headers.iter().filter(|(name, _)| !of_one_answer(name.as_str()));
    let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("text").to_owned();
    (answer.status, body, headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let callers = [admin.clone(), app.user("moderator").await, app.user("user").await, app.nobody()];
    for operation in operations() {
        for (caller, statuses) in callers.iter().zip(operation.statuses) {
            let role = caller.session()["user"]["role"].as_str().unwrap_or("nobody");
            let other =
                admin.post("/users", &new_user(&format!("{}@x", uuid::Uuid::new_v4()), &json!({}))).await;
            // Nobody has no account of its own.
            let own = if role == "nobody" { admin.path() } else { caller.path() };
            let paths = [own.as_str(), other.header("location"), MISSING];
            let mut answers = Vec::new();
            for (path, status) in paths.into_iter().zip(statuses) {
                let path = if operation.path == "/users/{id}" { path } else { operation.path };
                let answer = send(caller, &operation, path).await;
                let what = format!("{role}: {} {path}: {}", operation.name, answer.text);
                assert_eq!(answer.status, status, "{what}");
                match status {
                    401 => drop(answer.expect_problem(401, "unauthorized")),
                    403 => drop(answer.expect_problem(403, "forbidden")),
                    404 => drop(answer.expect_problem(404, "not-found")),
                    409 => drop(answer.expect_problem(409, "last-admin")),
                    _ => {}
                }
                answers.push(answer);
            }
            // Whoever is refused cannot tell whether the other one exists.
            if statuses[1] == statuses[2] && statuses[1] >= 400 {
                assert_eq!(essence(&answers[1]), essence(&answers[2]), "{role}: {}", operation.name);
            }
            if statuses[1] >= 400 {
                assert_eq!(admin.get(paths[1]).await.expect(200), other.json(), "{role}: {}", operation.name);
            }
        }
    }
}

#[tokio::test]
async fn a_moderator_reads_every_user_and_changes_only_its_own_profile() {
    let app = TestApp::embedded().await;
    let (admin, moderator, other) =
        (app.admin().await, app.user("moderator").await, app.user("moderator").await);
    assert_eq!(moderator.get("/users").await.expect(200)["pagination"]["total"], 3);
    moderator.get(&other.path()).await.expect(200);
    moderator.get(&admin.path()).await.expect(200);
    moderator
        .patch(&moderator.path(), &json!({"email": "new@example.com", "lastName": "New"}))
        .await
        .expect(200);
    moderator.patch(&other.path(), &json!({"lastName": "New"})).await.expect_problem(403, "forbidden");
    moderator.patch(&other.path(), &json!({})).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn role_and_activity_are_for_admins_also_where_nothing_would_change() {
    let app = TestApp::embedded().await;
    for role in ["user", "moderator"] {
        let caller = app.user(role).await;
        for change in [
            json!({"role": "admin"}),
            json!({"role": role}),
            json!({"isActive": true}),
            json!({"isActive": false}),
            json!({"firstName": "Eve", "role": "admin"}),
        ] {
            caller.patch(&caller.path(), &change).await.expect_problem(403, "forbidden");
            caller.put(&caller.path(), &change).await.expect_problem(403, "forbidden");
        }
        let before = caller.session()["user"].clone();
        assert_eq!(caller.get(&caller.path()).await.expect(200), before);
    }
}

#[tokio::test]
async fn the_role_that_counts_is_the_one_in_the_store() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let user = app.user("user").await;
    admin.patch(&user.path(), &json!({"role": "moderator"})).await.expect(200);
    let email = user.session()["user"]["email"].as_str().expect("an address");
    let promoted = app.sign_in(email, PASSWORD).await;
    promoted.get("/users").await.expect(200);
    user.get("/users").await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn somebody_elses_object_has_the_body_of_a_missing_one_in_every_spelling_of_its_identity() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let missing = essence(&user.get(MISSING).await);
    let id = admin.id().to_owned();
    for spelling in
        [id.clone(), id.to_uppercase(), id.replace('-', ""), format!("urn:uuid:{id}"), format!("%7B{id}%7D")]
    {
        let answer = user.get(&format!("/users/{spelling}")).await;
        let (status, body, _) = essence(&answer);
        assert_eq!((status, &body), (404, &missing.1), "{spelling}");
    }
    let no_uuid = essence(&user.get("/users/nobody-has-this").await);
    assert_eq!((no_uuid.0, no_uuid.1), (404, missing.1));
}
