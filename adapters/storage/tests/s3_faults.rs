//! What an S3 server may do to us, and what we make of it.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{Health, HealthProbe, ObjectBody, ObjectInfo, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::SystemClock;
use portwright_storage::{OpendalStorage, S3Config, StorageHealth};
use portwright_testkit::servers::S3;
use portwright_testkit::servers::s3::{Fault, Step};
use portwright_testkit::{ManualClock, SequentialIds};
use tokio::time::Instant;

mod bucket;

const MIB: usize = 1 << 20;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a key")
}

/// Bytes of which no two parts are the same.
fn large() -> Vec<u8> {
    (0..20 * MIB).map(|at| (at / 251 + at / MIB).to_le_bytes()[0]).collect()
}

/// A body in parts of a mebibyte, and then the end or an error.
struct Parts {
    bytes: Bytes,
    breaks: bool,
}

#[async_trait]
impl ObjectBody for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if self.bytes.is_empty() {
            let broken = PortError::new(ErrorKind::Unavailable, "body.next", "the sender is gone");
            return if self.breaks { Err(broken) } else { Ok(None) };
        }
        Ok(Some(self.bytes.split_to(self.bytes.len().min(MIB))))
    }
}

async fn put(storage: &OpendalStorage, name: &str, bytes: Vec<u8>) -> Result<ObjectInfo, PortError> {
    storage.put(&key(name), Box::new(Parts { bytes: bytes.into(), breaks: false })).await
}

async fn get(storage: &OpendalStorage, name: &str) -> Result<Option<Vec<u8>>, PortError> {
    let Some(mut object) = storage.get(&key(name)).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(part) = object.body.next().await? {
        bytes.extend_from_slice(&part);
    }
    Ok(Some(bytes))
}

