//! Avatars over HTTP: sent as bytes, and read as bytes.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod refused;

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageReader};
use portwright_domain::avatar::PictureKind;
use portwright_e2e::{Answer, Caller, TestApp};
use portwright_testkit::pictures::{PLACE, contains, picture, taken_at_a_place};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PNG: PictureKind = PictureKind::Png;
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
    let patient = [("Prefer", "wait=25")];
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
        assert_eq!(sent.header("preference-applied"), "wait=25");
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
        let headers = [("If-Match", tag), ("Prefer", "wait=25")];
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
