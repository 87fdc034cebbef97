//! A Redis that refuses something, or answers late, has other users or forgets everything: what the queue says to it, and
//! that it goes on by itself.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod invariants;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::job::{Enqueued, Outcome};
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_memory::SystemClock;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::builders::JobBuilder;
use portwright_testkit::proxy::{Proxy, Trouble};
use portwright_testkit::servers::{Redis, Stop};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::work::{SOON, job, queue_at, want, work, works_within};

const LEASE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);

/// A worker in this process, for as long as this value lives.
async fn worker_at(server: &str) -> JoinSet<()> {
    let queue = queue_at(&[server.to_owned()]).await;
    let mut worker = JoinSet::new();
    worker.spawn(async move { work(queue, "worker", LEASE, |_, _| {}).await });
    worker
}

/// How a job ends that no worker ever lost.
fn in_its_first_run() -> Outcome {
    Outcome::Succeeded(1_u64.to_be_bytes().to_vec().into())
}

async fn refusal_at(url: String) -> String {
    let config = RedisConfig::at([url]).expect("a URL");
    let refused = RedisJobQueue::init(&config, Limits::default()).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Misconfigured, "{refused:?}");
    refused.to_string()
}

#[tokio::test]
async fn a_user_who_may_not_do_all_is_told_what_is_missing() {
    let server = Redis::new();
    server.command("ACL SETUSER shop on >secret ~{portwright}:* +@all -xadd -hset");
    let url = server.url().replace("//", "//shop:secret@");
    let refused = refusal_at(url.clone()).await;
    assert!(refused.contains("may not run HSET, XADD on keys that begin with {portwright}:"), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
    server.command("ACL SETUSER shop resetkeys ~shop:* +@all");
    refusal_at(url.clone()).await;
    // What the README says that such a user needs.
    server.command(
        "ACL SETUSER shop resetkeys -@all ~{portwright}:* +eval +evalsha +exists +ping +info +role +xread",
    );
    server.command(
        "ACL SETUSER shop +type +time +get +set +pexpire +@hash +@sortedset +@set +@list +xadd +xtrim",
    );
    let queue = queue_at(std::slice::from_ref(&url)).await;
    let _worker = worker_at(&url).await;
    works_within(&queue, 1, SOON).await;
}

#[tokio::test]
async fn a_namespace_that_another_program_uses_is_refused() {
    let server = Redis::new();
    server.command("RPUSH {portwright}:spec theirs");
    let refused = refusal_at(server.url()).await;
    assert!(refused.contains("another program uses {portwright}:spec"), "{refused}");
    assert_eq!(server.command("LRANGE {portwright}:spec 0 -1"), "theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_turns_into_something_else_is_corrupt_until_it_is_gone() {
    let server = Redis::new();
    let queue = queue_at(&[server.url()]).await;
    let _worker = worker_at(&server.url()).await;
    server.command("SET {portwright}:unique theirs");
    let unique = JobBuilder::number(1).unique_by("one").build();
    let refused = queue.enqueue(std::slice::from_ref(&unique)).await.expect_err("it cannot be looked up");
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused:?}");
    works_within(&queue, 2, SOON).await;
    server.command("DEL {portwright}:unique");
    assert_eq!(queue.enqueue(&[unique]).await.expect("enqueue works"), [Enqueued::New]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_enqueued_by_many_processes_at_once_is_one_job() {
    let server = Redis::new();
    let mut storm = JoinSet::new();
    for _ in 0..4 {
        let queue = queue_at(&[server.url()]).await;
        for _ in 0..250 {
            let queue = queue.clone();
            storm.spawn(async move { queue.enqueue(&[job(1)]).await.expect("enqueue works") });
        }
    }
    let answers = storm.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == [Enqueued::New]).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == [Enqueued::Known]).count(), 999);
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_give_back_the_jobs_of_the_dead_at_once_give_each_back_once() {
    let server = Redis::new();
    let (one, other) = (queue_at(&[server.url()]).await, queue_at(&[server.url()]).await);
    let jobs: Vec<_> = (1..=100).map(job).collect();
    one.enqueue(&jobs).await.expect("enqueue works");
    assert_eq!(one.reclaim().await.expect("reclaim works"), 0);
    let short = want("dead", 100, Duration::from_millis(1), Duration::ZERO);
    assert_eq!(one.exchange(&[], &short).await.expect("exchange works").leased.len(), 100);
    sleep(Duration::from_millis(5)).await;
    let (first, second) = tokio::join!(one.reclaim(), other.reclaim());
    assert_eq!(first.expect("reclaim works") + second.expect("reclaim works"), 100);
    let queues = one.queues().await.expect("queues works");
    assert_eq!((queues[0].ready, queues[0].running), (100, 0));
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_place_for_one_more_client_keeps_those_it_has() {
    let server = Redis::new();
    let queue = queue_at(&[server.url()]).await;
    let worker = worker_at(&server.url()).await;
    works_within(&queue, 1, SOON).await;
    // Each queue has two connections, and `redis-cli` comes and goes.
    server.command("CONFIG SET maxclients 5");
    let config = RedisConfig::at([server.url()]).expect("a URL");
    let refused = async || match RedisJobQueue::init(&config, Limits::default()).await {
        Ok(_) => panic!("there was a place"),
        Err(refused) => refused,
    };
    let holding = std::net::TcpStream::connect(("127.0.0.1", server.port())).expect("the last place");
    while refused().await.kind() != ErrorKind::Unavailable {
        sleep(Duration::from_millis(5)).await;
    }
    works_within(&queue, 2, SOON).await;
    drop(holding);
    drop(worker);
    server.command("CONFIG SET maxclients 1000");
    server.command("CLIENT KILL TYPE normal SKIPME yes");
    let _worker = worker_at(&server.url()).await;
    works_within(&queue, 3, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_everything_new_until_there_is_room() {
    let server = Redis::new();
    let queue = queue_at(&[server.url()]).await;
    let _worker = worker_at(&server.url()).await;
    works_within(&queue, 1, SOON).await;

    server.fill_disk();
    let deadline = Instant::now() + LONG;
    let (mut last, mut acknowledged) = (1, Vec::new());
    // What Redis could not write any more is told with the next write.
    let refused = loop {
        last += 1;
        match queue.enqueue(&[job(last)]).await {
            Ok(_) => acknowledged.push(last),
            Err(refused) => break refused,
        }
        assert!(Instant::now() < deadline, "the disk is not full");
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("disk"), "{refused}");

    server.empty_disk();
    works_within(&queue, 1_000_000, SOON + SOON).await;
    for number in acknowledged {
        assert!(queue.find(job(number).id).await.expect("find works").is_some(), "job {number} is lost");
    }
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_slow_and_nothing_else() {
    let server = Redis::new();
    let wire = Proxy::to(server.port()).await;
    let url = format!("redis://127.0.0.1:{}", wire.port());
    let queue = queue_at(std::slice::from_ref(&url)).await;
    let worker = worker_at(&url).await;
    wire.trouble(Trouble::Delay(Duration::from_millis(100)));
    let mut took = Vec::new();
    for number in 1..=10 {
        let begun = Instant::now();
        queue.enqueue(&[job(number)]).await.expect("it answers in the end");
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let (usual, slowest) = (took[4], took[9]);
    assert!(usual > Duration::from_millis(200) && usual < Duration::from_millis(250), "{took:?}");
    assert!(slowest < Duration::from_millis(450), "{took:?}");
    for number in 1..=10 {
        let outcome = queue.outcome(job(number).id, LONG).await.expect("it answers");
        assert_eq!(outcome, Some(in_its_first_run()), "job {number}");
    }
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fell_due_while_the_server_was_away_runs_once_when_it_is_back() {
    let server = Redis::with_options(&["--appendfsync", "always"]);
    let queue = queue_at(&[server.url()]).await;
    let (starts, worker) = (Arc::new(AtomicU32::new(0)), queue_at(&[server.url()]).await);
    let mut working = JoinSet::new();
    let counted = starts.clone();
    working.spawn(async move {
        let count = |_: &_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        work(worker, "worker", LEASE, count).await;
    });
    let due = SystemClock.now().plus(Duration::from_millis(300));
    let later = JobBuilder::number(1).scheduled_for(due).build();
    queue.enqueue(std::slice::from_ref(&later)).await.expect("enqueue works");
    server.stop(Stop::Kill);
    sleep(Duration::from_millis(600)).await;
    server.start();
    let done = async {
        loop {
            if let Ok(Some(outcome)) = queue.outcome(later.id, LONG).await {
                break outcome;
            }
        }
    };
    assert!(matches!(timeout(SOON, done).await.expect("it runs soon"), Outcome::Succeeded(_)));
    // Whatever was left of it would come before the next.
    works_within(&queue, 2, SOON).await;
    while starts.load(Ordering::Relaxed) < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_everything_starts_anew() {
    let server = Redis::new();
    let queue = queue_at(&[server.url()]).await;
    let _worker = worker_at(&server.url()).await;
    works_within(&queue, 1, SOON).await;
    let waiting = {
        let (queue, other) = (queue.clone(), JobBuilder::number(2).of_task("test.other").build());
        let asked = Arc::new(tokio::sync::Notify::new());
        let called = JoinSet::from_iter([{
            let (queue, asked) = (queue.clone(), asked.clone());
            async move {
                queue.enqueue(std::slice::from_ref(&other)).await.expect("enqueue works");
                asked.notify_one();
                queue.outcome(other.id, Duration::from_secs(3)).await
            }
        }]);
        asked.notified().await;
        called
    };
    server.command("FLUSHALL");
    works_within(&queue, 3, SOON).await;
    assert_eq!(queue.find(job(1).id).await.expect("find works"), None);
    // Whoever waits for what is gone waits no longer than was agreed.
    let told = timeout(Duration::from_secs(4), waiting.join_all()).await.expect("it comes to an end");
    assert!(matches!(told.as_slice(), [Ok(None)]), "{told:?}");
    invariants::hold(&server);
}
