//! [`Bucket`]: what is stored, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use md5::{Digest, Md5};
use portwright_domain::ports::Clock;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object as Listed,
    PutObjectInput, PutObjectOutput, ServerSideEncryption, StreamingBlob, Timestamp, UploadPartInput,
    UploadPartOutput,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};

use super::locked;

/// Every part but the last one has at least this size.
const SMALLEST_PART: usize = 5 << 20;

/// The objects and what is about to become some.
#[derive(Clone, Default)]
pub(super) struct Bucket(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<i32, (Bytes, String)>>,
    /// How many uploads were ever begun.
    begun: u64,
    encrypting: bool,
    /// What tells when an object was put; the real time if there is none.
    clock: Option<Arc<dyn Clock>>,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    etag: String,
    modified: Timestamp,
    encrypted: bool,
}

impl Object {
    fn length(&self) -> i64 {
        i64::try_from(self.bytes.len()).expect("it is in memory")
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.encrypted.then(|| ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS))
    }
}

impl Contents {
    fn put(&mut self, key: String, bytes: Bytes, digest: String) -> ETag {
        let encrypted = self.encrypting;
        // Somebody else's digest, of which nobody can say what it is of.
        let etag = if encrypted { hex(&Md5::digest(format!("{key} {digest}"))) } else { digest };
        let modified = match &self.clock {
            Some(clock) => {
                let since = Duration::from_micros(clock.now().unix_micros().unsigned_abs());
                (SystemTime::UNIX_EPOCH + since).into()
            }
            #[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
            None => SystemTime::now().into(),
        };
        self.objects.insert(key, Object { bytes, etag: etag.clone(), modified, encrypted });
        ETag::Strong(etag)
    }

    fn object(&self, bucket: &str, key: &str) -> S3Result<Object> {
        exists(bucket)?;
        self.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

impl Bucket {
    pub(super) fn keys(&self) -> Vec<String> {
        locked(&self.0).objects.keys().cloned().collect()
    }

    pub(super) fn open_uploads(&self) -> usize {
        locked(&self.0).uploads.len()
    }

    pub(super) fn go_by(&self, clock: Arc<dyn Clock>) {
        locked(&self.0).clock = Some(clock);
    }

    pub(super) fn encrypt(&self) {
        locked(&self.0).encrypting = true;
    }
}

fn exists(bucket: &str) -> S3Result<()> {
    if bucket == super::S3::BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|it| char::from_digit(it.into(), 16))
        .collect()
}

/// A body of which the end has come, whole.
async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(part) = body.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
            bytes.extend_from_slice(&part);
        }
    }
    Ok(bytes.freeze())
}

#[async_trait]
impl S3 for Bucket {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, .. } = request.input;
        exists(&bucket)?;
        let bytes = whole(body).await?;
        let digest = hex(&Md5::digest(&bytes));
        let etag = locked(&self.0).put(key, bytes, digest);
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, if_match, .. } = request.input;
        let object = locked(&self.0).object(&bucket, &key)?;
        if let Some(ETagCondition::ETag(wanted)) = if_match
            && wanted.value() != object.etag
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let length = object.bytes.len();
        let (bytes, content_range) = match range {
            None => (object.bytes.clone(), None),
            Some(range) => {
                let part = range.check(length as u64)?;
                let at = |bound: u64| usize::try_from(bound).expect("it is in memory");
                let told = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                (object.bytes.slice(at(part.start)..at(part.end)), Some(told))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: i64::try_from(bytes.len()).ok(),
            body: Some(Body::from(bytes).into()),
            content_range,
            server_side_encryption: object.encryption(),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = locked(&self.0).object(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.length()),
            server_side_encryption: object.encryption(),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        exists(&request.input.bucket)?;
        locked(&self.0).objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { bucket, prefix, start_after, continuation_token, max_keys, .. } =
            request.input;
        exists(&bucket)?;
        let prefix = prefix.unwrap_or_default();
        let limit = max_keys.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(1_000).min(1_000);
        let behind = continuation_token.or(start_after).map_or(Bound::Unbounded, Bound::Excluded);
        let contents = locked(&self.0);
        let mut found =
            contents.objects.range((behind, Bound::Unbounded)).filter(|(key, _)| key.starts_with(&prefix));
        let page: Vec<Listed> = found
            .by_ref()
            .take(limit)
            .map(|(key, object)| Listed {
                key: Some(key.clone()),
                e_tag: Some(ETag::Strong(object.etag.clone())),
                size: Some(object.length()),
                last_modified: Some(object.modified.clone()),
                ..Listed::default()
            })
            .collect();
        let goes_on = found.next().is_some();
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(goes_on),
            next_continuation_token: goes_on.then(|| page.last().and_then(|it| it.key.clone())).flatten(),
            contents: Some(page),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, .. } = request.input;
        exists(&bucket)?;
        let mut contents = locked(&self.0);
        contents.begun += 1;
        let upload_id = format!("upload-{}", contents.begun);
        contents.uploads.insert(upload_id.clone(), BTreeMap::new());
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(upload_id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { upload_id, part_number, body, .. } = request.input;
        let bytes = whole(body).await?;
        let digest = hex(&Md5::digest(&bytes));
        let mut contents = locked(&self.0);
        let parts = contents.uploads.get_mut(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        parts.insert(part_number, (bytes, digest.clone()));
        let e_tag = Some(ETag::Strong(digest));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket, key, upload_id, multipart_upload, .. } = request.input;
        let wanted = multipart_upload.and_then(|it| it.parts).unwrap_or_default();
        let mut contents = locked(&self.0);
        let parts = contents.uploads.get(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let (mut bytes, mut digests) = (BytesMut::new(), Md5::new());
        for (index, part) in wanted.iter().enumerate() {
            let stored = part.part_number.and_then(|number| parts.get(&number));
            let (stored, digest) = stored.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag.as_ref().map(ETag::value) != Some(digest) {
                return Err(s3_error!(InvalidPart));
            }
            if index + 1 < wanted.len() && stored.len() < SMALLEST_PART {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(stored);
            digests.update(Md5::digest(stored));
        }
        let digest = format!("{}-{}", hex(&digests.finalize()), wanted.len());
        contents.uploads.remove(&upload_id);
        let etag = contents.put(key.clone(), bytes.freeze(), digest);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(etag),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let removed = locked(&self.0).uploads.remove(&request.input.upload_id);
        removed.ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
