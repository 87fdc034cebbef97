//! [`Download`]: the bytes of one version of an object, even if the server breaks off in their midst.

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures::TryStreamExt;
use opendal::options::ReaderOptions;
use opendal::{Buffer, BufferStream, Metadata, Operator};
use portwright_domain::ports::{Object, ObjectBody, ObjectKey};
use portwright_domain::{ErrorKind, PortError};

use super::digest::{Digest, has_digest};
use super::{AGAIN, info};
use crate::error::port_error;

const OPERATION: &str = "storage.get";

/// Opens an object; `None` if there is none.
pub(crate) async fn open(operator: &Operator, key: &ObjectKey) -> Result<Option<Object>, PortError> {
    let (metadata, stream) = match stream(operator, key, None, 0).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == opendal::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(port_error(OPERATION, error)),
    };
    let info = info(OPERATION, key.clone(), &metadata)?;
    let etag = metadata.etag().unwrap_or_default().to_owned();
    let digest = has_digest(&metadata).then(|| Digest::expecting(&etag, info.size)).flatten();
    let download = Download {
        operator: operator.clone(),
        key: key.clone(),
        etag,
        size: info.size,
        digest,
        stream: Some(stream),
        received: 0,
        broken_off: 0,
        part: Buffer::new(),
    };
    Ok(Some(Object { info, body: Box::new(download) }))
}

/// The bytes from here on, of the version with this etag if there is one.
async fn stream(
    operator: &Operator,
    key: &ObjectKey,
    etag: Option<&str>,
    from: u64,
) -> opendal::Result<(Metadata, BufferStream)> {
    let options = ReaderOptions { if_match: etag.map(str::to_owned), ..ReaderOptions::default() };
    let reader = operator.reader_options(key.as_str(), options).await?;
    let mut stream = reader.into_stream(from..).await?;
    // Sends the request.
    let metadata = stream.metadata().await?;
    Ok((metadata, stream))
}

/// The rest of that version cannot be had.
fn unfinished(error: opendal::Error) -> PortError {
    match error.kind() {
        opendal::ErrorKind::ConditionNotMatch | opendal::ErrorKind::NotFound => {
            let detail = "the connection broke, and the object has been replaced or removed";
            PortError::new(ErrorKind::Unavailable, OPERATION, detail).with_source(error)
        }
        _ => port_error(OPERATION, error),
    }
}

struct Download {
    operator: Operator,
    key: ObjectKey,
    etag: String,
    size: u64,
    digest: Option<Digest>,
    /// `None` after an error.
    stream: Option<BufferStream>,
    /// How many bytes, handed on or not.
    received: u64,
    /// How often since the last byte.
    broken_off: usize,
    /// What was received and not yet handed on.
    part: Buffer,
}

impl Download {
    /// The next bytes from the server, however often it has to be asked for them.
    async fn receive(&mut self) -> Result<Option<Buffer>, PortError> {
        loop {
            let Some(open) = &mut self.stream else { return Ok(None) };
            let error = match open.try_next().await {
                Ok(Some(part)) => {
                    self.broken_off = 0;
                    return Ok(Some(part));
                }
                Ok(None) if self.received == self.size => return Ok(None),
                Ok(None) => opendal::Error::new(opendal::ErrorKind::Unexpected, "fewer bytes than announced"),
                Err(error) => error,
            };
            self.stream = None;
            self.broken_off += 1;
            if self.broken_off > AGAIN {
                return Err(port_error(OPERATION, error));
            }
            tracing::warn!(key = %self.key, error = error.message(), "a download goes on where it broke off");
            let rest = stream(&self.operator, &self.key, Some(&self.etag), self.received).await;
            let (_, rest) = rest.map_err(unfinished)?;
            self.stream = Some(rest);
        }
    }

    /// Whether these bytes may be handed on. The last ones may only if all of them are right, so that nobody who has
    /// as many bytes as were announced has wrong ones.
    fn check(&mut self, part: &Buffer) -> Result<(), PortError> {
        self.received += part.len() as u64;
        if let Some(digest) = &mut self.digest {
            part.clone().for_each(|bytes| digest.update(&bytes));
        }
        let wrong = match self.received.cmp(&self.size) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.digest.take().is_some_and(|digest| !digest.is(&self.etag)),
            std::cmp::Ordering::Greater => true,
        };
        if wrong {
            self.stream = None;
            let detail = "the bytes of the object are not those that its etag stands for";
            return Err(PortError::new(ErrorKind::Corrupt, OPERATION, detail));
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectBody for Download {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if self.part.is_empty() {
            let Some(part) = self.receive().await? else { return Ok(None) };
            self.check(&part)?;
            self.part = part;
        }
        let length = self.part.chunk().len();
        Ok(Some(self.part.copy_to_bytes(length)))
    }
}
