//! What is beside the port: who may read the files, what else may lie there, and what is left of a put.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{Clock, ObjectBody, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};
use portwright_storage::OpendalStorage;
use portwright_testkit::ManualClock;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::sync::oneshot;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn open(root: &Path) -> OpendalStorage {
    OpendalStorage::local(root, Arc::new(ManualClock::default())).await.expect("a storage")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a valid key")
}

fn body(text: &'static str) -> Box<dyn ObjectBody> {
    Box::new(Some(Bytes::from(text)))
}

async fn names(storage: &OpendalStorage) -> Vec<String> {
    let infos = storage.list("", None, 100).await.expect("list works");
    infos.into_iter().map(|info| info.key.to_string()).collect()
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

#[tokio::test]
async fn objects_are_for_their_owner_alone() {
    let folder = folder();
    let root = folder.path().join("made/here");
    let storage = open(&root).await;
    storage.put(&key("a/b"), body("bytes")).await.expect("put works");
    let mode = |path: &str| fs::metadata(root.join(path)).expect("it is there").permissions().mode() & 0o777;
    for path in ["../../made", "", "objects", "objects/a+", "drafts"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    assert_eq!(mode("objects/a+/b"), 0o600);
}

#[tokio::test]
async fn an_object_is_dated_by_the_clock() {
    let folder = folder();
    let clock = Arc::new(ManualClock::default());
    let storage = OpendalStorage::local(folder.path(), clock.clone()).await.expect("a storage");
    let first = storage.put(&key("a"), body("bytes")).await.expect("put works");
    assert_eq!(first.modified_at, clock.now());
    clock.advance(Duration::from_micros(1));
    let second = storage.put(&key("a"), body("bytes")).await.expect("put works");
    assert_eq!(second.modified_at, clock.now());
    assert_ne!(first.etag, second.etag);
}

#[tokio::test]
async fn a_link_in_the_place_of_an_object_is_not_followed() {
    let (folder, outside) = (folder(), folder());
    let secret = outside.path().join("secret");
    fs::write(&secret, "not ours").expect("written");
    let storage = open(folder.path()).await;
    let link = folder.path().join("objects/a");
    symlink(&secret, &link).expect("a link");

    let error = storage.get(&key("a")).await.expect_err("a link is no object");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.detail(), "a symbolic link is where an object should be");
    assert!(names(&storage).await.is_empty());
    storage.put(&key("a"), body("ours")).await.expect("the link gives way");
    assert!(fs::symlink_metadata(&link).expect("it is there").is_file());
    fs::remove_file(&link).expect("removed");
    symlink(&secret, &link).expect("a link");
    storage.remove(&key("a")).await.expect("the link is removed");
    assert!(!link.exists());
    assert_eq!(fs::read_to_string(&secret).expect("it is there"), "not ours");
}

#[tokio::test]
async fn a_link_in_the_place_of_a_folder_is_not_followed() {
    let (folder, outside) = (folder(), folder());
    fs::write(outside.path().join("b"), "not ours").expect("written");
    let storage = open(folder.path()).await;
    symlink(outside.path(), folder.path().join("objects/a+")).expect("a link");

    let kinds = [
        storage.put(&key("a/b"), body("ours")).await.map(drop),
        storage.get(&key("a/b")).await.map(drop),
        storage.remove(&key("a/b")).await,
    ]
    .map(|done| done.expect_err("a link is no folder").kind());
    assert_eq!(kinds, [ErrorKind::Corrupt; 3]);
    for prefix in ["", "a/", "a/b"] {
        assert!(storage.list(prefix, None, 10).await.expect("list works").is_empty(), "{prefix:?}");
    }
    assert_eq!(fs::read_to_string(outside.path().join("b")).expect("it is there"), "not ours");
    assert_eq!(entries(outside.path()), 1);
    assert_eq!(entries(&folder.path().join("drafts")), 0);
}

#[tokio::test]
async fn what_is_not_ours_is_passed_over_and_left_alone() {
    let folder = folder();
    let storage = open(folder.path()).await;
    let objects = folder.path().join("objects");
    fs::write(objects.join("no key.txt"), "bytes").expect("written");
    fs::create_dir_all(objects.join("plain/folder")).expect("made");
    mknodat(CWD, objects.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    storage.put(&key("plain/object"), body("bytes")).await.expect("put works");

    assert_eq!(names(&storage).await, ["plain/object"]);
    // A pipe would make whoever opens it wait for a writer.
    let asked = tokio::time::timeout(Duration::from_secs(5), storage.get(&key("pipe"))).await;
    assert_eq!(asked.expect("an answer").expect_err("a pipe is no object").kind(), ErrorKind::Corrupt);
    assert_eq!(storage.get(&key("plain")).await.expect_err("no object").kind(), ErrorKind::Corrupt);
    assert_eq!(entries(&objects), 4);
}

#[tokio::test]
async fn the_last_object_takes_its_folders_with_it() {
    let folder = folder();
    let storage = open(folder.path()).await;
    for name in ["a/b/c", "a/b/d", "a/e"] {
        storage.put(&key(name), body("bytes")).await.expect("put works");
    }
    let at = |path: &str| folder.path().join("objects").join(path).exists();
    storage.remove(&key("a/b/c")).await.expect("remove works");
    assert!(at("a+/b+/d"));
    storage.remove(&key("a/b/d")).await.expect("remove works");
    assert!(!at("a+/b+") && at("a+/e"));
    storage.remove(&key("a/e")).await.expect("remove works");
    assert_eq!(entries(&folder.path().join("objects")), 0);
}

/// Bytes, and then an end that never comes, or an error.
struct Interrupted {
    part: Option<Bytes>,
    reached: Option<oneshot::Sender<()>>,
}

#[async_trait]
impl ObjectBody for Interrupted {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if let Some(part) = self.part.take() {
            return Ok(Some(part));
        }
        match self.reached.take() {
            Some(reached) => {
                reached.send(()).expect("the test still listens");
                std::future::pending().await
            }
            None => Err(PortError::new(ErrorKind::Unavailable, "body.next", "the sender is gone")),
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_put_that_ended_early() {
    let folder = folder();
    let storage = open(folder.path()).await;
    let drafts = folder.path().join("drafts");
    // Large enough to have reached the disk.
    let part = Some(Bytes::from(vec![7; 1 << 20]));

    let failing = Interrupted { part: part.clone(), reached: None };
    let error = storage.put(&key("a"), Box::new(failing)).await.expect_err("the body erred");
    assert_eq!(error.operation(), "body.next");
    assert_eq!(entries(&drafts), 0);

    let (reached, end) = oneshot::channel();
    let key = key("a");
    let put = storage.put(&key, Box::new(Interrupted { part, reached: Some(reached) }));
    tokio::select! {
        _ = put => panic!("a body without an end was put"),
        reached = end => reached.expect("the body was read to where it falls silent"),
    }
    let gone = async {
        while entries(&drafts) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("its draft is removed");
}

#[tokio::test]
async fn processes_share_a_folder() {
    let folder = folder();
    let one = open(folder.path()).await;
    let (reached, end) = oneshot::channel();
    let part = Some(Bytes::from(vec![7; 1 << 20]));
    let silent = Interrupted { part, reached: Some(reached) };
    let name = key("a");
    let mut put = one.put(&name, Box::new(silent));
    tokio::select! {
        _ = &mut put => panic!("a body without an end was put"),
        reached = end => reached.expect("the body was read to where it falls silent"),
    }
    // A put in progress is not what a crash left behind.
    let other = open(folder.path()).await;
    assert_eq!(entries(&folder.path().join("drafts")), 1);
    drop(put);
    other.put(&name, body("bytes")).await.expect("put works");
    assert_eq!(names(&one).await, ["a"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_refused_at_once() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "bytes").expect("written");
    let linked = folder.path().join("linked");
    fs::create_dir(&linked).expect("made");
    symlink(folder.path(), linked.join("objects")).expect("a link");
    for root in [&file, &linked] {
        let refused = OpendalStorage::local(root, Arc::new(ManualClock::default())).await;
        let error = refused.expect_err("no storage");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.detail().starts_with(&root.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn local_files_have_no_urls() {
    let folder = folder();
    let storage = open(folder.path()).await;
    storage.put(&key("a"), body("bytes")).await.expect("put works");
    let url = storage.presign(&key("a"), Duration::from_mins(1)).await.expect("presign works");
    assert_eq!(url, None);
}
