//! Paths, methods and parameters that there are not.

use std::collections::BTreeMap;

use portwright_domain::avatar::PictureKind;
use portwright_e2e::TestApp;
use portwright_testkit::pictures::picture;
use reqwest::Method;
use serde_json::json;

use crate::{document, documented_operations, ended_export, existing, raw};

#[tokio::test]
async fn an_unknown_path_is_a_problem_like_any_other() {
    let app = TestApp::embedded().await;
    for path in [
        "/",
        "/nowhere",
        "/user",
        "/Users",
        "/USERS",
        "/users/",
        "//users",
        "/users//",
        "/./users",
        "/auth",
        "/auth/",
        "/auth/me/",
        "/auth/../users",
        "/api/users",
        "/v1/users",
        "/health/",
        "/health/none",
        "/problems",
        "/problems/",
        "/problems/nothing",
        "/problems/not-found/",
        "/openapi",
        "/openapi.yml",
        "/docs/",
        "/.well-known/",
        "/.well-known/jwks",
        "/.env",
        "/.git/config",
        "/admin",
        "/metric",
        "/favicon.ico",
        "/robots.txt",
        "/index.html",
        "/users;a=b",
        "/users%2F",
        "/users%00",
        "/user%73",
        "/%75sers",
        "/%",
        "/%zz",
        "/%ff",
        "/users\\",
        "/*",
        "/~",
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/problems/%ff",
        "/problems/%00",
        "/problems/..%2fusers",
    ] {
        let answer = raw(&app, &format!("GET {path} HTTP/1.1"), b"").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        let problem = answer.expect_problem(404, "not-found");
        assert_eq!(problem["instance"], path);
    }
}

#[tokio::test]
async fn an_id_is_a_uuid_as_rfc_9562_writes_it() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let id = user.id();
    for good in [id.to_owned(), id.to_uppercase(), id.replace('-', "%2D")] {
        assert_eq!(admin.get(&format!("/users/{good}")).await.expect(200)["id"], id, "{good}");
    }
    let missing = admin.get("/users/00000000-0000-7000-8000-000000000000").await;
    let missing = missing.expect_problem(404, "not-found");
    let simple = id.replace('-', "");
    for bad in [
        "1",
        "0",
        "-1",
        "me",
        "null",
        "undefined",
        "{id}",
        ":id",
        "*",
        "%",
        "%25",
        "%00",
        "%0a",
        "%2F",
        "%ff",
        "..%2F",
        "🔑",
        "'",
        "%27%20OR%201=1",
        &simple,
        &format!("%7B{id}%7D"),
        &format!("{{{id}}}"),
        &format!("urn:uuid:{id}"),
        &format!("{id}%20"),
        &format!("%20{id}"),
        &format!("{id}%00"),
        &format!("{id}0"),
        &id[1..],
        &format!("{id},{id}"),
        &format!("%2F{id}"),
        &format!("{id}%2F"),
        &format!("{id};a=b"),
        &"1".repeat(5_000),
    ] {
        for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
            let request = admin.request(method.clone(), &format!("/users/{bad}"));
            let request = if method == Method::GET { request } else { request.json(&json!({})) };
            let answer = admin.send(request).await;
            assert_eq!(answer.status, 404, "{method} {bad}: {}", answer.text);
            let problem = answer.expect_problem(404, "not-found");
            assert_eq!((&problem["detail"], &problem["title"]), (&missing["detail"], &missing["title"]));
        }
    }
    for path in [
        format!("/users/{id}/"),
        format!("/users//{id}"),
        format!("/users/{id}/nothing"),
        format!("/users%2F{id}"),
    ] {
        admin.get(&path).await.expect_problem(404, "not-found");
    }
    user.get(&user.path()).await.expect(200);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_which_it_has() {
    let app = TestApp::embedded().await;
    let document = document(&app).await;
    let admin = app.admin().await;
    let export = ended_export(&app).await;
    let mut by_path = BTreeMap::<&str, Vec<Method>>::new();
    for (path, method, _) in documented_operations(&document) {
        by_path.entry(path).or_default().push(method);
    }
    assert!(by_path.len() >= 15, "only {} paths", by_path.len());
    for (path, has) in by_path {
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let allows =
            |method: &Method| has.contains(method) || (*method == Method::HEAD && has.contains(&Method::GET));
        let allow: Vec<_> = known
            .iter()
            .filter(|method| allows(method))
            .chain([&Method::OPTIONS])
            .map(Method::as_str)
            .collect();
        let allow = allow.join(", ");
        let path = existing(path, &admin, &export);

        let strange =
            ["TRACE", "PROPFIND", "PURGE", "get", "BREW"].map(|name| name.parse().expect("a method"));
        for method in known.iter().filter(|method| !allows(method)).chain(&strange) {
            let answer = admin.send(admin.request(method.clone(), &path)).await;
            assert_eq!((answer.status, answer.header("allow")), (405, allow.as_str()), "{method} {path}");
            if *method != Method::HEAD {
                assert_eq!(answer.expect_problem(405, "method-not-allowed")["instance"], path);
            }
        }
        let options = app.nobody().send(app.nobody().request(Method::OPTIONS, &path)).await;
        assert_eq!(
            (options.status, options.text.as_str(), options.header("allow")),
            (204, "", allow.as_str())
        );
    }
}

