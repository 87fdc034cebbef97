//! `/users`: what creating, reading, changing and removing answer.

use std::time::Duration;

use futures::future::join_all;
use portwright_e2e::app::{PASSWORD, new_user};
use portwright_e2e::{Answer, TestApp};
use serde_json::{Value, json};

#[track_caller]
fn expect_user_headers(answer: &Answer, etag: &str) {
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("etag"), etag);
}

#[tokio::test]
async fn a_created_user_is_answered_whole_and_is_read_the_same() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = json!({
        "email": "Grace.Hopper@Example.COM", "password": PASSWORD, "firstName": "  Grace ", "lastName": "Hopper",
        "role": "moderator", "isActive": false,
    });
    let created = admin.post("/users", &body).await;
    let user = created.expect(201);
    let now = app.now().to_string();
    assert_eq!(
        user,
        json!({
            "id": user["id"], "email": "Grace.Hopper@Example.COM", "firstName": "Grace", "lastName": "Hopper",
            "role": "moderator", "isActive": false, "isEmailVerified": false, "lastLogin": null,
            "createdAt": now, "updatedAt": now, "avatarUrl": null,
        })
    );
    let id: uuid::Uuid = user["id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    expect_user_headers(&created, "\"1\"");
    assert_eq!(created.header("location"), format!("/users/{id}"));

    let read = admin.get(created.header("location")).await;
    assert_eq!(read.expect(200), user);
    expect_user_headers(&read, "\"1\"");
}

#[tokio::test]
async fn a_new_user_is_an_active_user_unless_it_is_said_otherwise() {
    let app = TestApp::embedded().await;
    let created =
        app.admin().await.post("/users", &new_user("ada@example.com", &json!({}))).await.expect(201);
    assert_eq!((&created["role"], &created["isActive"]), (&json!("user"), &json!(true)));
    let signed_in = app.sign_in("ada@example.com", PASSWORD).await;
    assert_eq!(signed_in.id(), created["id"]);
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_nothing_else() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let created = admin.post("/users", &new_user("ada@example.com", &json!({}))).await;
    let (path, mut expected) = (created.header("location").to_owned(), created.expect(201));
    let changes = [
        json!({"email": "ada.lovelace@example.com"}),
        json!({"firstName": "Augusta"}),
        json!({"lastName": "  King-Noël \u{1f980}"}),
        json!({"role": "moderator"}),
        json!({"isActive": false}),
        json!({"email": "a@b", "firstName": "A", "lastName": "B", "role": "admin", "isActive": true}),
    ];
    let mut version = 1;
    for (number, change) in changes.iter().enumerate() {
        app.advance(Duration::from_secs(1));
        let answer = match number % 2 {
            0 => admin.patch(&path, change).await,
            _ => admin.put(&path, change).await,
        };
        version += 1;
        for (name, value) in change.as_object().expect("an object") {
            expected[name] = value.as_str().map_or_else(|| value.clone(), |text| text.trim().into());
        }
        expected["updatedAt"] = app.now().to_string().into();
        assert_eq!(answer.expect(200), expected);
        expect_user_headers(&answer, &format!("\"{version}\""));
        let read = admin.get(&path).await;
        assert_eq!(read.expect(200), expected);
        expect_user_headers(&read, &format!("\"{version}\""));
    }
}

#[tokio::test]
async fn a_change_of_nothing_leaves_time_and_version_alone() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let created = admin.post("/users", &new_user("ada@example.com", &json!({}))).await;
    app.advance(Duration::from_secs(5));
    let same = json!({
        "email": "ada@example.com", "firstName": " Ada", "lastName": "Lovelace", "role": "user", "isActive": true,
    });
    for change in [json!({}), same] {
        let changed = admin.patch(created.header("location"), &change).await;
        assert_eq!(changed.expect(200), created.json());
        expect_user_headers(&changed, "\"1\"");
    }
}

#[tokio::test]
async fn a_removed_user_is_gone_and_the_address_is_free_again() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let body = new_user("ada@example.com", &json!({}));
    let created = admin.post("/users", &body).await;
    let path = created.header("location");
    let removed = admin.delete(path).await;
    removed.expect(204);
    assert_eq!((removed.text.as_str(), removed.header("content-type")), ("", ""));
    admin.get(path).await.expect_problem(404, "not-found");
    admin.patch(path, &json!({"firstName": "Eve"})).await.expect_problem(404, "not-found");
    admin.delete(path).await.expect_problem(404, "not-found");
    let again = admin.post("/users", &body).await.expect(201);
    assert_ne!(again["id"], created.json()["id"]);
}

