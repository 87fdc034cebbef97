//! [`OpendalStorage`]: the port itself, over whichever service of OpenDAL it was made with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures::TryStreamExt;
use opendal::layers::TimeoutLayer;
use opendal::options::{ListOptions, WriteOptions};
use opendal::{Buffer, BufferStream, Metadata, OperationContext, Operator};
use portwright_domain::ports::{Clock, Object, ObjectBody, ObjectInfo, ObjectKey, Storage};
use portwright_domain::{ErrorKind, PortError, Timestamp};

use crate::error::port_error;
use crate::local::LocalFiles;

/// No single step on a disk takes this long, unless the disk hangs.
const LOCAL_STEP: Duration = Duration::from_secs(30);

/// Files by name, behind an OpenDAL service. Clones share everything.
#[derive(Clone)]
pub struct OpendalStorage {
    operator: Operator,
    /// Bodies reach the service in parts of this size, whatever the size of the parts they come in.
    part: usize,
}

impl OpendalStorage {
    /// Objects as files under `root`, dated by `clock`. Makes the folder, for its owner alone, if it is missing, and
    /// clears away what puts that were killed left behind. Several processes may use the same folder at once.
    ///
    /// # Errors
    /// `Misconfigured` if the folder cannot be made or written, or its file system has no locks.
    pub async fn local(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let files = LocalFiles::open(root.into(), clock).await?;
        let deadline = TimeoutLayer::new().with_timeout(LOCAL_STEP).with_io_timeout(LOCAL_STEP);
        let operator = Operator::from_parts(OperationContext::default(), Arc::new(files)).layer(deadline);
        Ok(Self { operator, part: LocalFiles::PART })
    }
}

#[async_trait]
impl Storage for OpendalStorage {
    async fn put(&self, key: &ObjectKey, mut body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        let failed = |error| port_error("storage.put", error);
        let options = WriteOptions { chunk: Some(self.part), ..WriteOptions::default() };
        let mut writer = self.operator.writer_options(key.as_str(), options).await.map_err(failed)?;
        let written = async {
            while let Some(part) = body.next().await? {
                writer.write(part).await.map_err(failed)?;
            }
            writer.close().await.map_err(failed)
        };
        match written.await {
            Ok(metadata) => info("storage.put", key.clone(), &metadata),
            Err(error) => {
                if let Err(left_behind) = writer.abort().await {
                    tracing::warn!(%key, error = %left_behind, "an upload that failed was not cleared away");
                }
                Err(error)
            }
        }
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, PortError> {
        let opened = async {
            let reader = self.operator.reader(key.as_str()).await?;
            let mut stream = reader.into_stream(..).await?;
            // Opens the object once, so the bytes are those that are described.
            let metadata = stream.metadata().await?;
            Ok::<_, opendal::Error>((metadata, stream))
        };
        match opened.await {
            Ok::<_, opendal::Error>((metadata, stream)) => {
                let info = info("storage.get", key.clone(), &metadata)?;
                Ok(Some(Object { info, body: Box::new(Stream { stream, part: Buffer::new() }) }))
            }
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(port_error("storage.get", error)),
        }
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), PortError> {
        self.operator.delete(key.as_str()).await.map_err(|error| port_error("storage.remove", error))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectInfo>, PortError> {
        let limit = limit as usize;
        // OpenDAL would tidy the prefix up, and then find keys that do not start with it.
        if limit == 0 || !begins_a_key(prefix) {
            return Ok(Vec::new());
        }
        let failed = |error| port_error("storage.list", error);
        let options = ListOptions {
            recursive: true,
            limit: Some(limit),
            start_after: after.map(|key| key.as_str().to_owned()),
            ..ListOptions::default()
        };
        let mut entries = self.operator.lister_options(prefix, options).await.map_err(failed)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(entry) = entries.try_next().await.map_err(failed)?
        {
            // What is no key of ours was put by somebody else.
            if let (true, Ok(key)) = (entry.metadata().is_file(), ObjectKey::parse(entry.path())) {
                found.push(info("storage.list", key, entry.metadata())?);
            }
        }
        Ok(found)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<String>, PortError> {
        match self.operator.presign_read(key.as_str(), ttl).await {
            Ok(request) => Ok(Some(request.uri().to_string())),
            Err(error) if error.kind() == opendal::ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(port_error("storage.presign", error)),
        }
    }
}

/// The bytes of an object, as the service sends them.
struct Stream {
    stream: BufferStream,
    /// What was received and not yet handed on.
    part: Buffer,
}

#[async_trait]
impl ObjectBody for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if self.part.is_empty() {
            let part = self.stream.try_next().await;
            match part.map_err(|error| port_error("storage.get", error))? {
                Some(part) => self.part = part,
                None => return Ok(None),
            }
        }
        let length = self.part.chunk().len();
        Ok(Some(self.part.copy_to_bytes(length)))
    }
}

fn begins_a_key(prefix: &str) -> bool {
    ObjectKey::parse(prefix).is_ok() || ObjectKey::parse(&format!("{prefix}x")).is_ok()
}

fn info(operation: &'static str, key: ObjectKey, metadata: &Metadata) -> Result<ObjectInfo, PortError> {
    let (Some(etag), Some(modified)) = (metadata.etag(), metadata.last_modified()) else {
        return Err(PortError::new(ErrorKind::Unsupported, operation, "no etag or no time of change"));
    };
    Ok(ObjectInfo {
        key,
        size: metadata.content_length(),
        etag: etag.to_owned(),
        modified_at: Timestamp::from_unix_micros(modified.into_inner().as_microsecond()),
    })
}

impl fmt::Debug for OpendalStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpendalStorage").field("service", &self.operator.info()).finish_non_exhaustive()
    }
}
