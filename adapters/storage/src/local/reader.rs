//! [`Reader`]: one get.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use opendal::raw::{RpRead, oio};
use opendal::{Buffer, BytesRange, Error, ErrorKind};

use super::tree::Tree;
use super::{LocalFiles, on_a_thread};

/// Opens the file of an object.
pub(crate) struct Reader {
    tree: Arc<Tree>,
    key: String,
}

impl Reader {
    pub(crate) fn new(tree: Arc<Tree>, key: &str) -> Self {
        Self { tree, key: key.to_owned() }
    }
}

impl oio::StreamRead for Reader {
    async fn open(&self, range: BytesRange) -> opendal::Result<(RpRead, Box<dyn oio::ReadStreamDyn>)> {
        if range.is_suffix() {
            return Err(Error::new(ErrorKind::Unsupported, "local files are read from their beginning"));
        }
        let (tree, key) = (self.tree.clone(), self.key.clone());
        let (file, size, metadata) = on_a_thread(move || {
            let (file, facts) = tree.open_object(&key)?;
            Ok((file, facts.size, facts.metadata()?))
        })
        .await?;
        let end = range.size().map_or(size, |length| size.min(range.offset().saturating_add(length)));
        let parts = Parts { file: Arc::new(file), at: range.offset(), end };
        Ok((RpRead::new(metadata), Box::new(parts)))
    }
}

/// The bytes of an open file, which stay what they are even if its name is given to another.
struct Parts {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl oio::ReadStream for Parts {
    async fn read(&mut self) -> opendal::Result<Buffer> {
        let (file, at) = (self.file.clone(), self.at);
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(Buffer::new());
        }
        let bytes = on_a_thread(move || {
            let mut bytes = vec![0; left.min(LocalFiles::PART)];
            let read = file.read_at(&mut bytes, at)?;
            if read == 0 {
                // Somebody else shortened it.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(read);
            Ok(bytes)
        })
        .await?;
        self.at += bytes.len() as u64;
        Ok(Buffer::from(bytes))
    }
}
