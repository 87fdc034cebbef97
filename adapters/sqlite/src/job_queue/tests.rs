//! What this queue promises beyond the port.

use portwright_domain::job::{JobState, Stands};
use portwright_domain::ports::job_queue::{Settled, Verdict};
use portwright_testkit::ManualClock;
use portwright_testkit::builders::{JobBuilder, a_job, jobs};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

const LONG: Duration = Duration::from_secs(20);

async fn queue_in(folder: &TempDir, limits: Limits, clock: Arc<dyn Clock>) -> SqliteJobQueue {
    let config = SqliteConfig::at(folder.path().join("queue.db"));
    SqliteJobQueue::init(&config, limits, clock).await.expect("a queue")
}

async fn fresh() -> (TempDir, SqliteJobQueue) {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = queue_in(&folder, Limits::default(), Arc::new(ManualClock::default())).await;
    (folder, queue)
}

fn want(max: u32, wait: Duration) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::parse("one").expect("a name"),
        tasks: vec![(a_job().build().task, 1)],
        queues: Vec::new(),
        max,
        lease: Duration::from_secs(30),
        wait,
    }
}

async fn state(queue: &SqliteJobQueue, number: u32) -> Option<JobState> {
    let job = queue.find(JobBuilder::number(number).build().id).await.expect("find works");
    job.map(|job| job.state)
}

#[tokio::test]
async fn a_queue_that_is_opened_again_is_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::default());
    let limits = Limits { waiting: 5, ..Limits::default() };
    let queue = queue_in(&folder, limits, clock.clone()).await;
    let cpu = QueueName::parse("cpu").expect("a name");
    let later = clock.now().plus(Duration::from_mins(1));
    queue.enqueue(&jobs(2)).await.expect("enqueue works");
    let leased = queue.exchange(&[], &want(2, Duration::ZERO)).await.expect("exchange works").leased;
    let done = Verdict::Finish(Outcome::Cancelled);
    let settle = |lease: &Lease| Settlement { lease: lease.clone(), verdict: done.clone() };
    queue.exchange(&[settle(&leased[0].lease)], &want(0, Duration::ZERO)).await.expect("exchange works");
    let more = [
        JobBuilder::number(3).scheduled_for(later).build(),
        JobBuilder::number(4).in_queue("cpu").build(),
        JobBuilder::number(5).unique_by("key").of_task("test.other").build(),
    ];
    queue.enqueue(&more).await.expect("enqueue works");
    queue.set_paused(&cpu, true).await.expect("set_paused works");
    queue.close().await;

    let queue = queue_in(&folder, limits, clock.clone()).await;
    let states =
        [JobState::Cancelled, JobState::Running, JobState::Scheduled, JobState::Ready, JobState::Ready];
    for (number, expected) in (1..).zip(states) {
        assert_eq!(state(&queue, number).await, Some(expected), "job {number}");
    }
    let held = JobBuilder::number(6).unique_by("key").of_task("test.other").build();
    assert_eq!(queue.enqueue(&[held]).await.expect("enqueue works"), [Enqueued::Held(more[2].id)]);
    let three = [7, 8, 9].map(|number| JobBuilder::number(number).build());
    assert!(queue.enqueue(&three).await.is_err(), "three wait, so there is room for two");

    let exchange = queue.exchange(&[settle(&leased[1].lease)], &want(5, Duration::ZERO)).await;
    let exchange = exchange.expect("exchange works");
    assert_eq!(exchange.settled, [Settled::Accepted], "the lease is as good as before");
    assert!(exchange.leased.is_empty(), "what is ready is paused, or of another task");
    clock.advance(Duration::from_mins(1));
    let exchange = queue.exchange(&[], &want(5, LONG)).await.expect("exchange works");
    assert_eq!(exchange.leased[0].job, more[0]);
}

#[tokio::test]
async fn a_worker_that_waits_is_woken_when_a_scheduled_job_is_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(portwright_memory::SystemClock);
    let queue = queue_in(&folder, Limits::default(), clock.clone()).await;
    let soon = a_job().scheduled_for(clock.now().plus(Duration::from_millis(30))).build();
    queue.enqueue(std::slice::from_ref(&soon)).await.expect("enqueue works");
    let exchange = queue.exchange(&[], &want(1, LONG)).await.expect("exchange works");
    assert_eq!(exchange.leased[0].job, soon);
    assert!(clock.now() >= soon.scheduled_for.expect("it was scheduled"));
}

#[tokio::test]
async fn whoever_follows_a_scheduled_job_is_woken_when_it_is_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(portwright_memory::SystemClock);
    let queue = queue_in(&folder, Limits::default(), clock.clone()).await;
    let soon = a_job().scheduled_for(clock.now().plus(Duration::from_millis(500))).build();
    queue.enqueue(std::slice::from_ref(&soon)).await.expect("enqueue works");
    let seen = queue.find(soon.id).await.expect("find works").expect("it is known");
    assert_eq!(seen.state, JobState::Scheduled);
    let changed = queue.changed(&seen, Duration::from_secs(20));
    let changed = timeout(Duration::from_secs(10), changed).await.expect("it was woken");
    assert_eq!(changed.expect("changed works").expect("it is known").state, JobState::Ready);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_recovers() {
    let (_folder, queue) = fresh().await;
    queue.enqueue(&jobs(1)).await.expect("enqueue works");
    let leased = queue.exchange(&[], &want(1, Duration::ZERO)).await.expect("exchange works").leased;
    // SQLite reports this limit as it reports a full disk.
    let limit = async |pages: u32| {
        let set = queue.ask("test", move |tick| tick.connection.pragma_update(None, "max_page_count", pages));
        set.await.expect("a limit");
    };
    limit(60).await;
    let large = JobBuilder::number(2).with_payload(vec![7; NewJob::MAX_PAYLOAD]).build();
    let full = queue.enqueue(std::slice::from_ref(&large)).await.expect_err("the disk is full");
    assert_eq!((full.kind(), full.detail()), (ErrorKind::Unavailable, "the disk is full"));
    assert_eq!(state(&queue, 2).await, None);

    let settle = Settlement { lease: leased[0].lease.clone(), verdict: Verdict::Release };
    let exchange = queue.exchange(&[settle], &want(0, Duration::ZERO)).await.expect("this needs no room");
    assert_eq!(exchange.settled, [Settled::Accepted]);
    limit(1_000_000).await;
    assert_eq!(queue.enqueue(&[large]).await.expect("there is room again"), [Enqueued::New]);
}

