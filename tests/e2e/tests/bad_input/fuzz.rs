//! Thousands of requests at random: whatever comes is served, or refused in good order.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{StreamExt as _, iter};
use portwright_e2e::{Answer, Caller, TestApp};
use portwright_testkit::Noise;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{document, documented_operations};

const REQUESTS: usize = 2_500;
const CONNECTIONS: usize = 600;

const TEXTS: [&str; 26] = [
    "",
    " ",
    "a",
    "a@example.com",
    "admin",
    "true",
    "null",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "\u{0}",
    "\u{ffff}",
    "🔑",
    "\u{202e}",
    "' OR 1=1 --",
    "%00",
    "%ff",
    "../..",
    "{}",
    "[]",
    "<a>",
    "\r\nX: y",
    "*",
    "\"1\"",
    "tango-velvet-harbor-91",
];

const FIELDS: [&str; 12] = [
    "email",
    "password",
    "firstName",
    "lastName",
    "role",
    "isActive",
    "refreshToken",
    "currentPassword",
    "newPassword",
    "id",
    "__proto__",
    "",
];

const PARAMETERS: [&str; 12] = [
    "page",
    "limit",
    "cursor",
    "search",
    "email",
    "firstName",
    "role",
    "isActive",
    "sortBy",
    "sortOrder",
    "surprise",
    "",
];

const HEADERS: [&str; 16] = [
    "Content-Type",
    "Content-Encoding",
    "Accept",
    "Accept-Encoding",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Consistency-Token",
    "X-Request-Id",
    "X-Forwarded-For",
    "Forwarded",
    "Range",
    "Prefer",
    "Origin",
    "Cookie",
    "Last-Event-ID",
];

fn text(noise: &mut Noise) -> String {
    match noise.below(4) {
        0 => (0..noise.below(40)).filter_map(|_| char::from_u32(u32::from(noise.byte()) * 37)).collect(),
        1 => noise.one_of(&TEXTS).repeat(noise.below(300)),
        _ => (*noise.one_of(&TEXTS)).to_owned(),
    }
}

fn value(noise: &mut Noise, depth: usize) -> Value {
    match noise.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(noise.below(2) == 0),
        2 => json!(noise.number()),
        3 => json!(f64::from_bits(noise.number())),
        4 | 5 => json!(text(noise)),
        6 => (0..noise.below(4)).map(|_| value(noise, depth - 1)).collect(),
        _ => object(noise, depth - 1),
    }
}

fn object(noise: &mut Noise, depth: usize) -> Value {
    let member = |noise: &mut Noise| ((*noise.one_of(&FIELDS)).to_owned(), value(noise, depth));
    Value::Object((0..noise.below(6)).map(|_| member(noise)).collect::<Map<_, _>>())
}

/// Mostly JSON, sometimes what was JSON.
fn body(noise: &mut Noise) -> Vec<u8> {
    let mut body = object(noise, 3).to_string().into_bytes();
    if noise.below(4) == 0 {
        mutate(&mut body, noise);
    }
    body
}

fn mutate(bytes: &mut Vec<u8>, noise: &mut Noise) {
    for _ in 0..=noise.below(6) {
        if bytes.is_empty() {
            return;
        }
        let at = noise.below(bytes.len());
        match noise.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, noise.byte()),
            3 => bytes.splice(at..at, *b"\r\n").for_each(drop),
            4 => {
                let end = at + noise.below(bytes.len() - at);
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy).for_each(drop);
            }
            _ => bytes[at] = noise.byte(),
        }
    }
}

fn path(noise: &mut Noise, templates: &[String], ids: &[&str]) -> String {
    let id = if noise.below(3) == 0 { text(noise) } else { (*noise.one_of(ids)).to_owned() };
    let mut path = noise.one_of(templates).replace("{id}", &id).replace("{code}", &id);
    if noise.below(8) == 0 {
        path.push('/');
        path.push_str(&text(noise));
    }
    for number in 0..noise.below(4) {
        let separator = if number == 0 { '?' } else { '&' };
        path = format!("{path}{separator}{}={}", noise.one_of(&PARAMETERS), text(noise));
    }
    path
}

