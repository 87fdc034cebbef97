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
use crate::s3::{self, S3Config, download, upload};

/// No single step on a disk takes this long, unless the disk hangs.
const LOCAL_STEP: Duration = Duration::from_secs(30);

/// A request may not ask for more objects than this; no server answers so many at once anyway.
const MOST_AT_ONCE: usize = i32::MAX as usize;

/// Files by name, behind an OpenDAL service. Clones share everything.
#[derive(Clone)]
pub struct OpendalStorage {
    operator: Operator,
    place: Place,
}

/// What the service is made of, as far as it makes a difference to the port.
#[derive(Clone)]
enum Place {
    Disk,
    /// Dates what was put and then replaced before anybody could ask the server when it was put.
    Server(Arc<dyn Clock>),
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
        Ok(Self { operator, place: Place::Disk })
    }

    /// Objects in a bucket of an S3 server, which has to exist. A server that does not answer now may do so later, so
    /// this is no error here; [`StorageHealth`](crate::StorageHealth) tells.
    ///
    /// # Errors
    /// `Misconfigured` if what is given makes no sense, or the server refuses it.
    pub async fn s3(config: &S3Config, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let storage = Self { operator: config.operator()?, place: Place::Server(clock) };
        match storage.list("", None, 1).await {
            Err(error) if error.kind() == ErrorKind::Misconfigured => {
                let detail = format!("{}: {}", config.place(), error.detail());
                Err(PortError::new(ErrorKind::Misconfigured, "storage.init", detail).with_source(error))
            }
            Err(error) => {
                tracing::warn!(%error, "the storage does not answer yet");
                Ok(storage)
            }
            Ok(_) => Ok(storage),
        }
    }

    fn info(
        &self,
        operation: &'static str,
        key: ObjectKey,
        metadata: &Metadata,
    ) -> Result<ObjectInfo, PortError> {
        match self.place {
            Place::Disk => info(operation, key, metadata),
            Place::Server(_) => s3::info(operation, key, metadata),
        }
    }
}

#[async_trait]
impl Storage for OpendalStorage {
    async fn put(&self, key: &ObjectKey, mut body: Box<dyn ObjectBody>) -> Result<ObjectInfo, PortError> {
        if let Place::Server(clock) = &self.place {
            return upload::put(&self.operator, key, body, &**clock).await;
        }
        let failed = |error| port_error("storage.put", error);
        let options = WriteOptions { chunk: Some(LocalFiles::PART), ..WriteOptions::default() };
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
        if let Place::Server(_) = self.place {
            return download::open(&self.operator, key).await;
        }
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
            limit: Some(limit.min(MOST_AT_ONCE)),
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
                found.push(self.info("storage.list", key, entry.metadata())?);
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

/// What is known of an object, as the service tells it.
pub(crate) fn info(
    operation: &'static str,
    key: ObjectKey,
    metadata: &Metadata,
) -> Result<ObjectInfo, PortError> {
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
