//! A storage in the bucket of a server of its own.

use std::sync::Arc;

use portwright_memory::SystemClock;
use portwright_storage::{OpendalStorage, S3Config};
use portwright_testkit::servers::S3;

/// The server's bucket, as somebody who may use it sees it.
pub(crate) fn config(server: &S3) -> S3Config {
    S3Config {
        endpoint: Some(server.endpoint()),
        region: "us-east-1".to_owned(),
        bucket: S3::BUCKET.to_owned(),
        access_key: S3::ACCESS_KEY.to_owned(),
        secret_key: S3::SECRET_KEY.to_owned(),
        force_path_style: true,
    }
}

/// A new server, and a storage on it.
pub(crate) async fn fresh() -> (S3, OpendalStorage) {
    let server = S3::run();
    let storage = OpendalStorage::s3(&config(&server), Arc::new(SystemClock)).await.expect("a storage");
    (server, storage)
}