/// Polls until nothing is left of the uploads that failed.
async fn nothing_is_left_on(server: &S3) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.open_uploads() > 0 {
        assert!(Instant::now() < deadline, "{} uploads were left", server.open_uploads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_at_once_and_used_again_when_it_is_back() {
    let (server, storage) = bucket::fresh().await;
    put(&storage, "a", b"before".to_vec()).await.expect("put works");
    server.stop();
    let begun = Instant::now();
    let refused = put(&storage, "b", b"bytes".to_vec()).await.expect_err("nobody is there");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.detail().contains("onnection refused"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let everything = [
        get(&storage, "a").await.map(drop),
        storage.remove(&key("a")).await,
        storage.list("", None, 1).await.map(drop),
    ];
    for error in everything.map(|answer| answer.expect_err("nobody is there")) {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    OpendalStorage::s3(&bucket::config(&server), Arc::new(SystemClock)).await.expect("it may come back");

    server.start();
    assert_eq!(get(&storage, "a").await.expect("it is back").as_deref(), Some(&b"before"[..]));
    assert_eq!(get(&storage, "b").await.expect("get works"), None);
}

#[tokio::test]
async fn every_step_survives_two_failures() {
    let (server, storage) = bucket::fresh().await;
    let (small, large) = (b"bytes".to_vec(), vec![3; 7 * MIB]);
    for fault in [Fault::SlowDown, Fault::InternalError, Fault::LostAnswer] {
        for step in [Step::Put, Step::Head, Step::Begin, Step::Part, Step::Get, Step::List, Step::Remove] {
            server.fail(2, step, fault);
            put(&storage, "small", small.clone()).await.expect("put works");
            put(&storage, "large", large.clone()).await.expect("put works");
            assert!(get(&storage, "small").await.expect("get works").as_ref() == Some(&small));
            assert!(get(&storage, "large").await.expect("get works").as_ref() == Some(&large));
            assert_eq!(storage.list("", None, 9).await.expect("list works").len(), 2, "{step:?} {fault:?}");
            storage.remove(&key("large")).await.expect("remove works");
        }
    }
}

#[tokio::test]
async fn a_third_failure_is_reported_and_nothing_is_asked_a_fourth_time() {
    let (server, storage) = bucket::fresh().await;
    server.fail(9, Step::Put, Fault::SlowDown);
    let error = put(&storage, "a", b"bytes".to_vec()).await.expect_err("it never worked");
    assert_eq!((error.kind(), server.asked(Step::Put)), (ErrorKind::Unavailable, 3), "{error}");
    server.fail(9, Step::Part, Fault::InternalError);
    let error = put(&storage, "a", large()).await.expect_err("it never worked");
    assert_eq!((error.kind(), server.asked(Step::Part)), (ErrorKind::Unavailable, 3), "{error}");
    nothing_is_left_on(&server).await;
    assert_eq!(get(&storage, "a").await.expect("get works"), None);
}

#[tokio::test]
async fn a_success_with_an_error_for_a_body_is_a_failure() {
    let (server, storage) = bucket::fresh().await;
    let large = large();
    for step in [Step::Put, Step::Begin, Step::Complete, Step::List] {
        server.fail(2, step, Fault::ErrorBody);
    }
    put(&storage, "a", b"bytes".to_vec()).await.expect("the third time it worked");
    put(&storage, "b", large.clone()).await.expect("the third time it worked");
    assert!(get(&storage, "b").await.expect("get works") == Some(large));
    assert_eq!(storage.list("", None, 9).await.expect("the third time it worked").len(), 2);

    server.fail(3, Step::Complete, Fault::ErrorBody);
    let error = put(&storage, "c", vec![0; 7 * MIB]).await.expect_err("it never worked");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    nothing_is_left_on(&server).await;

    server.fail(2, Step::Get, Fault::ErrorBody);
    assert_eq!(get(&storage, "a").await.expect("the third time it worked"), Some(b"bytes".to_vec()));
}

#[tokio::test]
async fn an_upload_whose_last_answer_is_lost_has_happened() {
    let (server, storage) = bucket::fresh().await;
    let large = large();
    server.fail(1, Step::Complete, Fault::LostAnswer);
    let info = put(&storage, "a", large.clone()).await.expect("it was completed");
    let listed = storage.list("", None, 9).await.expect("list works");
    assert_eq!(listed, [info]);
    assert!(get(&storage, "a").await.expect("get works") == Some(large));
    nothing_is_left_on(&server).await;
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let (server, storage) = bucket::fresh().await;
    let large = large();
    put(&storage, "a", large.clone()).await.expect("put works");
    server.fail(2, Step::Get, Fault::CutOff);
    assert!(get(&storage, "a").await.expect("get works") == Some(large));
    assert_eq!(server.asked(Step::Get), 3);
}

#[tokio::test]
async fn a_download_that_broke_off_does_not_go_on_with_another_version() {
    let (server, storage) = bucket::fresh().await;
    put(&storage, "a", large()).await.expect("put works");
    server.fail(1, Step::Get, Fault::CutOff);
    let mut object = storage.get(&key("a")).await.expect("get works").expect("it is there");
    put(&storage, "a", vec![1; 20 * MIB]).await.expect("put works");
    let error = loop {
        match object.body.next().await {
            Ok(part) => assert!(part.is_some(), "two versions were read as one"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.detail().contains("replaced"), "{error}");
    assert_eq!(object.body.next().await.expect("after an error"), None, "there are no more parts");
}

#[tokio::test]
async fn wrong_bytes_are_corrupt_and_the_last_of_them_is_not_handed_on() {
    let (server, storage) = bucket::fresh().await;
    for (name, bytes) in [("small", vec![7; 1_000]), ("large", large())] {
        put(&storage, name, bytes.clone()).await.expect("put works");
        server.fail(1, Step::Get, Fault::WrongByte);
        let mut object = storage.get(&key(name)).await.expect("get works").expect("it is there");
        let mut read = 0;
        let error = loop {
            match object.body.next().await {
                Ok(part) => read += part.expect("the end is an error").len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(read < bytes.len(), "{name}: all bytes were handed on");
        assert_eq!(get(&storage, name).await.expect("get works"), Some(bytes), "the next answer is right");
    }
}

#[tokio::test]
async fn encrypted_objects_have_etags_that_are_no_digests_and_are_read_all_the_same() {
    let (server, storage) = bucket::fresh().await;
    server.encrypt();
    for (name, bytes) in [("small", vec![7; 1_000]), ("large", large())] {
        put(&storage, name, bytes.clone()).await.expect("put works");
        assert!(get(&storage, name).await.expect("get works") == Some(bytes), "{name}");
    }
}

#[tokio::test]
async fn a_silent_server_is_waited_for_as_long_as_a_step_may_take() {
    let (server, storage) = bucket::fresh().await;
    server.fail(1, Step::Head, Fault::Silence);
    server.fail(1, Step::Get, Fault::Silence);
    let begun = Instant::now();
    let (put, got) = tokio::join!(put(&storage, "a", b"bytes".to_vec()), get(&storage, "b"));
    for error in [put.map(drop).expect_err("no answer"), got.map(drop).expect_err("no answer")] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn parts_of_what_was_given_up_are_removed() {
    let (server, storage) = bucket::fresh().await;
    let body = Parts { bytes: large().into(), breaks: true };
    storage.put(&key("a"), Box::new(body)).await.expect_err("the body broke");
    assert_eq!(server.asked(Step::Begin), 1);
    nothing_is_left_on(&server).await;

    // Dropped while a part is on its way.
    server.fail(1, Step::Part, Fault::Slow(Duration::from_millis(300)));
    let (name, asked) = (key("a"), server.asked(Step::Part));
    let on_its_way = async {
        while server.asked(Step::Part) == asked {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = storage.put(&name, Box::new(Parts { bytes: large().into(), breaks: false })) => panic!("too fast"),
        () = on_its_way => {}
    }
    assert_eq!(server.open_uploads(), 1);
    nothing_is_left_on(&server).await;
    assert_eq!(get(&storage, "a").await.expect("get works"), None);
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said_in_words() {
    let server = S3::run();
    let good = bucket::config(&server);
    let elsewhere = S3Config { bucket: "elsewhere".to_owned(), ..good.clone() };
    let stranger = S3Config { access_key: "AKIASOMEBODY".to_owned(), ..good.clone() };
    let liar = S3Config { secret_key: "hunter2".to_owned(), ..good.clone() };
    let wireless = S3Config { endpoint: Some("minio:9000".to_owned()), ..good.clone() };
    let shouting = S3Config { bucket: "FILES".to_owned(), ..good.clone() };
    for (config, expected) in [
        (elsewhere, "there is no such bucket"),
        (stranger, "the server does not know the access key"),
        (liar, "the secret key is not that of the access key"),
        (wireless, "http:// or https://"),
        (shouting, "a bucket is 3 to 63"),
    ] {
        let error = OpendalStorage::s3(&config, Arc::new(SystemClock)).await.expect_err("it is wrong");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.detail().contains(expected), "{error}");
        assert!(!format!("{error:?} {config:?}").contains(&config.secret_key), "{error:?}");
    }
    server.fail(1, Step::Any, Fault::Skewed);
    let error = OpendalStorage::s3(&good, Arc::new(SystemClock)).await.expect_err("the clocks differ");
    assert!(error.detail().contains("clocks"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_thousand_objects_are_listed_and_walked() {
    let (_server, storage) = bucket::fresh().await;
    let names: Vec<String> = (0..1_050).map(|number| format!("n/{number:04}")).collect();
    for chunk in names.chunks(50) {
        let puts = chunk.iter().map(|name| put(&storage, name, name.clone().into_bytes()));
        futures::future::try_join_all(puts).await.expect("every put works");
    }
    let list = async |after: Option<&str>, limit| {
        let found = storage.list("n/", after.map(key).as_ref(), limit).await.expect("list works");
        found.into_iter().map(|info| info.key.to_string()).collect::<Vec<_>>()
    };
    assert!(list(None, 2_000).await == names, "one list goes on over the server's pages");
    assert!(list(Some("n/0999"), u32::MAX).await == names[1_000..]);
    assert!(list(Some("n/0099"), 100).await == names[100..200]);
}

#[tokio::test]
async fn a_url_reads_the_object_without_our_keys() {
    let (_server, storage) = bucket::fresh().await;
    put(&storage, "folder/a.txt", b"bytes".to_vec()).await.expect("put works");
    let url = storage.presign(&key("folder/a.txt"), Duration::from_mins(1)).await.expect("presign works");
    let url = url.expect("S3 has URLs");
    assert!(!url.contains(S3::SECRET_KEY));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(&url).send().await.expect("an answer");
    assert_eq!(answer.bytes().await.expect("a body"), "bytes");
    let forged = client.get(url.replace("a.txt", "b.txt")).send().await.expect("an answer");
    assert_eq!(forged.status(), 403);
}

#[tokio::test]
async fn the_probe_tells_a_server_that_serves_from_one_that_does_not() {
    let (server, storage) = bucket::fresh().await;
    let clock = Arc::new(ManualClock::default());
    let probe = StorageHealth::of(Arc::new(storage.clone()), Arc::new(SequentialIds::new(clock)));
    assert_eq!(probe.check().await, Health::pass());
    assert!(storage.list("", None, 9).await.expect("list works").is_empty());
    server.stop();
    let unwell = probe.check().await;
    assert!(unwell.details[0].1.contains("onnection refused"), "{unwell:?}");
}
