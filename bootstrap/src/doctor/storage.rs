//! Files: an object is put, read back and removed.

use portwright_domain::ports::{HealthProbe, HealthStatus};
use portwright_storage::StorageHealth;

use super::Finding;
use super::db::failed;
use crate::config::{Outside, Storage};
use crate::servers::Server;
use crate::wiring::{Ambient, unprotected_storage};

pub(super) async fn examine(outside: &Outside, ambient: &Ambient) -> Vec<Finding> {
    let Some(config) = &outside.storage else {
        // What is wrong with it has been told.
        return Vec::new();
    };
    match config {
        Storage::S3(bucket) => {
            let server = Server::bucket(bucket, &outside.origins);
            if let Err(obstacle) = portwright_storage::diagnosis::look(bucket).await {
                let problem = server.problem(&obstacle, &outside.origins);
                return vec![Finding::failed("storage.reach", problem)];
            }
            let reached = Finding::pass("storage.reach", format!("{config} answers"));
            vec![reached, round_trip(config, ambient).await]
        }
        Storage::Local { folder } if !folder.exists() => {
            let what = format!("{} is made by the first start", folder.display());
            vec![Finding::pass("storage.write", what)]
        }
        Storage::Local { .. } => vec![round_trip(config, ambient).await],
        Storage::Memory => {
            let fix = "set STORAGE_STRATEGY to local or s3 where files matter";
            vec![Finding::warn("storage.write", "files end with the process, and no worker sees them", fix)]
        }
    }
}

async fn round_trip(config: &Storage, ambient: &Ambient) -> Finding {
    const CHECK: &str = "storage.write";
    let storage = match unprotected_storage(config, ambient.clock.clone()).await {
        Ok(storage) => storage,
        Err(failure) => return failed(CHECK, &failure).remove(0),
    };
    let health = StorageHealth::of(storage, ambient.ids.clone()).check().await;
    if health.status == HealthStatus::Pass {
        return Finding::pass(CHECK, "an object was put, read back and removed");
    }
    let why = health.details.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ");
    let fix = match config {
        Storage::S3(_) => {
            "the access key needs PutObject, GetObject, DeleteObject and ListBucket on that bucket"
        }
        _ => "this user must own the folder, on a local disk with room",
    };
    Finding::fail(CHECK, format!("an object cannot be put, read back and removed ({why})"), fix)
}
