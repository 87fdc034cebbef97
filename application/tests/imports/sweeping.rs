//! Files of imports, which hold passwords, are gone when their job has ended.

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ports::{JobQueue, JobSource, ObjectKey};

use crate::transfers::{Office, file_of};

impl Office {
    async fn sweep(&self) {
        self.world.services.imports.sweep().await.expect("sweeping works");
    }
}

#[tokio::test]
async fn a_file_stays_while_its_job_is_unfinished_and_goes_with_its_end() {
    let office = Office::new().await;
    let (waits, succeeds, fails) =
        (office.submit(file_of(1)).await, office.submit(file_of(1)).await, office.submit("nonsense").await);
    office.sweep().await;
    assert_eq!(office.files().await.len(), 3, "all wait");

    office.world.queue.cancel(waits).await.expect("cancel works");
    office.sweep().await;
    let mut left = [succeeds, fails].map(|id| format!("imports/{id}.csv"));
    left.sort();
    assert_eq!(office.files().await, left);

    office.drain().await;
    office.sweep().await;
    assert_eq!(office.files().await, [""; 0]);
}

#[tokio::test]
async fn a_file_goes_although_nothing_of_its_job_is_kept() {
    let office = Office::new().await;
    office.submit(file_of(1)).await;
    office.drain().await;
    office.world.clock.advance(Duration::from_hours(24));
    office.world.queue.reclaim().await.expect("reclaim works");
    office.sweep().await;
    assert_eq!(office.files().await, [""; 0]);
}

#[tokio::test]
async fn a_file_that_no_job_is_known_of_has_an_hour() {
    let office = Office::new().await;
    for key in ["imports/00000000-0000-0000-0000-000000000007.csv", "imports/other", "exports/other"] {
        let key = ObjectKey::parse(key).expect("a key");
        let body = Box::new(Some(Bytes::from_static(b"secret")));
        office.world.storage.put(&key, body).await.expect("putting works");
    }
    office.world.clock.advance(Duration::from_mins(59));
    office.sweep().await;
    assert_eq!(office.files().await.len(), 3);
    office.world.clock.advance(Duration::from_mins(1));
    office.sweep().await;
    assert_eq!(office.files().await, ["exports/other"]);
}
