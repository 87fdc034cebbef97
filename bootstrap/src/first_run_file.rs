//! `first-run.txt`: the only place where the password of a made-up administrator can be read again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::Secret;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// Its name in the data directory.
pub const NAME: &str = "first-run.txt";

/// Writes the address and the password to `first-run.txt` in this directory, for the owner's eyes only, and answers its
/// path. When it returns, the file is on the disk and complete. A file that says something else — it belongs to a
/// database that is gone — is kept as `first-run.1.txt`, or the next number that is free.
pub fn write_first_run(dir: &Path, email: &str, password: &str) -> Result<PathBuf, Failure> {
    let path = dir.join(NAME);
    write(dir, &path, &format!("email: {email}\npassword: {password}\n")).map_err(|error| {
        let exit =
            if error.kind() == ErrorKind::PermissionDenied { Exit::Permission } else { Exit::CannotCreate };
        let problem = Problem::new(format!("cannot write {} ({error})", path.display()));
        Failure::new(
            exit,
            problem.fix("make the data directory writable, or set ADMIN_EMAIL and ADMIN_PASSWORD"),
        )
    })?;
    Ok(path)
}

/// The address and the password of `first-run.txt` in this directory, if there is one that can be read.
#[must_use]
pub fn read_first_run(dir: &Path) -> Option<(String, Secret)> {
    let text = fs::read_to_string(dir.join(NAME)).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    Some((value("email: ")?, Secret::new(value("password: ")?)))
}

fn write(dir: &Path, path: &Path, content: &str) -> io::Result<()> {
    match fs::read(path) {
        Ok(existing) if existing == content.as_bytes() => return Ok(()),
        Ok(_) => keep(dir, path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Whoever finds the file finds all of it, also after a crash in between.
    let draft = dir.join("first-run.txt.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(dir)?.sync_all()
}

/// Gives the file another name. A hard link refuses to take a name that is in use, which a rename does not.
fn keep(dir: &Path, path: &Path) -> io::Result<()> {
    for number in 1_u32.. {
        match fs::hard_link(path, dir.join(format!("first-run.{number}.txt"))) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_has_both_lines_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = write_first_run(dir.path(), "admin@localhost", "tango-91").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "email: admin@localhost\npassword: tango-91\n");
        let told = Some(("admin@localhost".to_owned(), Secret::new("tango-91".to_owned())));
        assert_eq!(read_first_run(dir.path()), told);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_file_that_says_something_else_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        for password in ["first", "second", "second", "third"] {
            write_first_run(dir.path(), "admin@localhost", password).expect("written");
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("read");
        assert!(read(NAME).contains("third"));
        assert!(read("first-run.1.txt").contains("first"));
        assert!(read("first-run.2.txt").contains("second"));
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 3);
    }

    #[test]
    fn what_an_interrupted_run_left_behind_is_in_nobodys_way() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("first-run.txt.new"), "half").expect("written");
        let path = write_first_run(dir.path(), "admin@localhost", "whole").expect("written");
        assert!(fs::read_to_string(path).expect("read").contains("whole"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_exit_73() {
        let failure = write_first_run(Path::new("/nonexistent"), "a@b", "c").expect_err("fails");
        assert_eq!(failure.exit(), Exit::CannotCreate);
        assert_eq!(read_first_run(Path::new("/nonexistent")), None);
    }
}
