//! How large a file may be, and what becomes of one that nobody can work on.

use futures::stream::repeat_with;
use portwright_e2e::TestApp;
use reqwest::Body;

use crate::{HEADER, ended, send, upload};

const MIB: usize = 1024 * 1024;

/// A file of so many bytes that arrives in pieces, without saying how long it will be.
fn chunked(bytes: usize) -> Body {
    let mut left = bytes;
    let pieces = repeat_with(move || {
        let piece = left.min(64 * 1024);
        left -= piece;
        Ok::<_, std::io::Error>(vec![b'\n'; piece])
    });
    Body::wrap_stream(futures::StreamExt::take(pieces, bytes.div_ceil(64 * 1024)))
}

#[tokio::test]
async fn a_file_of_64_mib_is_taken_and_one_byte_more_is_not() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let mut text =
        format!("{HEADER}\nada@example.com,Ada,Lovelace,user,granite-otter-lagoon-37\n").into_bytes();
    text.resize(64 * MIB, b'\n');
    let job = ended(&app, &send(&admin, text.clone()).await).await;
    assert_eq!(crate::result(&job)["created"], 1);

    text.push(b'\n');
    send(&admin, text).await.expect_problem(413, "payload-too-large");
    admin.send(upload(&admin, chunked(64 * MIB))).await.expect(202);
    admin.send(upload(&admin, chunked(64 * MIB + 1))).await.expect_problem(413, "payload-too-large");
    let keyed = upload(&admin, chunked(65 * MIB)).header("idempotency-key", "large");
    admin.send(keyed).await.expect_problem(413, "payload-too-large");
}

#[tokio::test]
async fn a_queue_that_takes_no_jobs_is_told_and_keeps_no_file() {
    let app = TestApp::with(|config| config.jobs.limits.waiting = 0).await;
    let admin = app.admin().await;
    let refused = send(&admin, HEADER).await;
    refused.expect(503);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(app.stored_files("imports"), 0);
}
