//! How long a session lives: refreshing it, using a refresh token twice, and its ends.

use std::time::Duration;

use futures::future::join_all;
use portwright_e2e::app::{PASSWORD, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const ACCESS: Duration = Duration::from_mins(15);
const DAY: Duration = Duration::from_hours(24);

async fn ada(app: &TestApp) -> Caller {
    let body = new_user("ada@example.com", &json!({}));
    app.nobody().with_session(app.nobody().post("/auth/register", &body).await.expect(201))
}

async fn try_refresh(app: &TestApp, token: &str) -> Answer {
    app.nobody().post("/auth/refresh", &json!({"refreshToken": token})).await
}

/// The same as one of many at once: those for whom a server has no connection to its database in time are told to come again.
async fn try_refresh_among_many(app: &TestApp, token: &str) -> Answer {
    for _ in 0..100 {
        let answer = try_refresh(app, token).await;
        if answer.status != 503 {
            return answer;
        }
        answer.expect_problem(503, "unavailable");
        assert_ne!(answer.header("retry-after"), "");
    }
    panic!("the server never had time");
}

async fn refresh(app: &TestApp, session: &Caller) -> Caller {
    session.with_session(try_refresh(app, session.refresh_token()).await.expect(200))
}

async fn expect_ended(app: &TestApp, session: &Caller) {
    session.get("/auth/me").await.expect_problem(401, "unauthorized");
    try_refresh(app, session.refresh_token()).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let app = TestApp::embedded().await;
    let first = ada(&app).await;
    app.advance(SECOND);
    let answer = try_refresh(&app, first.refresh_token()).await;
    assert_ne!(answer.header("consistency-token"), "");
    let second = first.with_session(answer.expect(200));

    assert_ne!(second.token(), first.token());
    assert_ne!(second.refresh_token(), first.refresh_token());
    assert_eq!(second.session()["expiresIn"], 900);
    assert_eq!(second.session()["user"], first.session()["user"]);
    // Requests that are on their way are not lost.
    first.get("/auth/me").await.expect(200);
    second.get("/auth/me").await.expect(200);
    refresh(&app, &second).await.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_refresh_tells_what_the_user_is_now() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    ada.patch(&ada.path(), &json!({"firstName": "Augusta"})).await.expect(200);
    assert_eq!(refresh(&app, &ada).await.session()["user"]["firstName"], "Augusta");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_the_session() {
    let app = TestApp::embedded().await;
    let first = ada(&app).await;
    let other = app.sign_in("ada@example.com", PASSWORD).await;
    let second = refresh(&app, &first).await;
    let third = refresh(&app, &second).await;

    // No grace: also right after the rotation.
    let reused = try_refresh(&app, second.refresh_token()).await;
    reused.expect_problem(401, "unauthorized");
    assert_eq!(reused.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    for session in [&first, &second, &third] {
        expect_ended(&app, session).await;
    }
    other.get("/auth/me").await.expect(200);
    refresh(&app, &other).await;
}

#[tokio::test]
async fn of_a_hundred_refreshes_at_once_one_succeeds_and_the_session_ends() {
    let app = TestApp::embedded().await;
    let session = ada(&app).await;
    let answers = join_all((0..100).map(|_| try_refresh_among_many(&app, session.refresh_token()))).await;
    let (succeeded, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(succeeded.len(), 1);
    for answer in refused {
        answer.expect_problem(401, "unauthorized");
    }
    expect_ended(&app, &session.with_session(succeeded[0].json())).await;
    expect_ended(&app, &session).await;
}

#[tokio::test]
async fn what_is_no_refresh_token_refreshes_nothing() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    let commit = ada.patch(&ada.path(), &json!({"lastName": "King"})).await;
    let token = ada.refresh_token();
    let mut altered = token.to_owned();
    altered.replace_range(..1, if token.starts_with('A') { "B" } else { "A" });
    let huge = "A".repeat(500_000);
    for nonsense in [
        "",
        " ",
        "nonsense",
        "\u{0}",
        "🔑",
        ada.token(),
        // Sealed by us, for something else.
        commit.header("consistency-token"),
        &altered,
        &token[..token.len() - 1],
        &format!("{token}A"),
        &format!(" {token}"),
        &token.to_uppercase(),
        &format!("{token}="),
        &huge,
    ] {
        try_refresh(&app, nonsense).await.expect_problem(401, "unauthorized");
    }
    refresh(&app, &ada).await;
}

#[tokio::test]
async fn an_access_token_is_good_for_fifteen_minutes() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    app.advance(ACCESS.saturating_sub(SECOND));
    ada.get("/auth/me").await.expect(200);
    app.advance(SECOND);
    let late = ada.get("/auth/me").await;
    late.expect_problem(401, "unauthorized");
    assert_eq!(late.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    refresh(&app, &ada).await.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn access_tokens_live_as_long_as_the_operator_says() {
    let app = TestApp::with(|config| config.jwt.access_ttl = Duration::from_mins(1)).await;
    let ada = ada(&app).await;
    assert_eq!(ada.session()["expiresIn"], 60);
    app.advance(Duration::from_mins(1));
    ada.get("/auth/me").await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_session_that_nobody_refreshes_ends_after_seven_days() {
    let app = TestApp::embedded().await;
    let ada = ada(&app).await;
    app.advance((7 * DAY).saturating_sub(SECOND));
    let kept = refresh(&app, &ada).await;
    app.advance(7 * DAY);
    expect_ended(&app, &kept).await;
    app.sign_in("ada@example.com", PASSWORD).await;
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_however_often_it_is_refreshed() {
    let app = TestApp::embedded().await;
    let mut session = ada(&app).await;
    for _ in 0..5 {
        app.advance(5 * DAY);
        session = refresh(&app, &session).await;
    }
    app.advance((5 * DAY).saturating_sub(Duration::from_mins(1)));
    session = refresh(&app, &session).await;
    app.advance(Duration::from_secs(59));
    session.get("/auth/me").await.expect(200);
    // Its access token would be good for 14 minutes more.
    app.advance(SECOND);
    expect_ended(&app, &session).await;
}

#[tokio::test]
async fn another_role_or_none_ends_all_sessions_of_a_user() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for change in [json!({"role": "moderator"}), json!({"isActive": false})] {
        let user = app.user("user").await;
        admin.patch(&user.path(), &json!({"firstName": "Grace"})).await.expect(200);
        user.get("/auth/me").await.expect(200);
        admin.patch(&user.path(), &change).await.expect(200);
        expect_ended(&app, &user).await;
    }
    let user = app.user("user").await;
    admin.delete(&user.path()).await.expect(204);
    expect_ended(&app, &user).await;
    admin.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn two_sessions_of_one_user_do_not_disturb_each_other() {
    let app = TestApp::embedded().await;
    let (mut phone, mut laptop) = (ada(&app).await, app.sign_in("ada@example.com", PASSWORD).await);
    for _ in 0..3 {
        (phone, laptop) = tokio::join!(refresh(&app, &phone), refresh(&app, &laptop));
    }
    phone.get("/auth/me").await.expect(200);
    laptop.get("/auth/me").await.expect(200);
}

#[tokio::test]
async fn nothing_that_happens_at_the_same_time_outlives_a_new_password() {
    let app = TestApp::embedded().await;
    let own = ada(&app).await;
    let mut password = PASSWORD.to_owned();
    for round in 0..8 {
        let other = app.sign_in("ada@example.com", &password).await;
        let new = format!("granite-otter-lagoon-{round}");
        let change = json!({"currentPassword": password, "newPassword": new});
        let credentials = json!({"email": "ada@example.com", "password": password});
        let (changed, refreshed, signed_in) = tokio::join!(
            own.post("/auth/password", &change),
            try_refresh(&app, other.refresh_token()),
            async { app.nobody().post("/auth/login", &credentials).await },
        );
        changed.expect(204);
        expect_ended(&app, &other).await;
        for answer in [refreshed, signed_in] {
            if answer.status == 200 {
                expect_ended(&app, &other.with_session(answer.json())).await;
            } else {
                assert_eq!(answer.status, 401, "{}", answer.text);
            }
        }
        own.get("/auth/me").await.expect(200);
        password = new;
    }
}

#[tokio::test]
async fn nothing_that_happens_at_the_same_time_outlives_the_end_of_an_account() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for round in 0..8 {
        let email = format!("{round}@example.com");
        let body = new_user(&email, &json!({}));
        let user = app.nobody().with_session(app.nobody().post("/auth/register", &body).await.expect(201));
        let credentials = json!({"email": email, "password": PASSWORD});
        let ended = async {
            match round % 2 {
                0 => admin.patch(&user.path(), &json!({"isActive": false})).await.expect(200),
                _ => admin.delete(&user.path()).await.expect(204),
            }
        };
        let (_, refreshed, signed_in) = tokio::join!(ended, try_refresh(&app, user.refresh_token()), async {
            app.nobody().post("/auth/login", &credentials).await
        });
        expect_ended(&app, &user).await;
        for answer in [refreshed, signed_in] {
            if answer.status == 200 {
                expect_ended(&app, &user.with_session(answer.json())).await;
            } else {
                assert_eq!(answer.status, 401, "{}", answer.text);
            }
        }
    }
}
