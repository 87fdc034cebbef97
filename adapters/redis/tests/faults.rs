//! What becomes of the queue when its server is frozen, demoted, forgetful or full. For servers that are killed see
//! `queue_kills`, for those that refuse something `refusals`.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod invariants;
mod work;

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::job::{Enqueued, JobState, Outcome};
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Settled};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::builders::JobBuilder;
use portwright_testkit::servers::{Redis, Stop};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::work::{SOON, done, job, queue_at, works_within};

const LONG: Duration = Duration::from_secs(30);

async fn queue_on(servers: &[&Redis]) -> Arc<RedisJobQueue> {
    queue_at(&servers.iter().map(|server| server.url()).collect::<Vec<_>>()).await
}

fn want(name: &str, max: u32, wait: Duration) -> LeaseRequest {
    work::want(name, max, LONG, wait)
}

/// Works until it is dropped, and loses no lease.
async fn work(queue: Arc<RedisJobQueue>, name: String) {
    work::work(queue, &name, LONG, |lease, settled| assert_eq!(settled, Settled::Accepted, "{lease:?}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_and_killed_connections_are_not_noticed_for_long() {
    let server = Redis::new();
    let queue = queue_on(&[&server]).await;
    let mut worker = JoinSet::new();
    worker.spawn(work(queue_on(&[&server]).await, "worker".to_owned()));
    works_within(&queue, 1, SOON).await;

    server.command("SCRIPT FLUSH");
    queue.enqueue(&[job(2)]).await.expect("nobody notices");
    works_within(&queue, 2, SOON).await;
    let call = {
        let queue = queue.clone();
        let slow = JobBuilder::number(3).of_task("test.other").build();
        tokio::task::JoinSet::from_iter([async move { queue.call(&slow, LONG).await }])
    };
    while queue.find(job(3).id).await.expect("find works").is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    server.command("CLIENT KILL TYPE normal SKIPME yes");
    works_within(&queue, 4, SOON).await;
    let other = LeaseRequest {
        tasks: vec![(JobBuilder::number(1).of_task("test.other").build().task, 1)],
        ..want("other", 1, LONG)
    };
    let leased = queue.exchange(&[], &other).await.expect("exchange works").leased;
    let settle: Vec<_> = leased.into_iter().map(done).collect();
    queue.exchange(&settle, &want("other", 0, Duration::ZERO)).await.expect("exchange works");
    let told = timeout(SOON, call.join_all()).await.expect("it was told");
    assert!(matches!(told.as_slice(), [Ok(Some(Outcome::Succeeded(_)))]), "{told:?}");
    worker.shutdown().await;
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_in_the_middle_of_a_job_costs_that_job_alone() {
    let server = Redis::new();
    let queue = queue_on(&[&server]).await;
    for torn in [1, 40, 400] {
        server.command("FLUSHALL");
        let jobs: Vec<_> = (1..=20).map(job).collect();
        for job in &jobs {
            assert_eq!(queue.enqueue(std::slice::from_ref(job)).await.expect("it is taken"), [Enqueued::New]);
        }
        server.stop(Stop::Kill);
        server.tear_log(torn);
        server.start();
        // Who keeps a list of its own, as an outbox is, enqueues all of them again.
        work::enqueue_stubbornly(&queue, &jobs[..1]).await;
        let mut lost = 0;
        for job in &jobs {
            let again = queue.enqueue(std::slice::from_ref(job)).await.expect("it is taken");
            lost += usize::from(again == [Enqueued::New]);
        }
        assert!((1..=2).contains(&lost), "{lost} jobs for {torn} bytes");
        assert_eq!(queue.queues().await.expect("queues works")[0].ready, 20);
        invariants::hold(&server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_is_longer_than_a_lease_takes_no_job_from_its_worker() {
    const LEASE: Duration = Duration::from_secs(3);
    // What was renewed last is known when it is back.
    let server = Redis::with_options(&["--appendfsync", "always"]);
    let queue = queue_on(&[&server]).await;
    queue.enqueue(&[job(1)]).await.expect("enqueue works");
    let want = work::want("worker", 1, LEASE, Duration::ZERO);
    let leased = queue.exchange(&[], &want).await.expect("exchange works").leased.remove(0);
    for killed in [true, false] {
        queue.renew(&want.worker, LEASE).await.expect("renew works");
        assert_eq!(queue.reclaim().await.expect("reclaim works"), 0);
        if killed {
            server.stop(Stop::Kill);
        } else {
            server.freeze();
        }
        sleep(LEASE).await;
        if killed {
            server.start();
        } else {
            server.thaw();
        }
        // Whoever looks for the dead is back before the worker.
        let look = async {
            loop {
                match queue.reclaim().await {
                    Ok(given_back) => break given_back,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        assert_eq!(timeout(SOON, look).await.expect("the queue is back"), 0);
        let held = queue.renew(&want.worker, LEASE).await.expect("renew works").held;
        assert_eq!(held, std::slice::from_ref(&leased.lease));
    }
    let settled = queue.exchange(&[done(leased)], &want).await.expect("exchange works").settled;
    assert_eq!(settled, [Settled::Accepted]);
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_new_primary_is_asked() {
    let primary = Redis::new();
    let replica = primary.replica();
    let queue = queue_on(&[&primary, &replica]).await;
    let mut worker = JoinSet::new();
    worker.spawn(work(queue_on(&[&replica, &primary]).await, "worker".to_owned()));
    works_within(&queue, 1, SOON).await;

    primary.command(&format!("FAILOVER TO 127.0.0.1 {}", replica.port()));
    while !replica.command("ROLE").starts_with("master") {
        sleep(Duration::from_millis(5)).await;
    }
    works_within(&queue, 2, SOON).await;
    // The demoted one may be gone for good.
    primary.stop(Stop::Kill);
    works_within(&queue, 3, SOON).await;
    assert_eq!(queue.find(job(1).id).await.expect("find works").expect("known").state, JobState::Succeeded);
    worker.shutdown().await;
    invariants::hold(&replica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_keeps_nobody_waiting() {
    let server = Redis::new();
    let queue = queue_on(&[&server]).await;
    let mut worker = JoinSet::new();
    worker.spawn(work(queue_on(&[&server]).await, "worker".to_owned()));
    works_within(&queue, 1, SOON).await;

    server.freeze();
    for number in 2..5 {
        let begun = Instant::now();
        let refused = queue.enqueue(&[job(number)]).await.expect_err("nobody answers");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(begun.elapsed() < Duration::from_millis(1_800), "{:?}", begun.elapsed());
    }
    server.thaw();
    works_within(&queue, 5, SOON).await;
    worker.shutdown().await;
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_wake_each_other() {
    let server = Redis::new();
    let (api, worker) = (queue_on(&[&server]).await, queue_on(&[&server]).await);
    let called = {
        let api = api.clone();
        JoinSet::from_iter([async move { api.call(&job(1), LONG).await }])
    };
    let patient = want("worker", 1, LONG);
    for number in 1..=200 {
        let later = async {
            // The job of the call is the first.
            if number > 1 {
                sleep(Duration::from_millis(1)).await;
                api.enqueue(&[job(number)]).await.expect("enqueue works");
            }
        };
        let (exchange, ()) = timeout(SOON, async { tokio::join!(worker.exchange(&[], &patient), later) })
            .await
            .expect("it was woken");
        let leased = exchange.expect("exchange works").leased;
        assert_eq!(leased.len(), 1);
        let settle: Vec<_> = leased.into_iter().map(done).collect();
        worker.exchange(&settle, &want("worker", 0, LONG)).await.expect("exchange works");
    }
    let told = timeout(SOON, called.join_all()).await.expect("it was told");
    assert!(matches!(told.as_slice(), [Ok(Some(_))]), "{told:?}");
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_of_a_cluster_leads_to_the_one_with_the_queue() {
    let members = Redis::cluster();
    for (number, member) in (1..).zip(&members) {
        let queue = queue_on(&[member]).await;
        assert_eq!(queue.enqueue(&[job(number)]).await.expect("enqueue works"), [Enqueued::New]);
        let leased = queue.exchange(&[], &want("worker", 5, LONG)).await.expect("exchange works").leased;
        assert_eq!(leased.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_refuses_new_jobs_and_lets_the_others_end() {
    let server = Redis::new();
    let queue = queue_on(&[&server]).await;
    queue.enqueue(&[job(1), job(2)]).await.expect("enqueue works");
    let leased = queue.exchange(&[], &want("worker", 1, LONG)).await.expect("exchange works").leased;
    server.command("CONFIG SET maxmemory 1mb");
    let settle: Vec<_> = leased.into_iter().map(done).collect();
    // Together, so that they may share a script.
    let worker = want("worker", 1, LONG);
    let (refused, exchanged) = tokio::join!(queue.enqueue(&[]), queue.exchange(&settle, &worker));
    refused.expect("nothing is asked for");
    assert_eq!(exchanged.expect("exchange works").settled, [Settled::Accepted]);
    let refused = queue.enqueue(&[job(3)]).await.expect_err("the memory is full");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("memory"), "{refused}");
    server.command("CONFIG SET maxmemory 0");
    queue.enqueue(&[job(3)]).await.expect("there is room");
    invariants::hold(&server);
}

#[tokio::test]
async fn a_queue_is_not_begun_where_its_jobs_may_be_lost() {
    let evicting = Redis::with_options(&["--maxmemory-policy", "allkeys-lru"]);
    let forgetful = Redis::without_aof();
    for (server, fix) in [(&evicting, "noeviction"), (&forgetful, "appendonly yes")] {
        let mut config = RedisConfig::at([server.url()]).expect("a URL");
        let refused = RedisJobQueue::init(&config, Limits::default()).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Misconfigured);
        assert!(refused.to_string().contains(fix), "{refused}");
        config.may_lose_jobs = true;
        RedisJobQueue::init(&config, Limits::default()).await.expect("it was agreed to");
    }
    let locked = Redis::with_options(&["--requirepass", "secret"]);
    for url in [locked.url(), locked.url().replace("//", "//:wrong@")] {
        let config = RedisConfig::at([url]).expect("a URL");
        let refused = RedisJobQueue::init(&config, Limits::default()).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Misconfigured, "{refused:?}");
    }
}
