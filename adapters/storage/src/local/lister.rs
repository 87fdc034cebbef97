//! [`Lister`]: one list.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::vec;

use opendal::raw::oio;
use rustix::fs::{AtFlags, Dir};
use rustix::io::Errno;

use super::facts::Facts;
use super::tree::{Tree, enter};
use super::{layout, on_a_thread};

/// Which objects to list.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// What their keys start with.
    pub(crate) prefix: String,
    /// What their keys come behind.
    pub(crate) after: String,
    /// How many at most.
    pub(crate) limit: usize,
}

impl Wanted {
    fn object(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && key > self.after.as_str()
    }

    /// Whether a key that starts with `path`, which ends with `/`, could be one.
    fn folder(&self, path: &str) -> bool {
        (path.starts_with(&self.prefix) || self.prefix.starts_with(path))
            && (path > self.after.as_str() || self.after.starts_with(path))
    }
}

/// Finds all that is wanted at once, when it is first asked.
pub(crate) struct Lister {
    tree: Arc<Tree>,
    wanted: Wanted,
    found: Option<vec::IntoIter<oio::Entry>>,
}

impl Lister {
    pub(crate) fn new(tree: Arc<Tree>, wanted: Wanted) -> Self {
        Self { tree, wanted, found: None }
    }
}

impl oio::List for Lister {
    async fn next(&mut self) -> opendal::Result<Option<oio::Entry>> {
        if self.found.is_none() {
            let (tree, wanted) = (self.tree.clone(), self.wanted.clone());
            self.found = Some(on_a_thread(move || find(&tree, &wanted)).await?.into_iter());
        }
        Ok(self.found.as_mut().and_then(Iterator::next))
    }
}

fn find(tree: &Tree, wanted: &Wanted) -> io::Result<Vec<oio::Entry>> {
    // Nothing beside the folder of the prefix is looked at.
    let (path, folders) = match wanted.prefix.rsplit_once('/') {
        None => (String::new(), Vec::new()),
        Some((folder, _)) => (format!("{folder}/"), layout::folders(folder)),
    };
    let mut found = Vec::new();
    if let Some(folder) = unless_gone(tree.enter(&folders))? {
        visit(&folder, &path, wanted, &mut found)?;
    }
    Ok(found)
}

/// Adds what is wanted from this folder and those in it, in the order of the keys.
fn visit(folder: &OwnedFd, path: &str, wanted: &Wanted, found: &mut Vec<oio::Entry>) -> io::Result<()> {
    for name in names(folder, path, wanted)? {
        if found.len() == wanted.limit {
            break;
        }
        if let Some(segment) = name.strip_suffix('/') {
            if let Some(inner) = unless_gone(enter(folder, &layout::folder(segment)))? {
                visit(&inner, &format!("{path}{name}"), wanted, found)?;
            }
        } else {
            let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = unless_gone(stat.map_err(io::Error::from))?;
            if let Some(facts) = stat.as_ref().and_then(Facts::of) {
                found.push(oio::Entry::with(format!("{path}{name}"), facts.metadata()?));
            }
        }
    }
    Ok(())
}

/// The names in a folder that may matter, sorted as the keys are: a folder as its segment with a `/`.
fn names(folder: &OwnedFd, path: &str, wanted: &Wanted) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        // Names that are not text are not ours.
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let (name, matters) = match layout::segment(name) {
            Some(segment) => (format!("{segment}/"), wanted.folder(&format!("{path}{segment}/"))),
            None => (name.to_owned(), wanted.object(&format!("{path}{name}"))),
        };
        if matters {
            names.push(name);
        }
    }
    names.sort_unstable();
    // A file that is replaced while the folder is read may be read twice.
    names.dedup();
    Ok(names)
}

/// `None` if it is not there any more, or is something that we did not make.
fn unless_gone<T>(entered: io::Result<T>) -> io::Result<Option<T>> {
    match entered {
        Ok(entered) => Ok(Some(entered)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(error),
        },
    }
}
