//! What every [`Storage`] promises.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{ObjectBody, ObjectInfo, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::oneshot;

use crate::contract::Fixture;

contract! {
    /// Every promise of [`Storage`](portwright_domain::ports::Storage), as a test of its own, given an async function
    /// that makes a `Fixture<dyn Storage>`.
    storage_contract => storage::PROMISES: Fixture<dyn Storage> {
        an_object_is_read_as_it_was_put,
        an_object_of_many_parts_is_read_whole,
        an_empty_object_is_an_object,
        nothing_is_read_where_nothing_was_put,
        put_replaces_an_older_object,
        the_etag_changes_whenever_the_bytes_do,
        what_put_answers_is_what_get_and_list_answer,
        a_body_that_errs_leaves_what_was_there_before,
        a_put_that_is_dropped_leaves_what_was_there_before,
        an_opened_object_reads_as_it_was_whatever_happens_meanwhile,
        a_removed_object_is_gone,
        removing_a_missing_object_is_fine,
        a_list_is_in_byte_order_of_keys,
        a_list_shows_keys_that_start_with_the_prefix,
        a_list_goes_on_behind_a_key,
        a_list_is_no_longer_than_its_limit,
        keys_differ_in_every_byte,
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a valid key")
}

fn body(bytes: impl Into<Bytes>) -> Box<dyn ObjectBody> {
    Box::new(Some(bytes.into()))
}

impl Fixture<dyn Storage> {
    async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> ObjectInfo {
        self.port.put(&key(name), body(bytes)).await.expect("put works")
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self.port.get(&key(name)).await.expect("get works") {
            Some(object) => Some(whole(object.body).await),
            None => None,
        }
    }

    async fn names(&self, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let after = after.map(key);
        let infos = self.port.list(prefix, after.as_ref(), limit).await.expect("list works");
        infos.into_iter().map(|info| info.key.as_str().to_owned()).collect()
    }
}

async fn whole(mut body: Box<dyn ObjectBody>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await.expect("the body goes on") {
        bytes.extend_from_slice(&part);
    }
    bytes
}

/// Some parts, and then an end of its own kind.
struct Parts {
    parts: VecDeque<Bytes>,
    end: End,
}

enum End {
    Complete,
    Failure,
    /// Says that it got here, and waits for ever.
    Silence(Option<oneshot::Sender<()>>),
}

#[async_trait]
impl ObjectBody for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if let Some(part) = self.parts.pop_front() {
            return Ok(Some(part));
        }
        match &mut self.end {
            End::Complete => Ok(None),
            End::Failure => Err(PortError::new(ErrorKind::Unavailable, "body.next", "the sender is gone")),
            End::Silence(reached) => {
                if let Some(reached) = reached.take() {
                    reached.send(()).expect("the check still listens");
                }
                std::future::pending().await
            }
        }
    }
}

fn many_parts(end: End) -> Box<dyn ObjectBody> {
    let parts = (0_u8..=99).map(|number| Bytes::from(vec![number; 1_000])).collect();
    Box::new(Parts { parts, end })
}

async fn an_object_is_read_as_it_was_put(storage: Fixture<dyn Storage>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    storage.put("folder/a.bin", every_byte.clone()).await;
    assert_eq!(storage.get("folder/a.bin").await, Some(every_byte));
}

async fn an_object_of_many_parts_is_read_whole(storage: Fixture<dyn Storage>) {
    let info = storage.port.put(&key("a"), many_parts(End::Complete)).await.expect("put works");
    assert_eq!(info.size, 100_000);
    let expected: Vec<u8> = (0_u8..=99).flat_map(|number| vec![number; 1_000]).collect();
    assert!(storage.get("a").await == Some(expected), "the parts come back in order and whole");
}

