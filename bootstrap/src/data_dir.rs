//! The data directory: made where it is missing, and used by one server at a time.
//!
//! The lock is the kernel's (`flock`), so it ends with the process however that ends, and no stale file is ever in the
//! way. What the file says is only for people and for the next start: who holds the lock. Commands that need nothing
//! but the database leave the lock alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::exit::Exit;
use crate::failure::{Failure, Problem};
pub(crate) use holder::Holder;

mod holder;

/// The name of the lock file.
pub const LOCK_NAME: &str = "portwright.lock";

/// A directory that exists.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory, and those above it, where they are missing; nobody but the owner gets in.
    ///
    /// # Errors
    /// `Permission` if the operating system does not let us, `CannotCreate` for every other reason.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| refused("create the data directory", path, &error))?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps every other server out until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// `TryAgain` if another server has it, `Permission` or `CannotCreate` if there can be no lock file.
    pub fn lock(&self) -> Result<ServerLock, Failure> {
        let path = self.0.join(LOCK_NAME);
        let refused = |error: &io::Error| refused("lock the data directory with", &path, error);
        // Not truncated: until the lock is ours, the content is the holder's.
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| refused(&error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
            Ok(()) => {
                let mut lock = ServerLock { file, holder: Holder::this_process() };
                lock.write().map_err(|error| refused(&error))?;
                Ok(lock)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(self.in_use(&mut file)),
            Err(error) => Err(refused(&error)),
        }
    }

    /// The lock of a server that gives up its place to this one, if that is the lock of this directory; nothing if it is
    /// that of another. What the file says stays as it is until [`ServerLock::announce`].
    ///
    /// # Errors
    /// As for [`DataDir::lock`], if either cannot be looked at.
    pub fn inherit(&self, lock: OwnedFd) -> Result<Option<ServerLock>, Failure> {
        let path = self.0.join(LOCK_NAME);
        let file = File::from(lock);
        let refused = |error: &io::Error| refused("look at the lock", &path, error);
        let theirs = file.metadata().map_err(|error| refused(&error))?;
        let ours = match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            ours => ours.map_err(|error| refused(&error))?,
        };
        let is_same = (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino());
        Ok(is_same.then(|| ServerLock { file, holder: Holder::this_process() }))
    }

    /// Where the server on this directory listens; `None` if none runs, or not yet.
    #[must_use]
    pub fn server(path: &Path) -> Option<SocketAddr> {
        // A server that was killed leaves the file behind, and anybody may listen on its port by now.
        Self::holder(path).filter(Holder::is_running)?.address
    }

    /// Who has taken this directory last, if the lock file tells.
    pub(crate) fn holder(path: &Path) -> Option<Holder> {
        serde_json::from_str(&std::fs::read_to_string(path.join(LOCK_NAME)).ok()?).ok()
    }

    fn in_use(&self, lock: &mut File) -> Failure {
        let mut text = String::new();
        let read = lock.read_to_string(&mut text).ok();
        let holder = read.and_then(|_| serde_json::from_str::<Holder>(&text).ok());
        let (who, fix) = match holder {
            Some(Holder { pid, address, .. }) => {
                let at = address.map(|address| format!(", http://{address}")).unwrap_or_default();
                (
                    format!(" (pid {pid}{at})"),
                    format!("stop it (kill {pid}), or give this one another DATA_DIR"),
                )
            }
            // It has locked the file and not written it yet.
            None => (String::new(), "stop it, or give this one another DATA_DIR".to_owned()),
        };
        let what = format!("another server{who} uses the data directory {}", self.0.display());
        Failure::new(Exit::TryAgain, Problem::new(what).fix(fix))
    }
}

/// The only server on its data directory, for as long as this lives.
#[derive(Debug)]
pub struct ServerLock {
    file: File,
    holder: Holder,
}

impl ServerLock {
    /// Tells whoever looks at the lock file where this server listens.
    pub fn announce(&mut self, address: SocketAddr) -> io::Result<()> {
        self.holder.address = Some(address);
        self.write()
    }