#[tokio::test]
async fn methods_on_unknown_paths_and_on_the_server_as_a_whole() {
    let app = TestApp::embedded().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        raw(&app, &format!("{method} /nowhere HTTP/1.1"), b"").await.expect_problem(404, "not-found");
    }
    let everything = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    let connect = raw(&app, "CONNECT test:443 HTTP/1.1", b"").await;
    assert_eq!((connect.status, connect.header("allow")), (405, everything), "{connect:?}");
    let trace = raw(&app, "TRACE /nowhere HTTP/1.1\r\nX-Secret: 1", b"").await;
    assert_eq!((trace.status, trace.header("allow")), (405, everything));
    assert!(!trace.text.contains("X-Secret"), "{}", trace.text);
    let options = raw(&app, "OPTIONS * HTTP/1.1", b"").await;
    assert_eq!((options.status, options.header("allow")), (204, everything));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for path in [
        "/users",
        &admin.path(),
        "/auth/me",
        "/docs",
        "/openapi.yaml",
        "/health",
        "/problems/not-found",
        "/nowhere",
    ] {
        let get = admin.get(path).await;
        let head = admin.send(admin.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "etag", "cache-control", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn every_operation_refuses_parameters_that_it_does_not_have() {
    let app = TestApp::embedded().await;
    let document = document(&app).await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let export = ended_export(&app).await;
    let portrait = user.request(Method::PUT, &format!("{}/avatar", user.path()));
    let portrait = portrait.header("Content-Type", "image/png").header("Prefer", "respond-async");
    user.send(portrait.body(picture(PictureKind::Png, 9, 9))).await.expect(202);
    app.drain_jobs().await;
    for (path, method, operation) in documented_operations(&document) {
        let path = existing(path, &user, &export);
        let body = operation.get("requestBody").map(|_| json!({}));
        let send = async |query: &str| {
            let request = admin.request(method.clone(), &format!("{path}?{query}"));
            admin.send(if let Some(body) = &body { request.json(body) } else { request }).await
        };
        for (query, expected) in [
            ("surprise=1", vec![("surprise", "unknown-parameter")]),
            ("surprise", vec![("surprise", "unknown-parameter")]),
            (
                "a=1&b%26=2&%E2%82%AC=3",
                vec![("a", "unknown-parameter"), ("b&", "unknown-parameter"), ("€", "unknown-parameter")],
            ),
            ("ID=1&Page=1", vec![("ID", "unknown-parameter"), ("Page", "unknown-parameter")]),
            ("%ff=1", vec![("", "invalid-encoding")]),
        ] {
            let answer = send(query).await;
            assert_eq!(answer.status, 422, "{method} {path}?{query}: {}", answer.text);
            answer.expect_invalid(&expected);
        }
        if method == Method::GET {
            // A question mark alone asks for nothing.
            send("").await.expect(200);
        }
    }
    // What was asked for with a parameter too many has not happened.
    user.get(&user.path()).await.expect(200);
}
