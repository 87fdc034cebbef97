//! An upload to an S3 server: whole or not at all, whoever stops waiting for it.

use opendal::options::WriteOptions;
use opendal::{Metadata, Operator, Writer};
use portwright_domain::ports::{Clock, ObjectBody, ObjectInfo, ObjectKey};
use portwright_domain::{ErrorKind, PortError};
use tokio::sync::oneshot;

use super::digest::{Digest, has_digest, unquoted};
use super::{MOST_PARTS, PART, info, whole_seconds};
use crate::error::port_error;

const OPERATION: &str = "storage.put";

/// Puts an object, in a task of its own: a request that is dropped on its way leaves it open whether it arrived, and
/// with it the upload that it belongs to. If the caller stops waiting while the body still goes on, the parts that were
/// sent are removed, and there is no object.
pub(crate) async fn put(
    operator: &Operator,
    key: &ObjectKey,
    body: Box<dyn ObjectBody>,
    clock: &dyn Clock,
) -> Result<ObjectInfo, PortError> {
    let (_waiting, given_up) = oneshot::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "its parts have to be removed when nobody awaits it any more"
    )]
    let sending = tokio::spawn(send(operator.clone(), key.clone(), body, given_up));
    match sending.await {
        Ok(sent) => sent?.confirm(operator, key, clock).await,
        Err(error) => {
            Err(PortError::new(ErrorKind::Unavailable, OPERATION, "the upload ended").with_source(error))
        }
    }
}

/// What was sent, and what the server called it.
struct Sent {
    /// In bytes.
    size: u64,
    /// Of these bytes.
    digest: Digest,
    /// The server's name for them; `None` if the answer was lost.
    etag: Option<String>,
}

async fn send(
    operator: Operator,
    key: ObjectKey,
    body: Box<dyn ObjectBody>,
    given_up: oneshot::Receiver<()>,
) -> Result<Sent, PortError> {
    let options = WriteOptions { chunk: Some(PART), ..WriteOptions::default() };
    let failed = |error| port_error(OPERATION, error);
    let mut writer = operator.writer_options(key.as_str(), options).await.map_err(failed)?;
    let (size, digest) = match send_parts(&mut writer, body, given_up).await {
        Ok(sent) => sent,
        Err(error) => {
            clear_away(writer, key);
            return Err(error);
        }
    };
    let etag = match writer.close().await {
        Ok(stored) => stored.etag().map(str::to_owned),
        // The upload is not there any more: it was completed, and the answer was lost.
        Err(error) if error.kind() == opendal::ErrorKind::NotFound && size > PART as u64 => None,
        Err(error) => {
            clear_away(writer, key);
            return Err(failed(error));
        }
    };
    Ok(Sent { size, digest, etag })
}

async fn send_parts(
    writer: &mut Writer,
    mut body: Box<dyn ObjectBody>,
    mut given_up: oneshot::Receiver<()>,
) -> Result<(u64, Digest), PortError> {
    let (mut size, mut digest) = (0, Digest::of_upload());
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut given_up => {
                return Err(PortError::new(ErrorKind::Unavailable, OPERATION, "nobody waits for it any more"));
            }
            next = body.next() => next?,
        };
        let Some(bytes) = next else { return Ok((size, digest)) };
        size += bytes.len() as u64;
        if size > MOST_PARTS * PART as u64 {
            let detail = "an object is at most 10,000 parts of 6 MiB";
            return Err(PortError::new(ErrorKind::Unsupported, OPERATION, detail));
        }
        digest.update(&bytes);
        writer.write(bytes).await.map_err(|error| port_error(OPERATION, error))?;
    }
}

/// Removes the parts that were sent. The caller does not wait for it: the server may be down, which is why we are here.
fn clear_away(mut writer: Writer, key: ObjectKey) {
    #[expect(clippy::disallowed_methods, reason = "ends within the deadline of a request")]
    drop(tokio::spawn(async move {
        if let Err(error) = writer.abort().await {
            let error = error.message();
            tracing::warn!(%key, error, "parts of an upload that failed are left for the bucket's own rule to remove");
        }
    }));
}

impl Sent {
    /// Looks the object up: only then we know when it was put, and that it is what was sent.
    async fn confirm(
        self,
        operator: &Operator,
        key: &ObjectKey,
        clock: &dyn Clock,
    ) -> Result<ObjectInfo, PortError> {
        let found = match operator.stat(key.as_str()).await {
            Ok(found) => Some(found),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => None,
            Err(error) => return Err(port_error(OPERATION, error)),
        };
        match (found.filter(|found| self.is(found)), self.etag) {
            (Some(found), _) => {
                let etag = found.etag().unwrap_or_default();
                let says_digest = has_digest(&found) && Digest::expecting(etag, self.size).is_some();
                if found.content_length() == self.size && (!says_digest || self.digest.is(etag)) {
                    return info(OPERATION, key.clone(), &found);
                }
                let detail = "what is stored is not what was sent, or the server's etags are no MD5";
                Err(PortError::new(ErrorKind::Corrupt, OPERATION, detail))
            }
            // Somebody has replaced or removed it since, so this is as good a time as any.
            (None, Some(etag)) => {
                let (size, etag) = (self.size, unquoted(&etag).to_owned());
                Ok(ObjectInfo { key: key.clone(), size, etag, modified_at: whole_seconds(clock.now()) })
            }
            (None, None) => {
                let detail = "no answer to the end of the upload";
                Err(PortError::new(ErrorKind::Unavailable, OPERATION, detail))
            }
        }
    }

    /// Whether what was found is what we sent, and not what somebody else has put since.
    fn is(&self, found: &Metadata) -> bool {
        let etag = found.etag().unwrap_or_default();
        match &self.etag {
            Some(ours) => unquoted(ours) == unquoted(etag),
            None => self.digest.clone().is(etag),
        }
    }
}