    /// What another process needs to have the lock, too. Nobody else gets it until both have ended.
    #[must_use]
    pub fn share(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn write(&mut self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.holder)?;
        text.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        self.file.write_all(&text)
    }
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Failure {
    let exit =
        if error.kind() == ErrorKind::PermissionDenied { Exit::Permission } else { Exit::CannotCreate };
    let problem = Problem::new(format!("cannot {what} {} ({error})", path.display()));
    Failure::new(
        exit,
        problem.fix("DATA_DIR must be a directory on a local disk that this user may write to"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_directory_is_made_for_its_owner_only() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b");
        let dir = DataDir::create(&path).expect("made");
        assert_eq!(fs::metadata(dir.path()).expect("there").permissions().mode() & 0o777, 0o700);
        DataDir::create(&path).expect("there already");
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_exit_73_and_names_the_cause() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for path in [file.path().to_owned(), file.path().join("below")] {
            let failure = DataDir::create(&path).expect_err("refused");
            assert_eq!(failure.exit(), Exit::CannotCreate);
            assert!(failure.to_string().contains("cannot create the data directory"), "{failure}");
        }
        let denied = refused("create", Path::new("/x"), &ErrorKind::PermissionDenied.into());
        assert_eq!(denied.exit(), Exit::Permission);
    }

    #[test]
    fn a_second_server_is_refused_and_told_who_is_there() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::create(parent.path()).expect("made");
        let mut lock = dir.lock().expect("the first");
        lock.announce("127.0.0.1:3000".parse().expect("an address")).expect("written");
        let failure = dir.lock().expect_err("the second");
        assert_eq!(failure.exit(), Exit::TryAgain);
        let pid = std::process::id();
        assert!(failure.to_string().contains(&format!("(pid {pid}, http://127.0.0.1:3000)")), "{failure}");
        drop(lock);
        dir.lock().expect("free again");
    }

    #[test]
    fn a_server_is_found_once_it_listens_and_for_as_long_as_it_runs() {
        let parent = tempfile::tempdir().expect("a directory");
        let address = "127.0.0.1:3000".parse().expect("an address");
        assert_eq!(DataDir::server(parent.path()), None);
        let mut lock = DataDir::create(parent.path()).expect("made").lock().expect("free");
        assert_eq!(DataDir::server(parent.path()), None);
        lock.announce(address).expect("written");
        assert_eq!(DataDir::server(parent.path()), Some(address));
        // Another process has the number now.
        lock.holder.started = Some(1);
        lock.write().expect("written");
        assert_eq!(DataDir::server(parent.path()), None);
    }

    #[test]
    fn a_lock_is_shared_with_a_successor_and_outlives_its_first_holder() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::create(parent.path()).expect("made");
        let lock = dir.lock().expect("the first");
        let shared = || lock.share().try_clone_to_owned().expect("shared");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let other = DataDir::create(elsewhere.path()).expect("made");
        assert!(other.inherit(shared()).expect("an answer").is_none(), "that is the lock of another one");

        let successor = dir.inherit(shared()).expect("an answer").expect("the same lock");
        drop(lock);
        assert_eq!(dir.lock().expect_err("a stranger").exit(), Exit::TryAgain);
        drop(successor);
        dir.lock().expect("free again");
    }

    #[test]
    fn a_lock_file_that_says_nothing_still_locks() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::create(parent.path()).expect("made");
        let _lock = dir.lock().expect("the first");
        fs::write(parent.path().join(LOCK_NAME), "half a lin").expect("written");
        assert_eq!(dir.lock().expect_err("the second").exit(), Exit::TryAgain);
    }

    #[test]
    fn a_child_process_does_not_keep_the_lock() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::create(parent.path()).expect("made");
        let lock = dir.lock().expect("the first");
        let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
        drop(lock);
        let again = dir.lock();
        child.kill().expect("killed");
        child.wait().expect("ended");
        again.expect("free again");
    }
}
