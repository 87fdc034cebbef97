//! What only a process of its own can show: being killed, its memory, and a disk that takes no more.
//!
//! Each test starts itself once more, for a folder: the same test then plays the other part.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::ports::{ObjectBody, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError};
use portwright_memory::SystemClock;
use portwright_storage::OpendalStorage;

/// The folder, if this process was started by a test.
fn given_folder() -> Option<PathBuf> {
    std::env::args().find_map(|argument| argument.strip_prefix("folder=").map(PathBuf::from))
}

/// What starts the test of this name in a process of its own, given a folder. The folder looks like the name of another
/// test, which there is not.
fn itself(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the program"));
    command.args(["--exact", test, "--nocapture"]).arg(format!("folder={}", folder.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

async fn open(root: &Path) -> OpendalStorage {
    OpendalStorage::local(root, Arc::new(SystemClock)).await.expect("a storage")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a valid key")
}

async fn read(storage: &OpendalStorage, name: &str) -> Option<Vec<u8>> {
    let mut object = storage.get(&key(name)).await.expect("get works")?;
    let mut bytes = Vec::new();
    while let Some(part) = object.body.next().await.expect("the body goes on") {
        bytes.extend_from_slice(&part);
    }
    Some(bytes)
}

/// Says something to the process that started this one.
fn say(line: &str) {
    writeln!(io::stderr(), "{line}").expect("somebody listens");
}

const KEYS: [&str; 4] = ["a", "folder/b", "folder/c", "folder/in/d"];

/// The number, and bytes that follow from it, a few hundred kilobytes of them.
fn version(number: u64) -> Vec<u8> {
    let filler = number.to_le_bytes()[0];
    let mut bytes = vec![filler; 200_000 + 50_000 * usize::from(filler % 7)];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

async fn put_until_killed(root: &Path) {
    let storage = open(root).await;
    let mut putting = tokio::task::JoinSet::new();
    for name in KEYS {
        let storage = storage.clone();
        let before = read(&storage, name).await.map_or(0, |bytes| number_of(&bytes));
        putting.spawn(async move {
            for number in before + 1.. {
                let body = Box::new(Some(Bytes::from(version(number))));
                storage.put(&key(name), body).await.expect("put works");
                say(&format!("put {name} {number}"));
            }
        });
    }
    putting.join_all().await;
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_of_a_killed_process_is_whole_and_none_that_was_answered_is_lost() {
    if let Some(root) = given_folder() {
        return put_until_killed(&root).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut left_behind = 0;
    for round in 1..=20 {
        let test = "every_object_of_a_killed_process_is_whole_and_none_that_was_answered_is_lost";
        let mut child = itself(test, folder.path()).stderr(Stdio::piped()).spawn().expect("started");
        let mut answered = [0_u64; KEYS.len()];
        let note = |line: String, answered: &mut [u64; KEYS.len()]| {
            let mut words = line.split(' ');
            if let (Some("put"), Some(name), Some(number)) = (words.next(), words.next(), words.next()) {
                let place = KEYS.iter().position(|key| *key == name).expect("a key");
                answered[place] = number.parse().expect("a number");
            }
        };
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        for line in lines.by_ref().take(3 * round) {
            note(line, &mut answered);
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        // What it said before it was killed, too. The last line may be cut off, and is then an older number.
        let last: Vec<String> = lines.collect();
        for line in last.iter().take(last.len().saturating_sub(1)) {
            note(line.clone(), &mut answered);
        }

        let drafts = folder.path().join("drafts");
        left_behind += fs::read_dir(&drafts).expect("a folder").count();
        let storage = open(folder.path()).await;
        assert_eq!(fs::read_dir(&drafts).expect("a folder").count(), 0, "round {round}");
        let infos = storage.list("", None, 100).await.expect("list works");
        assert!(infos.iter().all(|info| KEYS.contains(&info.key.as_str())), "{infos:?}");
        for (name, answered) in KEYS.iter().zip(answered) {
            let Some(bytes) = read(&storage, name).await else {
                assert_eq!(answered, 0, "{name} is gone");
                continue;
            };
            let number = number_of(&bytes);
            assert!(bytes == version(number), "{name} is not whole in round {round}");
            assert!(number >= answered, "{name} is {number}, but {answered} was answered");
        }
    }
    assert!(left_behind > 0, "no put was ever killed in its midst");
}

/// So many parts of 100 kB.
struct Parts(usize);

#[async_trait]
impl ObjectBody for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let more = self.0.checked_sub(1);
        self.0 = more.unwrap_or_default();
        Ok(more.map(|_| Bytes::from(vec![7; 100_000])))
    }
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_needs_little_memory() {
    if let Some(root) = given_folder() {
        let storage = open(&root).await;
        let before = peak();
        let put = storage.put(&key("large"), Box::new(Parts(1_000))).await.expect("put works");
        let mut object = storage.get(&key("large")).await.expect("get works").expect("it is there");
        let mut read = 0;
        while let Some(part) = object.body.next().await.expect("the body goes on") {
            read += part.len() as u64;
        }
        assert_eq!((put.size, read), (100_000_000, 100_000_000));
        return say(&format!("grew {}", peak() - before));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let child = itself("a_large_object_needs_little_memory", folder.path()).output().expect("ended");
    let said = String::from_utf8_lossy(&child.stderr);
    let grew = said.lines().find_map(|line| line.strip_prefix("grew ")).unwrap_or_else(|| panic!("{said}"));
    let grew: u64 = grew.parse().expect("a number");
    assert!(grew < 16 << 10, "100 MB took {grew} KiB");
}

#[tokio::test]
async fn a_disk_that_takes_no_more_is_unavailable_and_keeps_what_it_has() {
    if let Some(root) = given_folder() {
        let storage = open(&root).await;
        storage.put(&key("a"), Box::new(Parts(1))).await.expect("put works");
        for name in ["a", "b"] {
            let error = storage.put(&key(name), Box::new(Parts(100))).await.expect_err("no room");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(error.detail(), "the file would be larger than is allowed here");
        }
        assert_eq!(read(&storage, "a").await.map(|bytes| bytes.len()), Some(100_000));
        assert_eq!(read(&storage, "b").await, None);
        assert_eq!(fs::read_dir(root.join("drafts")).expect("a folder").count(), 0);
        return say("as it should be");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let test = "a_disk_that_takes_no_more_is_unavailable_and_keeps_what_it_has";
    let command = itself(test, folder.path());
    // No file may be larger than a thousand blocks, and whoever tries is told instead of killed.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 1000; exec "$0" "$@""#]);
    limited.arg(command.get_program()).args(command.get_args());
    let child = limited.output().expect("ended");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("as it should be"), "{said}{}", String::from_utf8_lossy(&child.stdout));
}