#[tokio::test]
async fn nobody_fails_for_another_in_the_same_transaction() {
    let (_folder, queue) = fresh().await;
    let queue = Arc::new(queue);
    let mut all = JoinSet::new();
    for job in jobs(100) {
        let (good, bad) = (queue.clone(), queue.clone());
        all.spawn(async move { good.enqueue(&[job]).await.is_ok() });
        let fail = |_: &mut Tick<'_>| Err::<(), _>(rusqlite::Error::InvalidQuery);
        all.spawn(async move { bad.ask("test", fail).await.is_err() });
    }
    assert!(all.join_all().await.into_iter().all(|as_expected| as_expected));
    let leased = queue.exchange(&[], &want(200, Duration::ZERO)).await.expect("exchange works").leased;
    assert_eq!(leased.len(), 100);
}

#[tokio::test]
async fn what_does_not_parse_is_corrupt() {
    let (_folder, queue) = fresh().await;
    queue.enqueue(&jobs(1)).await.expect("enqueue works");
    let spoil =
        queue.ask("test", |tick| tick.connection.execute("UPDATE jobs SET state = 5, cause = 'boredom'", []));
    spoil.await.expect("spoilt");
    let refused = queue.find(a_job().build().id).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
}

#[tokio::test]
async fn a_job_that_does_not_parse_fails_only_those_who_lease_it() {
    let (_folder, queue) = fresh().await;
    let waiting = want(1, LONG);
    let mut waiting = std::pin::pin!(queue.exchange(&[], &waiting));
    assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err(), "there is nothing to do");
    let spoil = queue.ask("test", |tick| {
        tick.enqueue(&jobs(1))?.expect("there is room");
        tick.connection.execute("UPDATE jobs SET priority = 99", [])
    });
    let (_, refused) = tokio::join!(spoil, waiting);
    assert_eq!(refused.expect_err("refused").kind(), ErrorKind::Corrupt);
    assert_eq!(queue.enqueue(&jobs(2)[1..]).await.expect("enqueue works"), [Enqueued::New]);
    assert_eq!(state(&queue, 2).await, Some(JobState::Ready));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_small_also_under_readers_that_never_pause() {
    let (folder, queue) = fresh().await;
    let queue = Arc::new(queue);
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let queue = queue.clone();
        readers.spawn(async move {
            loop {
                queue.queues().await.expect("queues works");
            }
        });
    }
    let mut largest = 0;
    for batch in 0..20 {
        // 8 MiB.
        let batch: Vec<_> = (0..32)
            .map(|number| {
                JobBuilder::number(batch * 32 + number).with_payload(vec![7; NewJob::MAX_PAYLOAD]).build()
            })
            .collect();
        queue.enqueue(&batch).await.expect("enqueue works");
        let log = std::fs::metadata(folder.path().join("queue.db-wal")).expect("a log");
        largest = largest.max(log.len());
    }
    assert!(largest < 80 << 20, "{largest} bytes of 160 MiB");
    readers.abort_all();
}

#[tokio::test]
async fn a_queue_that_is_closed_has_folded_its_log_and_answers_nothing_more() {
    let (folder, queue) = fresh().await;
    queue.enqueue(&jobs(1)).await.expect("enqueue works");
    queue.find(a_job().build().id).await.expect("find works");
    queue.close().await;
    queue.close().await;
    assert!(!folder.path().join("queue.db-wal").exists());
    let refusals = [
        queue.enqueue(&jobs(2)).await.err(),
        queue.find(a_job().build().id).await.err(),
        queue.exchange(&[], &want(1, Duration::ZERO)).await.err(),
        queue.exchange(&[], &want(1, LONG)).await.err(),
        queue.reclaim().await.err(),
    ];
    for refused in refusals {
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Unavailable));
    }
}

#[tokio::test]
async fn every_part_of_a_life_is_stored() {
    let (_folder, queue) = fresh().await;
    queue.enqueue(&jobs(1)).await.expect("enqueue works");
    let moment = portwright_domain::Timestamp::from_unix_micros;
    let (id, worker) = (a_job().build().id, WorkerId::parse("one").expect("a name"));
    for stands in [
        Stands::Scheduled(moment(11)),
        Stands::Running(worker),
        Stands::Ended(Outcome::Cancelled, moment(12)),
    ] {
        let step = queue.ask("test", move |tick| {
            let record = record::find(tick.connection, id)?.expect("it is there");
            let life = portwright_domain::job::Life {
                stands: stands.clone(),
                since: moment(1),
                attempts: 2,
                run: portwright_domain::job::Run(3),
                settled: Some(portwright_domain::job::Run(4)),
                cancel: true,
                suspect: true,
                strikes: 5,
                struck_at: Some(moment(6)),
                started_at: Some(moment(7)),
            };
            tick.step(record, |stored| *stored = life.clone())?;
            Ok((record::find(tick.connection, id)?.expect("it is there").life, life))
        });
        let ((read, written), _) = step.await.expect("it works");
        assert_eq!(read, written);
    }
}
