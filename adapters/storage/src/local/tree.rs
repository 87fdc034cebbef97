//! [`Tree`]: the folder that all objects are under, entered segment by segment, never through a symbolic link.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use portwright_domain::ports::Clock;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec};
use rustix::io::Errno;

use super::facts::Facts;
use super::layout;

/// A folder is entered, not its link followed.
const ENTER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The root, with the objects in one folder and what is not yet an object in another.
pub(crate) struct Tree {
    root: PathBuf,
    objects: OwnedFd,
    pub(super) drafts: OwnedFd,
    /// Held while a draft becomes an object, so that one which is given up never does so after a later one.
    pub(super) publishing: Mutex<()>,
    drafted: AtomicU64,
    dated: AtomicU32,
    clock: Arc<dyn Clock>,
}

impl Tree {
    /// Opens the root; makes it, for its owner alone, if it is missing. A root that is a link is followed, since that is
    /// the operator's.
    pub(crate) fn open(root: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let own = OwnedFd::from(File::open(root)?);
        let (objects, drafts) = (make_folder(&own, "objects")?, make_folder(&own, "drafts")?);
        if let Some(parent) = root.canonicalize()?.parent()
            && let Ok(parent) = File::open(parent)
        {
            parent.sync_all()?;
        }
        Ok(Self {
            root: root.to_owned(),
            objects,
            drafts,
            publishing: Mutex::default(),
            drafted: AtomicU64::default(),
            dated: AtomicU32::default(),
            clock,
        })
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A number that no other draft of this process has.
    pub(super) fn next_draft(&self) -> u64 {
        self.drafted.fetch_add(1, Ordering::Relaxed)
    }

    /// Now, as the clock says. Clocks of the port count microseconds; the nanoseconds below count on from put to put,
    /// so that two of the same microsecond still differ.
    pub(super) fn now(&self) -> Timespec {
        let micros = self.clock.now().unix_micros();
        let number = self.dated.fetch_add(1, Ordering::Relaxed) % 1_000;
        Timespec {
            tv_sec: micros.div_euclid(1_000_000),
            tv_nsec: micros.rem_euclid(1_000_000) * 1_000 + i64::from(number),
        }
    }

    /// Enters folders, one within the other, and answers the innermost; without any, the one of all objects.
    pub(super) fn enter(&self, folders: &[String]) -> io::Result<OwnedFd> {
        folders.iter().try_fold(self.objects.try_clone()?, |outer, name| enter(&outer, name))
    }

    /// The same, and makes those that are missing.
    pub(super) fn make(&self, folders: &[String]) -> io::Result<OwnedFd> {
        folders.iter().try_fold(self.objects.try_clone()?, |outer, name| make_folder(&outer, name))
    }

    /// Opens the file of an object.
    pub(super) fn open_object(&self, key: &str) -> io::Result<(File, Facts)> {
        let (folders, name) = layout::place(key);
        let folder = self.enter(&folders)?;
        // A pipe in its place must not make us wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
        let facts = Facts::of(&rustix::fs::fstat(&file)?).ok_or(Errno::ISDIR)?;
        Ok((file.into(), facts))
    }

    /// Removes an object for good, and the folders that it leaves empty. A missing one is fine.
    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        let (folders, file) = layout::place(key);
        let innermost = match self.enter(&folders) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entered => entered?,
        };
        match rustix::fs::unlinkat(&innermost, file, AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            done => done?,
        }
        rustix::fs::fsync(&innermost)?;
        self.remove_empty(&folders);
        Ok(())
    }

    /// Removes folders from the innermost on, as far as they are empty.
    fn remove_empty(&self, folders: &[String]) {
        let mut left = folders;
        while let Some((innermost, outer)) = left.split_last() {
            let removed = self.enter(outer).is_ok_and(|outer| {
                rustix::fs::unlinkat(&outer, innermost.as_str(), AtFlags::REMOVEDIR).is_ok()
            });
            if !removed {
                // Not empty, or somebody else was faster.
                break;
            }
            left = outer;
        }
    }
}

/// Enters a folder.
pub(super) fn enter(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(parent, name, ENTER, Mode::empty())?)
}

/// Enters a folder; a missing one is made, for good, for its owner alone. One that somebody else has made this instant is
/// used as it is: file systems write the name of a new folder together with what is synced inside of it.
fn make_folder(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match enter(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entered => return entered,
    }
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => rustix::fs::fsync(parent)?,
        // Somebody else was faster.
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    enter(parent, name)
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("root", &self.root).finish_non_exhaustive()
    }
}
