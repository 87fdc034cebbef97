//! What the code calls that `#[service]` writes. Not for people.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use bytes::Bytes;
pub use portwright_domain::PortError;
use portwright_domain::ports::CacheKey;
use serde::Serialize;

use super::call::{Answer, Call, Compute};
use super::envelope::{Args, PayloadInvalid};
use super::error::TaskError;
use super::task::{Portable, Running, TaskEnd, TaskSpec};
use crate::cached::Cached;
pub use crate::cached::escaped;

/// Refuses a type that cannot travel, at the place where it is written.
pub const fn portable<T: Portable>() {}

/// The body of the builder.
pub fn call<'c, I: Portable, T: Portable, E: TaskError>(
    compute: &'c Compute,
    spec: &'static TaskSpec,
    input: &I,
) -> Call<'c, T, E> {
    compute.call(spec, input)
}

/// The body of the method.
pub fn answer<'c, T: Portable + 'c, E: TaskError>(call: Call<'c, T, E>) -> Answer<'c, T, E> {
    call.into_future()
}

/// Reads arguments of the current version.
pub fn read<I: Portable>(args: &Args) -> Result<I, PayloadInvalid> {
    args.read()
}

/// A try of a task, from reading its arguments to writing its answer.
pub fn run<T: Portable, E: TaskError>(
    work: impl Future<Output = Result<Result<T, E>, PayloadInvalid>> + Send + 'static,
) -> Running {
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
    T: Portable,
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
