//! [`S3Config`]: which bucket of which server, and what OpenDAL is told about it.
//!
//! OpenDAL signs and words the requests. What it leaves open is here: HTTP with limits of time ([`transport`]), which
//! failures are tried again and how often (below), what a refusal means ([`refusal`]), uploads that nobody waits for any
//! more ([`upload`]), downloads that break off ([`download`]), and bytes that are not those that were put ([`digest`]).

use std::fmt;
use std::time::Duration;

use opendal::{HttpTransporter, Metadata, OperationContext, Operator};
use opendal_layer_retry::{RetryEvent, RetryLayer};
use opendal_service_s3::S3;
use portwright_domain::ports::{ObjectInfo, ObjectKey};
use portwright_domain::{ErrorKind, PortError, Timestamp};

mod digest;
pub(crate) mod download;
pub(crate) mod refusal;
mod transport;
pub(crate) mod upload;

use transport::Transport;

/// Objects that are larger than this are uploaded in parts of this size, one after the other. Two of them are in memory
/// at once: the one on its way and the one that is being filled.
const PART: usize = 6 << 20;

/// A server takes no more parts than this, so no object is larger than 58 GiB.
const MOST_PARTS: u64 = 10_000;

/// After a step failed, it is tried two more times, in about 150 and 250 ms.
const AGAIN: usize = 2;
const SOON: Duration = Duration::from_millis(100);

/// A bucket of an S3 server: Amazon's, MinIO, or another one that speaks its protocol.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    /// `http://` or `https://`, and the host; Amazon's of the region if there is none.
    pub endpoint: Option<String>,
    /// What the requests are signed for, such as `eu-central-1`. MinIO's is `us-east-1` unless it is told otherwise.
    pub region: String,
    /// The bucket, which has to exist.
    pub bucket: String,
    /// Who we are.
    pub access_key: String,
    /// How we prove it.
    pub secret_key: String,
    /// Whether the bucket is the beginning of the path, as MinIO has it, or of the host name, as Amazon has it.
    pub force_path_style: bool,
}

impl S3Config {
    /// Where the bucket is, in a few words for the operator.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { endpoint, region, bucket, .. } = self;
        match endpoint {
            Some(endpoint) => format!("s3 {bucket} at {endpoint}"),
            None => format!("s3 {bucket} in {region}"),
        }
    }

    /// The service, with everything that makes it bearable around it. Nothing is asked of the server.
    pub(crate) fn operator(&self) -> Result<Operator, PortError> {
        let refused = |detail: &'static str| PortError::new(ErrorKind::Misconfigured, "storage.init", detail);
        let endpoint = self.endpoint.as_deref();
        if endpoint.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(refused("the endpoint does not start with http:// or https://"));
        }
        let bucket_ok = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(bucket_ok) {
            return Err(refused("a bucket is 3 to 63 of a-z, 0-9, '-' and '.'"));
        }
        let mut service = S3::default()
            .bucket(&self.bucket)
            .region(&self.region)
            .access_key_id(&self.access_key)
            .secret_access_key(&self.secret_key)
            // What we are given is all there is: no files, no environment, no questions to a cloud that may not exist.
            .disable_config_load()
            .disable_ec2_metadata();
        if let Some(endpoint) = endpoint {
            service = service.endpoint(endpoint);
        }
        if !self.force_path_style {
            service = service.enable_virtual_host_style();
        }
        let secure = endpoint.is_none_or(|url| url.starts_with("https://"));
        let transport = HttpTransporter::new(Transport::new(secure)?);
        let context = OperationContext::default().with_http_transport(transport);
        let again = RetryLayer::new()
            .with_max_times(AGAIN)
            .with_min_delay(SOON)
            .with_factor(2.0)
            .with_jitter()
            .with_notify(warn_of);
        let operator =
            Operator::new(service).map_err(|error| crate::error::port_error("storage.init", error))?;
        Ok(operator.with_context(context).layer(again))
    }
}

/// What is known of an object. `HEAD` and `GET` tell its time in whole seconds and lists in more, so the rest is left
/// away everywhere.
pub(crate) fn info(
    operation: &'static str,
    key: ObjectKey,
    metadata: &Metadata,
) -> Result<ObjectInfo, PortError> {
    let info = crate::storage::info(operation, key, metadata)?;
    let etag = digest::unquoted(&info.etag).to_owned();
    Ok(ObjectInfo { etag, modified_at: whole_seconds(info.modified_at), ..info })
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_micros(time.unix_seconds() * 1_000_000)
}

#[expect(clippy::needless_pass_by_value, reason = "OpenDAL's signature")]
fn warn_of(event: RetryEvent<'_>) {
    let RetryEvent { op, err, attempt, .. } = event;
    tracing::warn!(
        operation = op.into_static(),
        attempt,
        error = err.message(),
        "the storage is asked again"
    );
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("force_path_style", &self.force_path_style)
            .finish_non_exhaustive()
    }
}
