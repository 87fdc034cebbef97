//! Files of imports, which hold passwords, are gone when their job has ended, and cannot be run again with success.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_application::imports::ImportReport;
use portwright_domain::ErrorKind;
use portwright_domain::job::{JobId, JobState, TaskName, WorkerId};
use portwright_domain::ports::job_queue::LeaseRequest;
use portwright_domain::ports::{JobQueue, JobSource, ObjectKey, Store};
use portwright_memory::MemoryStore;
use portwright_testkit::faults::{Fault, Flaky, When};

use crate::transfers::{Office, file_of};

impl Office {
    async fn sweep(&self) {
        self.world.services.imports.sweep().await.expect("sweeping works");
    }

    async fn lease_as(&self, worker: &WorkerId) -> Vec<JobId> {
        let want = LeaseRequest {
            worker: worker.clone(),
            tasks: vec![(TaskName::parse("users.import").expect("a name"), 1)],
            queues: Vec::new(),
            max: 1,
            lease: Duration::from_secs(30),
            wait: Duration::ZERO,
        };
        let leased = self.world.queue.exchange(&[], &want).await.expect("exchange works").leased;
        leased.into_iter().map(|leased| leased.lease.job).collect()
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
async fn a_file_stays_while_its_job_could_be_run_again_with_success() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = Arc::new(Flaky::new(inner));
    let given = store.clone();
    let office = Office::with(|setup| setup.store = given).await;
    let id = office.submit(file_of(3)).await;
    store.cue(When::Every("store.commit"), Fault::Refuse(ErrorKind::Unavailable));
    for _ in 0..office.job(id).await.spec.max_attempts {
        office.world.clock.advance(Duration::from_mins(10));
        office.drain().await;
    }
    assert_eq!(office.job(id).await.state, JobState::Failed);
    office.sweep().await;
    assert_eq!(office.files().await.len(), 1, "outages took all tries");

    store.recover();
    assert!(office.world.queue.retry(id).await.expect("retry works"));
    office.drain().await;
    let report: ImportReport = Office::result(&office.job(id).await);
    assert_eq!(report, ImportReport { created: 3, ..ImportReport::default() });
    office.sweep().await;
    assert_eq!(office.files().await, [""; 0]);
}

#[tokio::test]
async fn a_file_that_was_kept_for_another_run_goes_with_its_job() {
    let office = Office::new().await;
    let id = office.submit(file_of(1)).await;
    let dead = WorkerId::parse("dead").expect("a name");
    for _ in 0..3 {
        let leased = office.lease_as(&dead).await;
        assert_eq!(leased, [id]);
        office.world.queue.bury(&dead).await.expect("bury works");
    }
    assert_eq!(office.job(id).await.state, JobState::Dead);
    office.sweep().await;
    assert_eq!(office.files().await.len(), 1);
    office.world.clock.advance(Duration::from_hours(24 * 7));
    office.world.queue.reclaim().await.expect("reclaim works");
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
