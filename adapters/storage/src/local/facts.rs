//! [`Facts`]: what a file says of the object in it.

use std::io;

use opendal::raw::Timestamp;
use opendal::{Metadata, MetadataBuilder};
use rustix::fs::{FileType, Stat};

/// What is known of an object from its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: u32,
}

impl Facts {
    /// `None` if this is no regular file.
    pub(crate) fn of(stat: &Stat) -> Option<Self> {
        FileType::from_raw_mode(stat.st_mode).is_file().then(|| Self {
            size: stat.st_size.cast_unsigned(),
            inode: stat.st_ino,
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        })
    }

    /// Each put makes a file of its own, with a time of its own, so no two objects of one key have the same.
    fn etag(&self) -> String {
        format!("{:x}-{:x}-{:x}.{:x}", self.inode, self.size, self.seconds, self.nanoseconds)
    }

    /// The same in the words of OpenDAL.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        let modified =
            Timestamp::new(self.seconds, self.nanoseconds.cast_signed()).map_err(io::Error::other)?;
        let mut metadata = MetadataBuilder::file(self.size);
        metadata.etag(self.etag()).last_modified(modified);
        Ok(metadata.build())
    }
}
