//! [`Draft`]: the file of an object that is not yet one.
//!
//! It is written beside the objects, under a name that no reader looks at, and takes the place of the object in one
//! step once every byte of it is on the disk. Its writer holds a lock on it, which ends with the process: a draft that
//! nobody holds was left behind by a crash, and the next process that starts [sweeps](sweep) it away.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::facts::Facts;
use super::layout;
use super::tree::Tree;

/// How often a folder may be removed, because it became empty, just before a file is moved into it. Each time somebody
/// else has put an object there and removed it again.
const MOVES: usize = 1_000;

/// A file that is written and then published; dropped before, it is removed.
pub(crate) struct Draft {
    tree: Arc<Tree>,
    /// Ours as long as the file has it: what is published gives it free for others.
    name: String,
    file: File,
    given_up: AtomicBool,
    published: AtomicBool,
}

impl Draft {
    /// An empty draft, locked by us and readable for nobody else.
    pub(crate) fn new(tree: Arc<Tree>) -> io::Result<Self> {
        loop {
            let name = format!("{}-{}", std::process::id(), tree.next_draft());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match rustix::fs::openat(&tree.drafts, &name, flags, Mode::RUSR | Mode::WUSR) {
                // From a process of the same number, before us or in another container.
                Err(Errno::EXIST) => continue,
                opened => opened?,
            };
            // Somebody who sweeps may have come between the two calls, and then removes the file, or has.
            if lock(&file)? && rustix::fs::fstat(&file)?.st_nlink > 0 {
                let (file, given_up, published) = (file.into(), AtomicBool::default(), AtomicBool::default());
                return Ok(Self { tree, name, file, given_up, published });
            }
        }
    }

    /// Appends these bytes.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    /// Makes it the object of this key, for good. Refuses if it was given up.
    pub(crate) fn publish(&self, key: &str) -> io::Result<Facts> {
        let untouched = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: untouched, last_modification: self.tree.now() };
        rustix::fs::futimens(&self.file, &times)?;
        let facts = Facts::of(&rustix::fs::fstat(&self.file)?).ok_or(Errno::ISDIR)?;
        self.file.sync_all()?;

        let (folders, name) = layout::place(key);
        for _ in 0..MOVES {
            let folder = match self.tree.make(&folders) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                made => made?,
            };
            match self.rename_to(&folder, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    rustix::fs::fsync(&folder)?;
                    return Ok(facts);
                }
            }
        }
        Err(io::Error::other("its folder was removed again and again"))
    }

    fn rename_to(&self, folder: &OwnedFd, name: &str) -> io::Result<()> {
        let _one_at_a_time = self.tree.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.given_up.load(Ordering::Acquire) {
            return Err(io::Error::other("the put was given up"));
        }
        rustix::fs::renameat(&self.tree.drafts, &self.name, folder, name)?;
        self.published.store(true, Ordering::Release);
        Ok(())
    }

    /// Never becomes an object from now on, unless it already did. Does not wait for anything.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !*self.published.get_mut() {
            // What cannot be removed now is swept away later.
            rustix::fs::unlinkat(&self.tree.drafts, &self.name, AtFlags::empty()).ok();
        }
    }
}

/// Removes the drafts that nobody holds.
pub(crate) fn sweep(tree: &Tree) -> io::Result<()> {
    let mut removed = 0;
    for entry in Dir::read_from(&tree.drafts)? {
        let entry = entry?;
        if matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
            removed += usize::from(sweep_one(tree, entry.file_name())?);
        }
    }
    if removed > 0 {
        tracing::info!(removed, "swept away what puts left behind that were killed");
    }
    Ok(())
}

fn sweep_one(tree: &Tree, name: &std::ffi::CStr) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&tree.drafts, name, flags, Mode::empty()) {
        // Its writer is done with it.
        Err(Errno::NOENT) => return Ok(false),
        opened => opened?,
    };
    if !lock(&file)? {
        return Ok(false);
    }
    Ok(rustix::fs::unlinkat(&tree.drafts, name, AtFlags::empty()).is_ok())
}

/// True if the lock is ours, until the file is closed.
fn lock(file: impl AsFd) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use portwright_testkit::ManualClock;

    use super::*;

    fn tree(root: &tempfile::TempDir) -> Arc<Tree> {
        Arc::new(Tree::open(root.path(), Arc::new(ManualClock::default())).expect("a tree"))
    }

    fn drafts(tree: &Tree) -> usize {
        std::fs::read_dir(tree.root().join("drafts")).expect("a folder").count()
    }

    #[test]
    fn what_was_given_up_is_never_published() {
        let root = tempfile::tempdir().expect("a folder");
        let tree = tree(&root);
        let draft = Draft::new(tree.clone()).expect("a draft");
        draft.write(b"late").expect("written");
        draft.give_up();
        assert!(draft.publish("a/b").is_err());
        assert_eq!(tree.open_object("a/b").expect_err("no object").kind(), io::ErrorKind::NotFound);
        drop(draft);
        assert_eq!(drafts(&tree), 0);
    }

    #[test]
    fn only_drafts_that_nobody_holds_are_swept() {
        let root = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (tree(&root), tree(&root));
        let held = Draft::new(ours.clone()).expect("a draft");
        std::fs::write(ours.root().join("drafts/1-1"), "left behind").expect("written");
        assert_eq!(drafts(&theirs), 2);
        sweep(&theirs).expect("swept");
        assert_eq!(drafts(&theirs), 1);
        held.publish("a").expect("published");
        assert!(theirs.open_object("a").is_ok());
        assert_eq!(drafts(&theirs), 0);
    }

    #[test]
    fn processes_of_the_same_number_leave_each_others_drafts_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (tree(&root), tree(&root));
        let one = Draft::new(ours.clone()).expect("a draft");
        let other = Draft::new(theirs.clone()).expect("a draft");
        assert_ne!(one.name, other.name);
        one.publish("a").expect("published");
        let same = Draft::new(tree(&root)).expect("a draft");
        assert_eq!(one.name, same.name, "the name is free again");
        drop(one);
        same.publish("b").expect("published");
    }

    #[test]
    fn a_folder_that_is_removed_meanwhile_is_made_again() {
        let root = tempfile::tempdir().expect("a folder");
        let tree = tree(&root);
        std::thread::scope(|threads| {
            for number in 0..4 {
                let (tree, key) = (tree.clone(), format!("folder/in/{number}"));
                threads.spawn(move || {
                    for _ in 0..200 {
                        let draft = Draft::new(tree.clone()).expect("a draft");
                        draft.publish(&key).expect("published");
                        tree.open_object(&key).expect("it is there");
                        tree.remove(&key).expect("removed");
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(root.path().join("objects")).expect("a folder").count(), 0);
    }

    #[test]
    fn two_objects_of_one_moment_have_two_etags() {
        let root = tempfile::tempdir().expect("a folder");
        let tree = tree(&root);
        let mut etags = std::collections::HashSet::new();
        // The file system may give each file the number of the one before the last.
        for _ in 0..100 {
            let draft = Draft::new(tree.clone()).expect("a draft");
            draft.write(b"same size").expect("written");
            let metadata = draft.publish("a").expect("published").metadata().expect("metadata");
            assert!(etags.insert(metadata.etag().expect("an etag").to_owned()));
        }
    }
}
