//! Nobody sets a field that is not theirs to set, whatever the field is called.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use portwright_e2e::app::new_user;
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::{Value, json};

/// The table itself, so that a column that is added later is tried too.
const SCHEMA: &str = include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql");
/// And those that were.
const ADDED: &str = include_str!("../../../migrations/sqlite/0004_avatars.sql");

/// What people try besides the columns.
const MORE: [&str; 20] = [
    "password_hash",
    "avatar_url",
    "permissions",
    "roles",
    "is_admin",
    "admin",
    "scope",
    "email_verified",
    "verified",
    "user_id",
    "uuid",
    "session_id",
    "token",
    "refresh_token",
    "deleted_at",
    "$set",
    "__proto__",
    "constructor",
    "user",
    "data",
];

fn columns() -> Vec<&'static str> {
    let (_, table) = SCHEMA.split_once("CREATE TABLE users (\n").expect("the table");
    let (columns, _) = table.split_once("\n)").expect("its end");
    let added = ADDED.lines().filter_map(|line| line.strip_prefix("ALTER TABLE users ADD COLUMN "));
    columns.lines().chain(added).filter_map(|line| line.split_whitespace().next()).collect()
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| match word.split_at_checked(1) {
        Some((initial, rest)) => name + &initial.to_uppercase() + rest,
        None => name + "_",
    })
}

/// Every column and more, in the spellings of the table, of the API, and of people who try their luck.
fn names() -> BTreeSet<String> {
    let spellings = |name: &str| {
        let pascal = camel(&format!("x_{name}")).split_off(1);
        [name.to_owned(), camel(name), pascal, name.to_uppercase(), format!("{name} "), format!("{name}[]")]
    };
    columns().into_iter().chain(MORE).flat_map(spellings).collect()
}

/// Values of every type: what a field is must not matter when there is no such field.
fn values() -> [Value; 5] {
    [json!("admin"), json!(true), json!(0), json!(null), json!({"role": "admin"})]
}

/// The names that are not fields of an operation.
fn foreign(fields: &[&str]) -> Vec<String> {
    names().into_iter().filter(|name| !fields.contains(&name.as_str())).collect()
}

#[track_caller]
fn expect_unknown(answer: &Answer, name: &str) {
    answer.expect_invalid(&[(&format!("/{name}"), "unknown-field")]);
}

const PROFILE: [&str; 5] = ["email", "firstName", "lastName", "role", "isActive"];

#[test]
fn every_column_is_tried_in_camel_and_snake_case() {
    assert_eq!(columns().len(), 18, "{:?}", columns());
    let names = names();
    for name in [
        "id",
        "passwordHash",
        "password_hash",
        "isEmailVerified",
        "lastLogin",
        "createdAt",
        "version",
        "avatarUrl",
    ] {
        assert!(names.contains(name), "{name}");
    }
    assert!(names.len() > 150, "{}", names.len());
}

#[tokio::test]
async fn creating_and_registering_take_their_own_fields_only() {
    let app = TestApp::embedded().await;
    let (admin, nobody) = (app.admin().await, app.nobody());
    let before = app.database_bytes();
    let with = |name: &str, value: &Value| {
        let mut body = new_user("eve@example.com", &json!({}));
        body[name] = value.clone();
        body
    };
    for (number, name) in foreign(&["email", "password", "firstName", "lastName"]).iter().enumerate() {
        let value = &values()[number % values().len()];
        expect_unknown(&nobody.post("/auth/register", &with(name, value)).await, name);
        if !PROFILE.contains(&name.as_str()) {
            expect_unknown(&admin.post("/users", &with(name, value)).await, name);
        }
    }
    // The role and the activity of whoever registers are not theirs to choose, even where they choose the usual.
    for (name, value) in [("role", json!("user")), ("role", json!("admin")), ("isActive", json!(true))] {
        expect_unknown(&nobody.post("/auth/register", &with(name, &value)).await, name);
    }
    assert!(app.database_bytes() == before, "a refused request was written");
}

#[tokio::test]
async fn a_change_takes_its_own_fields_only_from_everybody() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let before = app.database_bytes();
    for (number, name) in foreign(&PROFILE).iter().enumerate() {
        let change = json!({"firstName": "Eve", name: values()[number % values().len()]});
        for (caller, path) in [(&admin, user.path()), (&user, user.path()), (&admin, admin.path())] {
            expect_unknown(&caller.patch(&path, &change).await, name);
        }
        expect_unknown(&user.put(&user.path(), &change).await, name);
    }
    for change in
        [json!({"firstName": "Eve", "role": "admin"}), json!({"firstName": "Eve", "isActive": true})]
    {
        user.patch(&user.path(), &change).await.expect_problem(403, "forbidden");
        user.put(&user.path(), &change).await.expect_problem(403, "forbidden");
    }
    assert!(app.database_bytes() == before, "a refused request was written");
}

#[tokio::test]
async fn sessions_take_their_own_fields_only() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let before = app.database_bytes();
    let own = ["email", "password", "refreshToken", "currentPassword", "newPassword"];
    for name in foreign(&own) {
        let try_at = async |caller: &Caller, path: &str, body: Value| {
            let mut body = body;
            body[&name] = json!("admin");
            expect_unknown(&caller.post(path, &body).await, &name);
        };
        let nobody = app.nobody();
        try_at(&nobody, "/auth/login", json!({"email": "admin@example.com", "password": "x"})).await;
        try_at(&nobody, "/auth/refresh", json!({"refreshToken": user.refresh_token()})).await;
        try_at(&user, "/auth/logout", json!({"refreshToken": user.refresh_token()})).await;
        let change = json!({"currentPassword": "x", "newPassword": "meadow-lantern-copper-4"});
        try_at(&user, "/auth/password", change).await;
    }
    assert!(app.database_bytes() == before, "a refused request was written");
    user.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_field_is_not_smuggled_in_twice_or_inside_another() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    let before = app.database_bytes();
    let path = user.path();
    let send = async |body: &str| {
        let request = user.request(reqwest::Method::PATCH, &path).header("content-type", "application/json");
        user.send(request.body(body.to_owned())).await
    };
    for body in [
        r#"{"firstName": "Eve", "firstName": "Ada"}"#,
        r#"{"role": "user", "\u0072ole": "admin"}"#,
        r#"{"firstName": {"a": 1, "a": 2}}"#,
    ] {
        send(body).await.expect_problem(400, "malformed-body");
    }
    send(r#"{"\u0072ole": "admin"}"#).await.expect_problem(403, "forbidden");
    send(r#"{"firstName": {"role": "admin"}}"#).await.expect_invalid(&[("/firstName", "invalid-type")]);
    send(r#"[{"firstName": "Eve"}]"#).await.expect_invalid(&[("", "invalid-type")]);
    assert!(app.database_bytes() == before, "a refused request was written");
}