async fn request(noise: &mut Noise, caller: &Caller, templates: &[String], ids: &[&str]) -> (String, Answer) {
    // No HEAD, whose refusals cannot be told apart.
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let (method, path) = (noise.one_of(&methods).clone(), path(noise, templates, ids));
    let mut request = caller.request(method.clone(), &path);
    if method != Method::GET {
        request = request.body(body(noise));
        if noise.below(8) > 0 {
            request = request.header("Content-Type", "application/json");
        }
    }
    for _ in 0..noise.below(3) {
        if let Ok(value) = HeaderValue::from_bytes(text(noise).as_bytes()) {
            request = request.header(*noise.one_of(&HEADERS), value);
        }
    }
    (format!("{method} {path}"), caller.send(request).await)
}

#[tokio::test]
async fn requests_at_random_are_served_or_refused_in_good_order() {
    let app = TestApp::embedded().await;
    let document = document(&app).await;
    let templates: Vec<_> = documented_operations(&document).map(|(path, _, _)| path.to_owned()).collect();
    let (admin, user, victim) = (app.admin().await, app.user("user").await, app.user("moderator").await);
    let nobody = app.nobody();
    let callers = [&admin, &admin, &user, &nobody];
    let ids = [admin.id(), user.id(), victim.id(), "00000000-0000-7000-8000-000000000000", "not-found"];

    let mut noise = Noise::new(2_026);
    let (mut codes, mut served) = (BTreeSet::new(), 0);
    for number in 0..REQUESTS {
        let caller = *noise.one_of(&callers);
        let (what, answer) = request(&mut noise, caller, &templates, &ids).await;
        assert!(answer.status < 500, "{number}: {what}: {} {}", answer.status, answer.text);
        if answer.status < 400 {
            served += 1;
        } else {
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            answer.expect_problem(answer.status, &code);
            let inside = ["sqlx", "sqlite", "SELECT ", "panicked", "src/", ".rs:", "serde", "poem", "argon2"];
            let told = inside
                .iter()
                .find(|word| answer.json()["detail"].as_str().is_some_and(|text| text.contains(**word)));
            assert_eq!(told, None, "{number}: {what}: {}", answer.text);
            codes.insert((answer.status, code));
        }
    }
    // Noise that met one kind of refusal only would prove little.
    assert!(served > REQUESTS / 20 && codes.len() > 8, "{served} were served; refusals: {codes:?}");
    for (_, code) in codes {
        nobody.get(&format!("/problems/{code}")).await.expect(200);
    }
    admin.get("/users").await.expect(200);
}

#[tokio::test]
async fn bytes_at_random_are_answered_or_cut_off() {
    let app = TestApp::embedded().await;
    let token = app.admin().await.token().to_owned();
    let requests = [
        format!("GET /users?page=1 HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"),
        "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX: y\r\n\r\n"
            .to_owned(),
        "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n".to_owned(),
    ];
    let mut noise = Noise::new(19_700_101);
    let garbled = (0..CONNECTIONS).map(|_| {
        let mut bytes = noise.one_of(&requests).clone().into_bytes();
        mutate(&mut bytes, &mut noise);
        bytes
    });
    let garbled: Vec<_> = garbled.collect();
    let address = app.address();
    let answers = iter(&garbled).map(|bytes| exchange(&address, bytes)).buffer_unordered(16);
    let mut refused = 0;
    for (sent, answer) in answers.collect::<Vec<_>>().await {
        // An answer, or nothing: where more was to come, the server waits.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{sent:?}: {answer}");
        let statuses = answer.split("HTTP/1.").filter_map(|head| head.get(2..5)?.parse::<u16>().ok());
        for status in statuses {
            assert!(status < 500, "{sent:?}: {answer}");
            refused += usize::from(status >= 400);
        }
    }
    assert!(refused > CONNECTIONS / 4, "only {refused} refusals");
    app.nobody().get("/health/ready").await.expect(200);
}

/// What was sent, and all that comes back within a moment.
async fn exchange(address: &str, bytes: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while timeout(Duration::from_millis(300), stream.read_buf(&mut answer))
        .await
        .is_ok_and(|read| read.is_ok_and(|n| n > 0))
    {}
    (String::from_utf8_lossy(bytes).into_owned(), String::from_utf8_lossy(&answer).into_owned())
}