async fn an_empty_object_is_an_object(storage: Fixture<dyn Storage>) {
    assert_eq!(storage.put("a", "").await.size, 0);
    assert_eq!(storage.get("a").await, Some(Vec::new()));
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

async fn nothing_is_read_where_nothing_was_put(storage: Fixture<dyn Storage>) {
    storage.put("folder/a", "bytes").await;
    for name in ["folder", "folder/b", "a"] {
        assert_eq!(storage.get(name).await, None, "{name}");
    }
}

async fn put_replaces_an_older_object(storage: Fixture<dyn Storage>) {
    storage.put("a", "old and longer").await;
    storage.put("a", "new").await;
    assert_eq!(storage.get("a").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

async fn the_etag_changes_whenever_the_bytes_do(storage: Fixture<dyn Storage>) {
    let one = storage.put("a", "one").await;
    let two = storage.put("a", "two").await;
    assert_ne!(one.etag, two.etag);
    assert!(!one.etag.is_empty());
}

async fn what_put_answers_is_what_get_and_list_answer(storage: Fixture<dyn Storage>) {
    let put = storage.put("a", "bytes").await;
    assert_eq!((put.key.as_str(), put.size), ("a", 5));
    let got = storage.port.get(&key("a")).await.expect("get works").expect("it is there");
    assert_eq!(got.info, put);
    assert_eq!(storage.port.list("", None, 10).await.expect("list works"), [put]);
}

async fn a_body_that_errs_leaves_what_was_there_before(storage: Fixture<dyn Storage>) {
    storage.put("a", "before").await;
    for name in ["a", "b"] {
        let put = storage.port.put(&key(name), many_parts(End::Failure)).await;
        assert_eq!(put.expect_err("the body erred").kind(), ErrorKind::Unavailable);
    }
    assert_eq!(storage.get("a").await.as_deref(), Some(&b"before"[..]));
    assert_eq!(storage.get("b").await, None);
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

async fn a_put_that_is_dropped_leaves_what_was_there_before(storage: Fixture<dyn Storage>) {
    storage.put("a", "before").await;
    for name in ["a", "b"] {
        let (reached, end) = oneshot::channel();
        let name = key(name);
        let put = storage.port.put(&name, many_parts(End::Silence(Some(reached))));
        tokio::select! {
            _ = put => panic!("a body without an end was put"),
            reached = end => reached.expect("the body was read to where it falls silent"),
        }
    }
    assert_eq!(storage.get("a").await.as_deref(), Some(&b"before"[..]));
    assert_eq!(storage.get("b").await, None);
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

async fn an_opened_object_reads_as_it_was_whatever_happens_meanwhile(storage: Fixture<dyn Storage>) {
    storage.put("replaced", "before").await;
    storage.put("removed", "before").await;
    let open = async |name| storage.port.get(&key(name)).await.expect("get works").expect("it is there");
    let (replaced, removed) = (open("replaced").await, open("removed").await);
    storage.put("replaced", "after").await;
    storage.port.remove(&key("removed")).await.expect("remove works");
    assert_eq!(whole(replaced.body).await, b"before");
    assert_eq!(whole(removed.body).await, b"before");
}

async fn a_removed_object_is_gone(storage: Fixture<dyn Storage>) {
    storage.put("a", "bytes").await;
    storage.put("b", "bytes").await;
    storage.port.remove(&key("a")).await.expect("remove works");
    assert_eq!(storage.get("a").await, None);
    assert_eq!(storage.names("", None, 10).await, ["b"]);
}

async fn removing_a_missing_object_is_fine(storage: Fixture<dyn Storage>) {
    storage.put("folder/a", "bytes").await;
    for name in ["missing", "folder", "folder/a/b"] {
        storage.port.remove(&key(name)).await.expect("a missing object is fine");
    }
    assert!(storage.get("folder/a").await.is_some());
}

/// In byte order: `-` and `.` come before `/`, and capitals before small letters. No key is another one's folder, which
/// a file system could not keep.
const IN_ORDER: [&str; 7] = ["A", "a-b", "a.b", "a/b", "a/c/d", "aB", "ab"];

async fn a_list_is_in_byte_order_of_keys(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER.iter().rev() {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("", None, 100).await, IN_ORDER);
}

async fn a_list_shows_keys_that_start_with_the_prefix(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("a/", None, 100).await, ["a/b", "a/c/d"]);
    assert_eq!(storage.names("a", None, 100).await, IN_ORDER[1..]);
    assert_eq!(storage.names("a/c/d", None, 100).await, ["a/c/d"]);
    assert!(storage.names("x", None, 100).await.is_empty());
}

async fn a_list_goes_on_behind_a_key(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    let mut walked = Vec::new();
    loop {
        let page = storage.names("", walked.last().map(String::as_str), 3).await;
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, IN_ORDER);
    storage.port.remove(&key("a/b")).await.expect("remove works");
    assert_eq!(storage.names("a", Some("a/b"), 1).await, ["a/c/d"], "the key itself may be gone");
    assert_eq!(storage.names("a/", Some("A"), 1).await, ["a/c/d"], "the key may be before the prefix");
}

async fn a_list_is_no_longer_than_its_limit(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("", None, 2).await, IN_ORDER[..2]);
    assert!(storage.names("", None, 0).await.is_empty());
}

async fn keys_differ_in_every_byte(storage: Fixture<dyn Storage>) {
    let long = "x".repeat(ObjectKey::MAX_BYTES);
    let names = ["a", "A", "a.tmp", ".a", "a_", "a-", &long, &long[1..]];
    for name in names {
        storage.put(name, name.to_owned()).await;
    }
    for name in names {
        assert_eq!(storage.get(name).await.as_deref(), Some(name.as_bytes()), "{name}");
    }
}
