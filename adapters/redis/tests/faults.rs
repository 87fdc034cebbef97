//! What becomes of the queue when its server is killed, frozen, demoted, forgetful or full.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod invariants;

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::job::{Enqueued, JobId, JobState, LeasedJob, NewJob, Outcome, WorkerId};
use portwright_domain::ports::job_queue::{LeaseRequest, Limits, Settled, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::builders::{JobBuilder, a_job};
use portwright_testkit::servers::{Redis, Stop};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How soon the queue works again once its server does.
const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(30);

async fn queue_on(servers: &[&Redis]) -> Arc<RedisJobQueue> {
    let config = RedisConfig::at(servers.iter().map(|server| server.url())).expect("URLs");
    Arc::new(RedisJobQueue::init(&config, Limits::default()).await.expect("a queue"))
}

fn job(number: u32) -> NewJob {
    JobBuilder::number(number).build()
}

fn want(name: &str, max: u32, wait: Duration) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::parse(name).expect("a name"),
        tasks: vec![(a_job().build().task, 1)],
        queues: Vec::new(),
        max,
        lease: Duration::from_mins(1),
        wait,
    }
}

fn echo(leased: LeasedJob) -> Settlement {
    Settlement { lease: leased.lease, verdict: Verdict::Finish(Outcome::Succeeded(leased.job.payload)) }
}

/// Enqueues until it is acknowledged.
async fn enqueue_stubbornly(queue: &RedisJobQueue, job: &NewJob) {
    while let Err(refused) = queue.enqueue(std::slice::from_ref(job)).await {
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Works until it is dropped, as a worker does: what could not be settled is settled again.
async fn work(queue: Arc<RedisJobQueue>, name: String) {
    let mut settle = Vec::new();
    loop {
        match queue.exchange(&settle, &want(&name, 8, Duration::from_millis(500))).await {
            Ok(exchange) => {
                assert!(exchange.settled.iter().all(|settled| *settled == Settled::Accepted));
                settle = exchange.leased.into_iter().map(echo).collect();
            }
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
                sleep(Duration::from_millis(5)).await;
                // What was leased with an answer that was lost is not known here.
                if let Ok(renewal) = queue.renew(&want(&name, 1, LONG).worker, LONG).await {
                    let lost = renewal.held.into_iter().filter(|held| {
                        !settle.iter().any(|settlement: &Settlement| settlement.lease == *held)
                    });
                    let release = |lease| Settlement { lease, verdict: Verdict::Release };
                    let lost: Vec<_> = lost.map(release).collect();
                    queue.exchange(&lost, &want(&name, 0, Duration::ZERO)).await.ok();
                }
            }
        }
    }
}

async fn succeeded(queue: &RedisJobQueue, id: JobId) {
    let deadline = Instant::now() + LONG;
    loop {
        if let Ok(found) = queue.find(id).await {
            let job = found.expect("what was acknowledged is known");
            if job.state == JobState::Succeeded {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{id} was not finished");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A job goes through the queue within this time from now.
async fn works_within(queue: &Arc<RedisJobQueue>, number: u32, within: Duration) {
    let begun = Instant::now();
    let passes = async {
        enqueue_stubbornly(queue, &job(number)).await;
        succeeded(queue, job(number).id).await;
    };
    timeout(within, passes).await.unwrap_or_else(|_| panic!("still nothing after {:?}", begun.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    // With `everysec`, Redis holds back what it acknowledged while the disk is slow to sync.
    let server = Redis::with_options(&["--appendfsync", "always"]);
    let queue = queue_on(&[&server]).await;
    let mut workers = JoinSet::new();
    for number in 1..=2 {
        workers.spawn(work(queue_on(&[&server]).await, format!("worker-{number}")));
    }
    let mut last = 0;
    for _ in 0..3 {
        let mut producers = JoinSet::new();
        for producer in 0..4 {
            let queue = queue.clone();
            let numbers = last + producer * 100..last + producer * 100 + 100;
            producers.spawn(async move {
                for number in numbers {
                    enqueue_stubbornly(&queue, &job(number + 1)).await;
                }
            });
        }
        last += 400;
        succeeded_some(&queue, last - 399).await;
        server.stop(Stop::Kill);
        server.start();
        last += 1;
        works_within(&queue, last, SOON).await;
        while let Some(done) = producers.join_next().await {
            done.expect("no panic");
        }
    }
    for number in 1..=last {
        succeeded(&queue, job(number).id).await;
    }
    assert!(workers.try_join_next().is_none(), "they are at work");
    workers.shutdown().await;
    invariants::hold(&server);
}

/// Until this one is there, so that what follows happens in the middle of something.
async fn succeeded_some(queue: &RedisJobQueue, number: u32) {
    while queue.find(job(number).id).await.expect("find works").is_none() {
        sleep(Duration::from_millis(1)).await;
    }
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
    let settle: Vec<_> = leased.into_iter().map(echo).collect();
    queue.exchange(&settle, &want("other", 0, Duration::ZERO)).await.expect("exchange works");
    let told = timeout(SOON, call.join_all()).await.expect("it was told");
    assert!(matches!(told.as_slice(), [Ok(Some(Outcome::Succeeded(_)))]), "{told:?}");
    worker.shutdown().await;
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
        let settle: Vec<_> = leased.into_iter().map(echo).collect();
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
    let settle: Vec<_> = leased.into_iter().map(echo).collect();
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
