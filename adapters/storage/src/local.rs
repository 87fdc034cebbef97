//! [`LocalFiles`]: a service of OpenDAL whose objects are files of this host.
//!
//! OpenDAL has such a service of its own, which does less than the port promises; `docs/0008-local-files.md` of the
//! domain says what. This file is where the two worlds meet: what OpenDAL asks for is done by the [`Tree`] and the
//! [`Draft`], on threads that may wait for a disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use opendal::raw::{
    OpCopy, OpCreateDir, OpDelete, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite, RpCreateDir,
    RpPresign, RpRename, RpStat, Service, ServiceInfo, oio,
};
use opendal::{Capability, Error, ErrorKind, OperationContext};
use portwright_domain::PortError;
use portwright_domain::ports::Clock;

mod draft;
mod error;
mod facts;
mod layout;
mod lister;
mod reader;
mod tree;
mod writer;

use error::opendal_error;
use lister::{Lister, Wanted};
use reader::Reader;
use tree::Tree;
use writer::Writer;

/// Objects as files below one folder.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    tree: Arc<Tree>,
}

impl LocalFiles {
    /// How many bytes are written or read on one trip to another thread.
    pub(crate) const PART: usize = 256 << 10;

    /// Opens the folder, makes it if it is missing, and clears away what killed processes left there.
    pub(crate) async fn open(root: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let at = root.display().to_string();
        let opened = on_a_thread(move || {
            let tree = Arc::new(Tree::open(&root, clock)?);
            draft::sweep(&tree)?;
            // Whoever cannot write or lock finds out now.
            drop(draft::Draft::new(tree.clone())?);
            Ok(tree)
        });
        match opened.await {
            Ok(tree) => Ok(Self { tree }),
            Err(error) => {
                let detail = format!("{at}: {}", error.message());
                Err(PortError::new(portwright_domain::ErrorKind::Misconfigured, "storage.init", detail)
                    .with_source(error))
            }
        }
    }
}

impl Service for LocalFiles {
    type Reader = oio::StreamReader<Reader>;
    type Writer = Writer;
    type Lister = Lister;
    type Deleter = oio::OneShotDeleter<Deleter>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        ServiceInfo::new("local", self.tree.root().to_string_lossy(), "")
    }

    fn capability(&self) -> Capability {
        Capability {
            read: true,
            write: true,
            write_can_empty: true,
            write_can_multi: true,
            delete: true,
            list: true,
            list_with_limit: true,
            list_with_recursive: true,
            list_with_start_after: true,
            ..Capability::default()
        }
    }

    fn read(&self, _: &OperationContext, key: &str, _: OpRead) -> opendal::Result<Self::Reader> {
        Ok(oio::StreamReader::new(Reader::new(self.tree.clone(), key)))
    }

    fn write(&self, _: &OperationContext, key: &str, _: OpWrite) -> opendal::Result<Self::Writer> {
        Ok(Writer::new(self.tree.clone(), key))
    }

    fn delete(&self, _: &OperationContext) -> opendal::Result<Self::Deleter> {
        Ok(oio::OneShotDeleter::new(Deleter(self.tree.clone())))
    }

    fn list(&self, _: &OperationContext, prefix: &str, want: OpList) -> opendal::Result<Self::Lister> {
        // OpenDAL's word for "everything".
        let prefix = if prefix == "/" { "" } else { prefix };
        let wanted = Wanted {
            prefix: prefix.to_owned(),
            after: want.start_after().unwrap_or_default().to_owned(),
            limit: want.limit().unwrap_or(usize::MAX),
        };
        Ok(Lister::new(self.tree.clone(), wanted))
    }

    async fn stat(&self, _: &OperationContext, _: &str, _: OpStat) -> opendal::Result<RpStat> {
        Err(unsupported())
    }

    async fn create_dir(
        &self,
        _: &OperationContext,
        _: &str,
        _: OpCreateDir,
    ) -> opendal::Result<RpCreateDir> {
        Err(unsupported())
    }

    fn copy(&self, _: &OperationContext, _: &str, _: &str, _: OpCopy) -> opendal::Result<Self::Copier> {
        Err(unsupported())
    }

    async fn rename(&self, _: &OperationContext, _: &str, _: &str, _: OpRename) -> opendal::Result<RpRename> {
        Err(unsupported())
    }

    async fn presign(&self, _: &OperationContext, _: &str, _: OpPresign) -> opendal::Result<RpPresign> {
        Err(unsupported())
    }
}

/// Removes objects one by one.
pub(crate) struct Deleter(Arc<Tree>);

impl oio::OneShotDelete for Deleter {
    async fn delete_once(&self, key: String, _: OpDelete) -> opendal::Result<()> {
        let tree = self.0.clone();
        on_a_thread(move || tree.remove(&key)).await
    }
}

/// Does what may wait for a disk. If nobody waits for the answer any more, it is done all the same.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> opendal::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map_err(opendal_error),
        Err(error) => {
            Err(Error::new(ErrorKind::Unexpected, "the thread at the disk ended").set_source(error))
        }
    }
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "local files have no such operation")
}
