//! Whole or not at all, whoever else is there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{ObjectBody, Storage};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{key, whole};
use crate::contract::Fixture;

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
        // Others have their turn between any two parts.
        tokio::task::yield_now().await;
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

/// A hundred parts of a thousand bytes, each part of its own number.
fn many_parts(end: End) -> Box<dyn ObjectBody> {
    let parts = (0_u8..=99).map(|number| Bytes::from(vec![number; 1_000])).collect();
    Box::new(Parts { parts, end })
}

/// Versions of one object: no two are of one length, and none has two kinds of bytes.
fn version(number: u8) -> Vec<u8> {
    vec![number; 10_000 * usize::from(number) + 1]
}

fn version_in_parts(number: u8) -> Box<dyn ObjectBody> {
    let parts = version(number).chunks(4_096).map(Bytes::copy_from_slice).collect();
    Box::new(Parts { parts, end: End::Complete })
}

pub(super) async fn an_object_of_many_parts_is_read_whole(storage: Fixture<dyn Storage>) {
    let info = storage.port.put(&key("a"), many_parts(End::Complete)).await.expect("put works");
    assert_eq!(info.size, 100_000);
    let expected: Vec<u8> = (0_u8..=99).flat_map(|number| vec![number; 1_000]).collect();
    assert!(storage.get("a").await == Some(expected), "the parts come back in order and whole");
}

pub(super) async fn a_body_that_errs_leaves_what_was_there_before(storage: Fixture<dyn Storage>) {
    storage.put("a", "before").await;
    for name in ["a", "b"] {
        let put = storage.port.put(&key(name), many_parts(End::Failure)).await;
        assert_eq!(put.expect_err("the body erred").kind(), ErrorKind::Unavailable);
    }
    assert_eq!(storage.get("a").await.as_deref(), Some(&b"before"[..]));
    assert_eq!(storage.get("b").await, None);
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

pub(super) async fn a_put_that_is_dropped_leaves_what_was_there_before(storage: Fixture<dyn Storage>) {
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
    storage.put("b", "after").await;
    assert_eq!(storage.get("b").await.as_deref(), Some(&b"after"[..]));
}

pub(super) async fn of_many_puts_at_once_one_is_found_whole(storage: Fixture<dyn Storage>) {
    for _ in 0..5 {
        let mut putting = JoinSet::new();
        for number in 1..=8 {
            let port = storage.port.clone();
            putting.spawn(async move { port.put(&key("a"), version_in_parts(number)).await });
        }
        let infos: Result<Vec<_>, _> = putting.join_all().await.into_iter().collect();
        let infos = infos.expect("every put works");
        let object = storage.port.get(&key("a")).await.expect("get works").expect("it is there");
        assert!(infos.contains(&object.info), "what is found is what one of them was answered");
        let bytes = whole(object.body).await;
        assert!(bytes == version(bytes[0]), "parts of several puts were found");
    }
}

pub(super) async fn a_reader_finds_the_old_object_or_the_new_one(storage: Fixture<dyn Storage>) {
    storage.put("a", version(1)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut reading = JoinSet::new();
    for _ in 0..2 {
        let (port, over) = (storage.port.clone(), over.clone());
        reading.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let object = port.get(&key("a")).await.expect("get works").expect("it is always there");
                let (info, bytes) = (object.info, whole(object.body).await);
                assert_eq!(info.size, bytes.len() as u64, "what is told of an object is not what was read");
                assert!(bytes == version(bytes[0]), "a part of an object was found");
                tokio::task::yield_now().await;
            }
        });
    }
    for number in (2..=9).cycle().take(32) {
        storage.port.put(&key("a"), version_in_parts(number)).await.expect("put works");
    }
    over.store(true, Ordering::Relaxed);
    reading.join_all().await;
}

pub(super) async fn a_put_beside_a_removal_is_not_lost(storage: Fixture<dyn Storage>) {
    // The neighbour is the last thing in the folder, if there are folders.
    let (object, neighbour) = (key("deep/folder/object"), key("deep/folder/neighbour"));
    for round in 0..50 {
        storage.put(neighbour.as_str(), "bytes").await;
        let (put, removed) =
            tokio::join!(storage.port.put(&object, super::body("bytes")), storage.port.remove(&neighbour));
        removed.expect("remove works");
        put.expect("put works");
        assert_eq!(storage.names("", None, 10).await, [object.as_str()], "round {round}");
        storage.port.remove(&object).await.expect("remove works");
    }
    assert!(storage.names("", None, 10).await.is_empty());
}

const MIB: usize = 1 << 20;

/// A large body, made part by part.
struct Large {
    parts: std::ops::Range<u8>,
    alive: Arc<AtomicUsize>,
    most_alive: Arc<AtomicUsize>,
}

/// The memory of a part, which tells when it is given back.
struct Part(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl ObjectBody for Large {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let Some(number) = self.parts.next() else { return Ok(None) };
        let alive = self.alive.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_alive.fetch_max(alive, Ordering::Relaxed);
        Ok(Some(Bytes::from_owner(Part(vec![number; MIB], self.alive.clone()))))
    }
}

pub(super) async fn a_large_object_passes_part_by_part(storage: Fixture<dyn Storage>) {
    let most_alive = Arc::new(AtomicUsize::new(0));
    let body = Large { parts: 0..64, alive: Arc::default(), most_alive: most_alive.clone() };
    let info = storage.port.put(&key("large"), Box::new(body)).await.expect("put works");
    assert_eq!(info.size, 64 * MIB as u64);
    let most_alive = most_alive.load(Ordering::Relaxed);
    assert!(most_alive <= 16, "{most_alive} MiB of the body were kept at once");

    let mut object = storage.port.get(&key("large")).await.expect("get works").expect("it is there");
    let mut read = 0;
    while let Some(mut part) = object.body.next().await.expect("the body goes on") {
        while !part.is_empty() {
            let number = u8::try_from(read / MIB).expect("no more than was put");
            let same = part.split_to(part.len().min(MIB - read % MIB));
            assert!(same == vec![number; same.len()], "other bytes behind {read}");
            read += same.len();
        }
    }
    assert_eq!(read, 64 * MIB);
}