/// Pairs that are one address to us; both are kept as they were given.
const ONE_ADDRESS: [(&str, &str); 5] = [
    ("ada@example.com", "ADA@Example.Com"),
    ("josé@example.com", "jose\u{301}@example.com"),
    ("ÉLODIE@example.com", "élodie@EXAMPLE.com"),
    ("mail@example.org", "ｍａｉｌ@ｅｘａｍｐｌｅ.org"),
    ("ΣΊΣΥΦΟΣ@example.gr", "σίσυφοσ@example.gr"),
];

#[tokio::test]
async fn an_address_is_taken_in_any_case_and_unicode_form() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let other = admin.post("/users", &new_user("other@example.com", &json!({}))).await;
    for (first, _) in ONE_ADDRESS {
        admin.post("/users", &new_user(first, &json!({}))).await.expect(201);
    }
    let before = app.database_bytes();
    for (first, second) in ONE_ADDRESS {
        for taken in [first, second] {
            let body = new_user(taken, &json!({}));
            admin.post("/users", &body).await.expect_problem(409, "email-taken");
            app.nobody().post("/auth/register", &body).await.expect_problem(409, "email-taken");
            let change = json!({"email": taken});
            admin.patch(other.header("location"), &change).await.expect_problem(409, "email-taken");
            admin.put(other.header("location"), &change).await.expect_problem(409, "email-taken");
        }
    }
    assert!(app.database_bytes() == before, "a refused request was written");
}

#[tokio::test]
async fn the_own_address_may_be_spelt_anew_and_still_signs_in() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (first, second) in ONE_ADDRESS {
        let created = admin.post("/users", &new_user(first, &json!({}))).await;
        let changed = admin.patch(created.header("location"), &json!({"email": second})).await;
        assert_eq!(changed.expect(200)["email"], second);
        assert_eq!(changed.header("etag"), "\"2\"");
        assert_eq!(app.sign_in(first, PASSWORD).await.id(), created.json()["id"]);
    }
}

#[tokio::test]
async fn of_many_who_want_one_address_exactly_one_gets_it() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let spellings = ["ada@example.com", "Ada@example.com", "ADA@EXAMPLE.COM", "ａda@example.com"];
    let bodies: Vec<_> = spellings.iter().cycle().take(12).map(|email| new_user(email, &json!({}))).collect();
    let answers = join_all(bodies.iter().map(|body| admin.post("/users", body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409, "email-taken");
    }
    let listed = admin.get("/users?email=ada@example.com").await.expect(200);
    assert_eq!(listed["pagination"]["total"], 1);
}

#[tokio::test]
async fn all_mistakes_of_a_body_are_told_at_once() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let wrong = json!({
        "email": "not an address", "password": "short", "firstName": " ", "lastName": 7, "role": "root",
        "isActive": "yes", "is/strange~": 1,
    });
    let of_profile = [
        ("/email", "invalid-email"),
        ("/firstName", "required"),
        ("/lastName", "invalid-type"),
        ("/role", "unknown-role"),
        ("/isActive", "invalid-type"),
        ("/is~1strange~0", "unknown-field"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&of_profile, more].concat();
    let before = app.database_bytes();
    admin.post("/users", &wrong).await.expect_invalid(&with(&[("/password", "too-short")]));
    // A password is changed elsewhere.
    let here = with(&[("/password", "unknown-field")]);
    admin.patch(&admin.path(), &wrong).await.expect_invalid(&here);
    admin.put(&admin.path(), &wrong).await.expect_invalid(&here);
    let missing = ["/email", "/password", "/firstName", "/lastName"].map(|pointer| (pointer, "required"));
    admin.post("/users", &json!({})).await.expect_invalid(&missing);
    assert!(app.database_bytes() == before, "a refused request was written");
}

