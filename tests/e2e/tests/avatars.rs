//! Avatars over HTTP: sent as bytes, read as bytes, and refused where they are no picture.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageReader};
use portwright_domain::avatar::PictureKind;
use portwright_e2e::{Answer, Caller, TestApp, wire};
use portwright_testkit::pictures::{PLACE, claimed_png, contains, picture, taken_at_a_place};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PNG: PictureKind = PictureKind::Png;
const MAX_BYTES: usize = 5 * 1024 * 1024;
const SIZES: [(&str, u32); 4] = [("64", 64), ("256", 256), ("512", 512), ("original", 1_000)];

fn avatar_of(caller: &Caller) -> String {
    format!("{}/avatar", caller.path())
}

async fn put_with(
    caller: &Caller,
    path: &str,
    (media_type, bytes): (&str, Vec<u8>),
    headers: &[(&str, &str)],
) -> Answer {
    let request = caller.request(Method::PUT, path).header("Content-Type", media_type).body(bytes);
    caller.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// Sends a picture of the caller's own, and waits for it.
async fn put(caller: &Caller, kind: PictureKind, bytes: Vec<u8>) -> Answer {
    let patient = [("Prefer", "wait=50")];
    put_with(caller, &avatar_of(caller), (kind.media_type(), bytes), &patient).await
}

/// The path of the job of an upload that nobody waits for.
async fn send(caller: &Caller, kind: PictureKind, bytes: Vec<u8>) -> String {
    let hasty = [("Prefer", "respond-async")];
    let sent = put_with(caller, &avatar_of(caller), (kind.media_type(), bytes), &hasty).await;
    sent.expect(202);
    sent.header("location").to_owned()
}

/// An answer whose body is a picture.
struct Seen {
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Seen {
    async fn at(caller: &Caller, path: &str) -> Self {
        let response = caller.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers().clone();
        Self { headers, bytes: response.bytes().await.expect("a body").into() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn drawing(&self) -> DynamicImage {
        let reader = ImageReader::new(Cursor::new(&self.bytes)).with_guessed_format().expect("readable");
        let format = reader.format().expect("a picture");
        assert_eq!(format.to_mime_type(), self.header("content-type"));
        reader.decode().expect("a picture")
    }
}

#[tokio::test]
async fn a_picture_is_sent_and_read_in_every_size() {
    let app = TestApp::embedded().await;
    let (ada, eve, _worker) = (app.user("user").await, app.user("user").await, app.work());
    let path = avatar_of(&ada);
    for kind in PictureKind::ALL {
        app.advance(std::time::Duration::from_secs(1));
        let sent = put(&ada, kind, picture(kind, 1_000, 500)).await;
        let user = sent.expect(200);
        assert_eq!((&user["avatarUrl"], &user["updatedAt"]), (&json!(path), &json!(app.now().to_string())));
        assert_eq!(sent.header("content-location"), ada.path());
        assert_eq!(sent.header("preference-applied"), "wait=50");
        let read = eve.get_with(&path, "Consistency-Token", sent.header("consistency-token")).await;
        assert_eq!(read.status, 200, "whoever has the proof sees it");
        let read = ada.get(&ada.path()).await;
        assert_eq!((read.expect(200), read.header("etag")), (user, sent.header("etag")));

        for (size, pixels) in SIZES {
            let seen = Seen::at(&eve, &format!("{path}?size={size}")).await;
            assert_eq!(seen.drawing().dimensions(), (pixels, pixels / 2), "{kind:?} {size}");
            assert_eq!(seen.header("content-type"), kind.media_type());
        }
        let usual = Seen::at(&eve, &path).await;
        assert_eq!(usual.drawing().width(), 256);
        assert_eq!(usual.bytes, Seen::at(&eve, &format!("{path}?size=256")).await.bytes);
    }
}

#[tokio::test]
async fn a_picture_comes_with_headers_that_make_it_harmless_and_kept() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    let path = avatar_of(&ada);
    put(&ada, PNG, picture(PNG, 600, 600)).await.expect(200);
    let seen = Seen::at(&ada, &path).await;
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-disposition", "inline"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-cache"),
        ("content-length", &seen.bytes.len().to_string()),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let head = ada.send(ada.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    for name in ["content-type", "content-length", "etag", "content-security-policy"] {
        assert_eq!(head.header(name), seen.header(name), "{name}");
    }
    let etag = seen.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with("-256\""), "{etag}");
    for known in [etag, &format!("\"other\", W/{etag}"), "*"] {
        let answer = ada.get_with(&path, "If-None-Match", known).await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
        assert_eq!((answer.header("etag"), answer.header("cache-control")), (etag, "private, no-cache"));
    }
    let large = ada.get_with(&format!("{path}?size=512"), "If-None-Match", etag).await;
    assert_eq!(large.status, 200, "another size is another representation");
    put(&ada, PNG, picture(PNG, 600, 600)).await.expect(200);
    assert_eq!(ada.get_with(&path, "If-None-Match", etag).await.status, 200, "another upload, another tag");
}

#[tokio::test]
async fn who_does_not_wait_gets_the_job_and_the_picture_is_there_when_it_has_ended() {
    let app = TestApp::embedded().await;
    let ada = app.user("user").await;
    let path = avatar_of(&ada);
    for (prefer, applied) in [("respond-async", "respond-async"), ("wait=0", "wait=0"), ("wait=1", "wait=1")]
    {
        let sent = put_with(&ada, &path, ("image/png", picture(PNG, 9, 9)), &[("Prefer", prefer)]).await;
        let job = sent.expect(202);
        assert_eq!((&job["task"], &job["createdBy"]), (&json!("users.thumbnails"), &json!(ada.id())));
        assert_eq!((sent.header("preference-applied"), sent.header("retry-after")), (applied, "1"));
        let job = sent.header("location");
        assert_eq!(ada.get(job).await.expect(200)["state"], "ready");
        app.drain_jobs().await;
        let job = ada.get(job).await.expect(200);
        assert_eq!((&job["state"], &job["result"]), (&json!("succeeded"), &json!("stored")));
        assert_eq!(ada.get(&ada.path()).await.expect(200)["avatarUrl"], json!(path));
        ada.delete(&path).await.expect(204);
        ada.get(&path).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn admins_and_the_user_change_a_picture_and_everybody_sees_it() {
    let app = TestApp::embedded().await;
    let (admin, moderator, _worker) = (app.admin().await, app.user("moderator").await, app.work());
    let (ada, eve, nobody) = (app.user("user").await, app.user("user").await, app.nobody());
    let path = avatar_of(&ada);
    let portrait = || ("image/png", picture(PNG, 9, 9));
    for (caller, status) in [(&admin, 200), (&ada, 200), (&moderator, 403), (&eve, 404), (&nobody, 401)] {
        assert_eq!(put_with(caller, &path, portrait(), &[]).await.status, status);
        let refused = caller.get(&path).await.status;
        assert_eq!(refused, if status == 401 { 401 } else { 200 });
    }
    for (caller, status) in [(&nobody, 401), (&eve, 404), (&moderator, 403), (&ada, 204), (&admin, 204)] {
        assert_eq!(caller.delete(&path).await.status, status);
    }
    put(&moderator, PNG, picture(PNG, 9, 9)).await.expect(200);
    for missing in ["/users/01900000-0000-7000-8000-000000000000/avatar", "/users/nonsense/avatar"] {
        put_with(&admin, missing, portrait(), &[]).await.expect_problem(404, "not-found");
        admin.get(missing).await.expect_problem(404, "not-found");
        admin.delete(missing).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_picture_is_removed_once_and_for_all() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    let path = avatar_of(&ada);
    ada.delete(&path).await.expect(204);
    put(&ada, PNG, picture(PNG, 9, 9)).await.expect(200);
    let removed = ada.delete(&path).await;
    removed.expect(204);
    assert!(!removed.header("consistency-token").is_empty());
    for (size, _) in SIZES {
        ada.get(&format!("{path}?size={size}")).await.expect_problem(404, "not-found");
    }
    assert_eq!(ada.get(&ada.path()).await.expect(200)["avatarUrl"], Value::Null);
    ada.delete(&path).await.expect(204);
}

#[tokio::test]
async fn only_the_picture_that_the_client_knows_is_changed() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    let path = avatar_of(&ada);
    let replace = async |tag: &str| {
        let headers = [("If-Match", tag), ("Prefer", "wait=50")];
        put_with(&ada, &path, ("image/png", picture(PNG, 9, 9)), &headers).await
    };
    let remove = async |tag: &str| ada.send(ada.request(Method::DELETE, &path).header("If-Match", tag)).await;
    replace("*").await.expect_problem(412, "precondition-failed");
    remove("*").await.expect_problem(412, "precondition-failed");
    put(&ada, PNG, picture(PNG, 9, 9)).await.expect(200);
    let first = Seen::at(&ada, &path).await.header("etag").to_owned();
    replace(&first).await.expect(200);
    for stale in [first.as_str(), "\"nonsense\"", ""] {
        replace(stale).await.expect_problem(412, "precondition-failed");
        remove(stale).await.expect_problem(412, "precondition-failed");
    }
    let small = Seen::at(&ada, &format!("{path}?size=64")).await.header("etag").to_owned();
    replace(&format!("\"other\", {small}")).await.expect(200);
    remove("*").await.expect(204);
}

#[tokio::test]
async fn nothing_of_the_place_is_ever_served() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    for kind in PictureKind::ALL {
        put(&ada, kind, taken_at_a_place(kind, 300, 150, 6)).await.expect(200);
        for (size, _) in SIZES {
            let seen = Seen::at(&ada, &format!("{}?size={size}", avatar_of(&ada))).await;
            for trace in [PLACE, "Exif", "EXIF", "eXIf"] {
                assert!(!contains(&seen.bytes, trace.as_bytes()), "{kind:?} {size}: {trace}");
            }
            assert!(seen.drawing().height() > seen.drawing().width(), "{kind:?} {size} is not turned");
        }
    }
}

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
    assert!(job["error"]["invalid_image"]["detail"].is_string(), "{job}");
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

#[tokio::test]
async fn of_two_uploads_at_once_one_is_shown_in_every_size() {
    let app = TestApp::embedded().await;
    let (ada, _worker) = (app.user("user").await, app.work());
    for _ in 0..5 {
        let (square, line) =
            tokio::join!(put(&ada, PNG, picture(PNG, 1_000, 1_000)), put(&ada, PNG, picture(PNG, 1_000, 10)));
        square.expect(200);
        line.expect(200);
        // Whichever was replaced before it was drawn does not stand in the way of the other.
        let mut shapes = Vec::new();
        for (size, _) in SIZES {
            let drawing = Seen::at(&ada, &format!("{}?size={size}", avatar_of(&ada))).await.drawing();
            shapes.push(drawing.width() == drawing.height());
        }
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    }
}

#[tokio::test]
async fn a_removed_user_has_no_picture() {
    let app = TestApp::embedded().await;
    let (admin, ada, _worker) = (app.admin().await, app.user("user").await, app.work());
    put(&ada, PNG, picture(PNG, 9, 9)).await.expect(200);
    Seen::at(&admin, &avatar_of(&ada)).await;
    admin.delete(&ada.path()).await.expect(204);
    admin.get(&avatar_of(&ada)).await.expect_problem(404, "not-found");
}
