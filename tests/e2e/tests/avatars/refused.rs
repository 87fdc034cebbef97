//! Uploads that are refused: what is no picture, what is too large, what breaks off, and parameters that do not exist.

use portwright_domain::avatar::PictureKind;
use portwright_e2e::{Answer, Caller, TestApp, wire};
use portwright_testkit::pictures::{claimed_png, picture};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PNG, Seen, avatar_of, put, put_with, send};

const MAX_BYTES: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn what_is_no_picture_is_refused_at_once() {
    let app = TestApp::embedded().await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let path = avatar_of(&ada);
    let png = || picture(PNG, 9, 9);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#.to_vec();
    let (unsupported, invalid) = ((415, "unsupported-media-type"), (422, "invalid-image"));
    for (media_type, bytes, (status, code)) in [
        ("image/svg+xml", svg.clone(), unsupported),
        ("text/html", b"<!doctype html><script>alert(1)</script>".to_vec(), unsupported),
        ("image/gif", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), unsupported),
        ("application/octet-stream", png(), unsupported),
        ("multipart/form-data; boundary=x", png(), unsupported),
        ("application/json", b"{}".to_vec(), unsupported),
        ("image/*", png(), unsupported),
        ("", png(), unsupported),
        ("image/png", svg, unsupported),
        ("image/webp", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), unsupported),
        ("image/png", picture(PictureKind::Jpeg, 9, 9), unsupported),
        ("image/jpeg", png(), unsupported),
        ("image/jpeg", picture(PictureKind::WebP, 9, 9), unsupported),
        ("image/png", Vec::new(), invalid),
        ("image/png", b"no picture at all".to_vec(), invalid),
        ("image/png", png()[..20].to_vec(), invalid),
        ("image/png", claimed_png(60_000, 60_000), invalid),
        ("image/png", claimed_png(20_000_001, 1), invalid),
    ] {
        let refused = put_with(&ada, &path, (media_type, bytes), &[]).await;
        assert_eq!(refused.status, status, "{media_type}: {}", refused.text);
        refused.expect_problem(status, code);
    }
    let nameless = ada.request(Method::PUT, &path).body(png());
    ada.send(nameless).await.expect_problem(415, "unsupported-media-type");
    let packed = [("Content-Encoding", "gzip")];
    let refused = put_with(&ada, &path, ("image/png", png()), &packed).await;
    refused.expect_problem(415, "unsupported-media-type");
    assert_eq!(admin.get("/jobs").await.expect(200)["data"], json!([]), "no job was made");
    assert_eq!(ada.get(&ada.path()).await.header("etag"), "\"1\"", "nothing was changed");
}

#[tokio::test]
async fn what_only_a_decoder_can_tell_is_refused_when_it_has() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    put(&ada, PNG, picture(PNG, 9, 9)).await.expect(200);
    let before = Seen::at(&ada, &avatar_of(&ada)).await.bytes;
    for kind in PictureKind::ALL {
        let mut cut = picture(kind, 500, 500);
        cut.truncate(cut.len() * 7 / 10);
        put(&ada, kind, cut).await.expect_problem(422, "invalid-image");
    }
    let job = send(&ada, PictureKind::Jpeg, picture(PictureKind::Jpeg, 50, 50)[..300].to_vec()).await;
    for _ in 0..1_000 {
        if ada.get(&job).await.expect(200)["finishedAt"] != Value::Null {
            break;
        }
    }
    let job = ada.get(&job).await.expect(200);
    assert_eq!(job["state"], "failed");
    assert_eq!(job["error"]["code"], "invalid-image", "{job}");
    assert_eq!(Seen::at(&ada, &avatar_of(&ada)).await.bytes, before);
}

#[tokio::test]
async fn a_size_is_one_of_four_and_there_is_no_other_parameter() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let path = avatar_of(&ada);
    for (query, expected) in [
        ("size=65", ("size", "unknown-value")),
        ("size=", ("size", "unknown-value")),
        ("size=Original", ("size", "unknown-value")),
        ("size=../../etc/passwd", ("size", "unknown-value")),
        ("size=64&size=64", ("size", "repeated-parameter")),
        ("v=1", ("v", "unknown-parameter")),
    ] {
        ada.get(&format!("{path}?{query}")).await.expect_invalid(&[expected]);
    }
    for method in [Method::PUT, Method::DELETE] {
        let request = ada.request(method, &format!("{path}?size=64"));
        let request = request.header("Content-Type", "image/png").body(picture(PNG, 9, 9));
        ada.send(request).await.expect_invalid(&[("size", "unknown-parameter")]);
    }
}

/// The head of an upload, to be sent over a socket.
fn head(caller: &Caller, more: &str) -> String {
    let (path, token) = (avatar_of(caller), caller.token());
    format!(
        "PUT {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: image/png\r\n\
         Prefer: respond-async\r\n{more}"
    )
}

#[tokio::test]
async fn five_mebibytes_are_taken_and_one_byte_more_is_not() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let upload = |bytes: usize| {
        let mut upload = picture(PNG, 9, 9);
        upload.resize(bytes, 0);
        upload
    };
    let with_length = async |bytes: usize| {
        let head = head(&ada, &format!("Content-Length: {bytes}"));
        Answer::parse(&wire::request(&app.address(), &head, &upload(bytes)).await)
    };
    let in_chunks = async |bytes: usize| {
        let mut body = Vec::new();
        for chunk in upload(bytes).chunks(100_000) {
            body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            body.extend_from_slice(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        Answer::parse(&wire::request(&app.address(), &head(&ada, "Transfer-Encoding: chunked"), &body).await)
    };
    with_length(MAX_BYTES).await.expect(202);
    in_chunks(MAX_BYTES).await.expect(202);
    for refused in
        [with_length(MAX_BYTES + 1).await, in_chunks(MAX_BYTES + 1).await, in_chunks(3 * MAX_BYTES).await]
    {
        refused.expect_problem(413, "payload-too-large");
        assert_eq!(refused.header("connection"), "close");
    }
    // Nobody asks for a body that is announced too large.
    let announced = head(&ada, &format!("Expect: 100-continue\r\nContent-Length: {}", MAX_BYTES + 1));
    let refused = Answer::parse(&wire::request(&app.address(), &announced, b"").await);
    refused.expect_problem(413, "payload-too-large");
    assert_eq!(app.drain_jobs().await, 2);
    assert_eq!(Seen::at(&ada, &avatar_of(&ada)).await.drawing().width(), 9);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_changes_nothing() {
    let app = TestApp::embedded().await;
    let (admin, ada) = (app.admin().await, app.user("user").await);
    let head = format!("{}\r\nHost: test\r\n\r\n", head(&ada, "Content-Length: 1000"));
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream.write_all(&picture(PNG, 9, 9)).await.expect("it is sent");
    stream.shutdown().await.expect("it is closed");
    let mut rest = Vec::new();
    // The server closes when it is done with it.
    stream.read_to_end(&mut rest).await.expect("an end");
    assert_eq!(admin.get("/jobs").await.expect(200)["data"], json!([]));
    assert_eq!(ada.get(&ada.path()).await.header("etag"), "\"1\"");
    put_with(&ada, &avatar_of(&ada), ("image/png", picture(PNG, 9, 9)), &[("Prefer", "wait=0")])
        .await
        .expect(202);
}
