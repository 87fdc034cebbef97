//! Role and activity: the last admin stays, and whoever loses a standing loses the sessions that had it, at once.

use futures::future::join;
use portwright_e2e::app::{PASSWORD, new_user};
use portwright_e2e::{Caller, TestApp};
use serde_json::{Value, json};

const UNAUTHORIZED: (u16, &str) = (401, "unauthorized");

/// Neither token of a session is good for anything any more.
async fn expect_ended(session: &Caller) {
    let (status, code) = UNAUTHORIZED;
    let me = session.get("/auth/me").await;
    me.expect_problem(status, code);
    assert_eq!(me.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    session.get(&session.path()).await.expect_problem(status, code);
    session.patch(&session.path(), &json!({"firstName": "Eve"})).await.expect_problem(status, code);
    let refresh = json!({"refreshToken": session.refresh_token()});
    session.post("/auth/refresh", &refresh).await.expect_problem(status, code);
    session.post("/auth/logout", &refresh).await.expect_problem(status, code);
}

#[tokio::test]
async fn the_last_active_admin_can_neither_be_demoted_nor_deactivated_nor_removed() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    // None of these could take over.
    for (email, more) in [
        ("asleep@example.com", json!({"role": "admin", "isActive": false})),
        ("moderator@example.com", json!({"role": "moderator"})),
    ] {
        admin.post("/users", &new_user(email, &more)).await.expect(201);
    }
    let before = app.database_bytes();
    let changes = [
        json!({"role": "moderator"}),
        json!({"role": "user"}),
        json!({"isActive": false}),
        json!({"role": "user", "isActive": false, "firstName": "Gone"}),
    ];
    for change in &changes {
        admin.patch(&admin.path(), change).await.expect_problem(409, "last-admin");
        admin.put(&admin.path(), change).await.expect_problem(409, "last-admin");
    }
    admin.delete(&admin.path()).await.expect_problem(409, "last-admin");
    assert!(app.database_bytes() == before, "a refused request was written");
    admin.patch(&admin.path(), &json!({"role": "admin", "isActive": true})).await.expect(200);
}

#[tokio::test]
async fn an_admin_may_go_as_soon_as_another_one_stays() {
    let app = TestApp::embedded().await;
    let first = app.admin().await;
    let second = app.user("admin").await;
    first.patch(&second.path(), &json!({"isActive": false})).await.expect(200);
    first.delete(&first.path()).await.expect_problem(409, "last-admin");
    first.patch(&second.path(), &json!({"isActive": true})).await.expect(200);

    let demoted = first.patch(&first.path(), &json!({"role": "user"})).await;
    assert_eq!(demoted.expect(200)["role"], "user");
    expect_ended(&first).await;
    let email = second.session()["user"]["email"].as_str().expect("an address");
    let second = app.sign_in(email, PASSWORD).await;
    second.delete(&second.path()).await.expect_problem(409, "last-admin");
    second.patch(&first.path(), &json!({"role": "admin"})).await.expect(200);
    second.delete(&second.path()).await.expect(204);
    expect_ended(&second).await;
}

#[tokio::test]
async fn of_two_last_admins_who_demote_each_other_at_once_one_stays() {
    let app = TestApp::embedded().await;
    let mut first = app.admin().await;
    for round in 0..10 {
        let email = format!("admin-{round}@example.com");
        first.post("/users", &new_user(&email, &json!({"role": "admin"}))).await.expect(201);
        let second = app.sign_in(&email, PASSWORD).await;
        let demotion = json!({"role": "user"});
        let (paths, removal) = ((first.path(), second.path()), round % 2 == 1);
        let (one, other) = if removal {
            join(first.delete(&paths.1), second.delete(&paths.0)).await
        } else {
            join(first.patch(&paths.1, &demotion), second.patch(&paths.0, &demotion)).await
        };
        // Whoever comes second is no admin any more, or would be the last.
        let succeeded = [one.status, other.status].map(|status| matches!(status, 200 | 204));
        assert_ne!(succeeded[0], succeeded[1], "{one:?} {other:?}");
        if succeeded[1] {
            first = second;
        }
        let admins = first.get("/users?role=admin&isActive=true").await.expect(200);
        assert_eq!(admins["pagination"]["total"], 1);
    }
}

#[tokio::test]
async fn a_lost_standing_ends_every_session_at_once() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for change in [json!({"isActive": false}), json!({"role": "user"}), json!({"role": "admin"}), Value::Null]
    {
        let moderator = app.user("moderator").await;
        let email = moderator.session()["user"]["email"].as_str().expect("an address").to_owned();
        let elsewhere = app.sign_in(&email, PASSWORD).await;
        elsewhere.get("/auth/me").await.expect(200);
        if change.is_null() {
            admin.delete(&moderator.path()).await.expect(204);
        } else {
            admin.patch(&moderator.path(), &change).await.expect(200);
        }
        expect_ended(&moderator).await;
        expect_ended(&elsewhere).await;

        let sign_in = json!({"email": email, "password": PASSWORD});
        let signed_in = app.nobody().post("/auth/login", &sign_in).await;
        if change["role"].is_string() {
            assert_eq!(signed_in.expect(200)["user"]["role"], change["role"]);
        } else {
            signed_in.expect_problem(401, "invalid-credentials");
        }
        expect_ended(&moderator).await;
    }
}

#[tokio::test]
async fn a_session_that_ended_does_not_come_back_with_the_standing() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    admin.patch(&user.path(), &json!({"isActive": false})).await.expect(200);
    admin.patch(&user.path(), &json!({"isActive": true})).await.expect(200);
    expect_ended(&user).await;
    let email = user.session()["user"]["email"].as_str().expect("an address");
    app.sign_in(email, PASSWORD).await.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn other_changes_end_no_session() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for change in [
        json!({"firstName": "Augusta", "lastName": "King", "email": "augusta@example.com"}),
        json!({"role": "user", "isActive": true}),
        json!({}),
    ] {
        admin.patch(&user.path(), &change).await.expect(200);
        assert_eq!(user.get("/auth/me").await.expect(200)["email"], "augusta@example.com");
    }
    let refresh = json!({"refreshToken": user.refresh_token()});
    app.nobody().post("/auth/refresh", &refresh).await.expect(200);
}

#[tokio::test]
async fn nobody_loses_a_session_by_a_change_that_was_refused() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let taken = json!({"isActive": false, "email": "admin@example.com"});
    admin.patch(&user.path(), &taken).await.expect_problem(409, "email-taken");
    admin.patch(&user.path(), &json!({"isActive": false, "role": "root"})).await.expect(422);
    let late = admin.request(reqwest::Method::PATCH, &user.path()).header("if-match", "\"9\"");
    admin.send(late.json(&json!({"isActive": false}))).await.expect_problem(412, "precondition-failed");
    user.get("/auth/me").await.expect(200);
}
