//! The same import twice: by a client that sends it again, and by one that does not know that it did.

use portwright_e2e::TestApp;
use reqwest::Method;
use serde_json::json;

use crate::{ended, file, file_of, population, result, send, upload};

#[tokio::test]
async fn the_same_file_twice_creates_nobody_twice() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let first = ended(&app, &send(&admin, file_of(10)).await).await;
    assert_eq!(result(&first), json!({"created": 10, "unchanged": 0, "refused": []}));
    let second = ended(&app, &send(&admin, file_of(10)).await).await;
    assert_eq!(result(&second), json!({"created": 0, "unchanged": 10, "refused": []}));
    assert_eq!(population(&admin).await, 11);
}

#[tokio::test]
async fn a_file_that_is_sent_again_with_its_key_is_one_job() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    // Larger than a JSON body may be.
    let text = file_of(30_000);
    let with_key = |text: String| upload(&admin, text).header("idempotency-key", "the-key");
    let first = admin.send(with_key(text.clone())).await;
    let again = admin.send(with_key(text.clone())).await;
    assert_eq!((first.expect(202), first.header("location")), (again.expect(202), again.header("location")));
    for name in ["retry-after", "content-type"] {
        assert_eq!(first.header(name), again.header(name));
    }
    // Of the newest state, which the import may have changed meanwhile.
    assert!(!again.header("consistency-token").is_empty());
    assert!(first.headers.iter().chain(&again.headers).all(|(name, _)| !name.as_str().contains("sha256")));
    assert_eq!(app.stored_files("imports"), 1, "the file is kept once");

    // One letter is another file, although it is as long.
    let other = text.replacen("user7@", "user_@", 1);
    admin.send(with_key(other)).await.expect_problem(422, "idempotency-key-reused");
    let other_type = admin.request(Method::POST, "/users/import").body(text.clone());
    let other_type = other_type.header("content-type", "text/csv; charset=utf-8");
    admin
        .send(other_type.header("idempotency-key", "the-key"))
        .await
        .expect_problem(422, "idempotency-key-reused");
    assert_eq!(app.stored_files("imports"), 1);
    admin.send(with_key(text)).await.expect(202);
}

#[tokio::test]
async fn a_refusal_is_kept_for_its_key_whatever_the_file() {
    let app = TestApp::embedded().await;
    let user = app.user("user").await;
    for text in [file_of(1), file(&[])] {
        let request = upload(&user, text).header("idempotency-key", "the-key");
        user.send(request).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing_and_its_key_is_free() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let pieces = [Ok(file_of(1_000)), Err(std::io::Error::other("the line is cut"))];
    let broken = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let request = upload(&admin, broken).header("idempotency-key", "the-key");
    request.send().await.expect_err("the client gave up");
    for _ in 0..2_000 {
        let request = upload(&admin, file_of(3)).header("idempotency-key", "the-key");
        let answer = admin.send(request).await;
        if answer.status != 409 {
            let job = ended(&app, &answer).await;
            assert_eq!(result(&job)["created"], 3);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the key is not free");
}
