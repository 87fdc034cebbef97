//! What the code calls that `#[service]` writes. Not for people.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
pub use portwright_domain::PortError;
use portwright_domain::ports::CacheKey;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::PayloadInvalid;
use super::error::TaskError;
use super::task::{Running, TaskEnd};

use crate::cached::Cached;
pub use crate::cached::escaped;

/// Refuses an input that cannot travel, at the place where its type is written.
pub const fn input<T: Serialize + DeserializeOwned + Send>() {}

/// Refuses a result that cannot travel.
pub const fn output<T: Serialize + DeserializeOwned + Send>() {}

/// Refuses an error that cannot travel, or cannot say that the engine failed.
pub const fn error<E: TaskError>() {}

/// Refuses what a cache cannot keep.
pub const fn cacheable<T: Serialize + DeserializeOwned + Send>() {}

/// A try of a task, from reading its arguments to writing its answer.
pub fn run<T, E>(work: impl Future<Output = Result<Result<T, E>, PayloadInvalid>> + Send + 'static) -> Running
where
    T: Serialize,
    E: TaskError,
{
    Box::pin(async move {
        match work.await {
            Err(invalid) => TaskEnd::PayloadInvalid(invalid),
            Ok(Ok(result)) => written(&result).map_or_else(TaskEnd::Unwritable, TaskEnd::Returned),
            Ok(Err(error)) => written(&error).map_or_else(TaskEnd::Unwritable, |json| TaskEnd::Failed {
                error: json,
                retryable: error.retryable(),
            }),
        }
    })
}

fn written<T: Serialize>(value: &T) -> Result<Bytes, String> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| error.to_string())
}

/// The body of a cached method. A key that is too long for a cache is not remembered.
pub async fn read_through<T, E>(
    cached: &Cached,
    name: &str,
    key: &str,
    ttl: Duration,
    compute: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
{
    match CacheKey::parse(key) {
        Ok(key) => cached.get_or_compute(name, &key, ttl, compute).await,
        Err(_) => compute.await,
    }
}

/// The body of the method that forgets what a cached one remembered.
pub async fn forget(cached: &Cached, key: &str) -> Result<(), PortError> {
    match CacheKey::parse(key) {
        Ok(key) => cached.invalidate(&key).await,
        Err(_) => Ok(()),
    }
}