#[tokio::test]
async fn a_field_is_within_its_bounds_and_of_its_type() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let refused = [
        ("email", json!(format!("{}@{}.example", "a".repeat(64), "b.".repeat(95))), "too-long"),
        ("email", json!(format!("{}@example.com", "a".repeat(65))), "invalid-email"),
        ("email", json!("a@b@c"), "invalid-email"),
        ("email", json!("a\u{200b}@b"), "invalid-email"),
        ("email", json!(null), "invalid-type"),
        ("email", json!(["a@b"]), "invalid-type"),
        ("password", json!("1234567"), "too-short"),
        ("password", json!("é".repeat(129)), "too-long"),
        ("password", json!("PassWord123"), "common-password"),
        ("password", json!(12_345_678), "invalid-type"),
        ("firstName", json!("n".repeat(101)), "too-long"),
        ("firstName", json!("a\u{0}b"), "invalid-character"),
        ("lastName", json!("a\r\nSet-Cookie: b"), "invalid-character"),
        ("lastName", json!("\u{202e}evil"), "invalid-character"),
        ("lastName", json!({}), "invalid-type"),
        ("role", json!("Admin"), "unknown-role"),
        ("role", json!(null), "invalid-type"),
        ("isActive", json!(1), "invalid-type"),
        ("isActive", json!(null), "invalid-type"),
    ];
    for (name, value, code) in refused {
        let body = new_user("ada@example.com", &json!({name: value}));
        admin.post("/users", &body).await.expect_invalid(&[(&format!("/{name}"), code)]);
    }
    let longest =
        format!("{}@{}.com", "a".repeat(64), ["b".repeat(61), "c".repeat(61), "d".repeat(61)].join("."));
    assert_eq!(longest.len(), 254);
    for (number, (name, value)) in [
        ("email", json!(longest)),
        ("password", json!("é".repeat(128))),
        ("password", json!("🦀🦀🦀🦀🦀🦀🦀🦀")),
        ("firstName", json!("ä".repeat(100))),
        ("lastName", json!("O'Brien; DROP TABLE users; --")),
        ("lastName", json!("<script>alert(1)</script>")),
    ]
    .into_iter()
    .enumerate()
    {
        let body = new_user(&format!("person-{number}@example.com"), &json!({name: value}));
        let user = admin.post("/users", &body).await.expect(201);
        assert!(name == "password" || user[name] == value, "{user}");
        app.sign_in(body["email"].as_str().expect("text"), body["password"].as_str().expect("text")).await;
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_invalid_and_one_that_is_no_json_malformed() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for body in [json!(null), json!([]), json!("text"), json!(7)] {
        let answer = admin.patch(&admin.path(), &body).await;
        answer.expect_invalid(&[("", "invalid-type")]);
    }
    let send = async |body: &str, media_type: &str| {
        let request = admin.request(reqwest::Method::PATCH, &admin.path());
        admin.send(request.header("content-type", media_type).body(body.to_owned())).await
    };
    for body in ["", "{", "{]", "{\"firstName\": \"A\"} x", r#"{"role": "user", "role": "admin"}"#] {
        send(body, "application/json").await.expect_problem(400, "malformed-body");
    }
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json"]
    {
        send("{}", media_type).await.expect_problem(415, "unsupported-media-type");
    }
    send("{}", "Application/JSON; Charset=UTF-8").await.expect(200);
}

#[tokio::test]
async fn every_write_that_succeeds_answers_a_consistency_token() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let created = admin.post("/users", &new_user("ada@example.com", &json!({}))).await;
    let path = created.header("location").to_owned();
    let ada = app.sign_in("ada@example.com", PASSWORD).await;
    let refresh = json!({"refreshToken": ada.refresh_token()});
    let refreshed = app.nobody().post("/auth/refresh", &refresh).await;
    let ada = ada.with_session(refreshed.json());
    let other = json!({"currentPassword": PASSWORD, "newPassword": "meadow-lantern-copper-4"});
    let answers = [
        (created, 201),
        (refreshed, 200),
        (admin.patch(&path, &json!({"firstName": "Augusta"})).await, 200),
        (admin.put(&path, &json!({"firstName": "Ada"})).await, 200),
        (ada.post("/auth/password", &other).await, 204),
        (ada.post("/auth/logout", &json!({"refreshToken": ada.refresh_token()})).await, 204),
        (admin.delete(&path).await, 204),
    ];
    for (answer, status) in answers {
        answer.expect(status);
        let read = admin.get_with("/users", "consistency-token", answer.header("consistency-token")).await;
        read.expect(200);
        assert!(!answer.header("consistency-token").is_empty());
    }
}

#[tokio::test]
async fn an_identity_that_is_no_uuid_names_nobody() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let ids =
        ["1", "me", "null", "..%2fusers", "%00", "00000000-0000-0000-0000-00000000000g", "%ff", "é", "a%20b"];
    for id in ids {
        let path = format!("/users/{id}");
        for answer in [
            admin.get(&path).await,
            admin.patch(&path, &json!({})).await,
            admin.put(&path, &json!({})).await,
            admin.delete(&path).await,
        ] {
            answer.expect_problem(404, "not-found");
        }
    }
}

#[tokio::test]
async fn a_head_request_gets_the_headers_of_a_read() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let head = admin.send(admin.request(reqwest::Method::HEAD, &admin.path())).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    expect_user_headers(&head, "\"1\"");
    assert_eq!(admin.get("/auth/me").await.expect(200), admin.get(&admin.path()).await.expect(200));
    assert_eq!(admin.get(&admin.path()).await.json()["email"], Value::from("admin@example.com"));
}
