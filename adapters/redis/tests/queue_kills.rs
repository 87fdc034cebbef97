//! Workers, servers and wires fail again and again under load, and every job is done once. `TEST_SIZE=full` does so for
//! 50,000 jobs, 200 workers and 50 servers that are killed, 20 failovers, and wires that are silent for 10 seconds.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod fleet;
mod invariants;
mod work;

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::Outcome;
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_redis::RedisJobQueue;
use portwright_testkit::proxy::{Proxy, Trouble};
use portwright_testkit::servers::{Redis, Stop};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::fleet::{Fleet, is_worker, sized};
use self::work::{SOON, enqueue_stubbornly, job, queue_at, works_within};

const LONG: Duration = Duration::from_secs(30);
/// How long Redis holds back what it acknowledged while the disk syncs, and a little more.
const HELD_BACK: Duration = Duration::from_millis(2_500);

/// Enqueues so many more jobs from several places at once, some of them one by one, while the test goes on.
fn produce(queue: &Arc<RedisJobQueue>, last: &mut u32, many: u32) -> JoinSet<()> {
    const BATCHES: [u32; 4] = [1, 1, 5, 20];
    let numbers: Vec<u32> = (*last + 1..=*last + many).collect();
    *last += many;
    let share = numbers.len().div_ceil(BATCHES.len()).max(1);
    let mut producers = JoinSet::new();
    for (numbers, batch) in numbers.chunks(share).zip(BATCHES) {
        let (queue, numbers) = (queue.clone(), numbers.to_vec());
        producers.spawn(async move {
            for numbers in numbers.chunks(batch as usize) {
                let jobs: Vec<_> = numbers.iter().map(|number| job(*number)).collect();
                enqueue_stubbornly(&queue, &jobs).await;
            }
        });
    }
    producers
}

async fn finished(mut producers: JoinSet<()>) {
    while let Some(producer) = producers.join_next().await {
        producer.expect("no panic");
    }
}

/// A bit longer each time, so that the faults meet every moment of a round.
fn a_while(round: u32) -> Duration {
    Duration::from_micros(u64::from(round) * 7_919 % 20_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_killed_workers_are_done_once() {
    if is_worker().await {
        return;
    }
    let (kills, jobs) = (sized(12, 200), sized(120, 100));
    let server = Redis::new();
    let servers = [server.url()];
    let mut fleet = Fleet::new("the_jobs_of_killed_workers_are_done_once", &servers).await;
    (0..4).for_each(|_| fleet.start(&servers));
    let (queue, mut last) = (queue_at(&servers).await, 0);
    for round in 0..kills {
        let done = fleet.done();
        let producers = produce(&queue, &mut last, jobs);
        fleet.has_done(done + 10).await;
        sleep(a_while(round)).await;
        let dead = fleet.kill();
        // Half of them have somebody who knows at once, the others are noticed by their leases.
        if round % 2 == 0 {
            queue.bury(&dead).await.expect("bury works");
        }
        finished(producers).await;
    }
    fleet.has_done_all(&queue, last).await;
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_lose_nothing_that_was_acknowledged() {
    if is_worker().await {
        return;
    }
    let (kills, jobs) = (sized(4, 50), sized(150, 300));
    let server = Redis::with_options(&["--appendfsync", "always"]);
    let servers = [server.url()];
    let mut fleet = Fleet::new("killed_servers_lose_nothing_that_was_acknowledged", &servers).await;
    (0..3).for_each(|_| fleet.start(&servers));
    let (queue, mut last) = (queue_at(&servers).await, 0);
    for round in 0..kills {
        let done = fleet.done();
        let producers = produce(&queue, &mut last, jobs);
        fleet.has_done(done + 10).await;
        sleep(a_while(round)).await;
        server.stop(Stop::Kill);
        server.start();
        last += 1;
        works_within(&queue, last, SOON).await;
        finished(producers).await;
    }
    fleet.has_done_all(&queue, last).await;
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_everysec_a_killed_server_loses_two_seconds_at_most() {
    if is_worker().await {
        return;
    }
    let (kills, jobs) = (sized(2, 50), sized(200, 300));
    let server = Redis::new();
    let servers = [server.url()];
    let mut fleet = Fleet::new("with_everysec_a_killed_server_loses_two_seconds_at_most", &servers).await;
    (0..3).for_each(|_| fleet.start(&servers));
    let (queue, mut last, mut missing) = (queue_at(&servers).await, 0, 0);
    let mut acknowledged = Vec::new();
    for round in 0..kills {
        let done = fleet.done();
        let mut producers = JoinSet::new();
        for first in (last + 1..=last + jobs).step_by(jobs as usize / 4) {
            let queue = queue.clone();
            producers.spawn(async move {
                let mut acknowledged = Vec::new();
                for number in first..first + jobs / 4 {
                    enqueue_stubbornly(&queue, &[job(number)]).await;
                    acknowledged.push((number, Instant::now()));
                }
                acknowledged
            });
        }
        last += jobs;
        fleet.has_done(done + 10).await;
        sleep(a_while(round)).await;
        let killed = Instant::now();
        server.stop(Stop::Kill);
        server.start();
        works_within(&queue, 1_000_000 + round, SOON).await;
        acknowledged.extend(producers.join_all().await.into_iter().flatten());
        // What is older is looked for at the end.
        let recent = |at: &Instant| killed.saturating_duration_since(*at) < HELD_BACK;
        for (number, at) in acknowledged.iter_mut().filter(|(_, at)| recent(at)) {
            if queue.find(job(*number).id).await.expect("find works").is_none() {
                missing += 1;
                // As whoever keeps a record of what was asked for does.
                enqueue_stubbornly(&queue, &[job(*number)]).await;
                *at = Instant::now();
            }
        }
    }
    for number in 1..=last {
        let outcome = queue.outcome(job(number).id, LONG).await.expect("it answers");
        assert!(matches!(outcome, Some(Outcome::Succeeded(_))), "job {number} is not done: {outcome:?}");
    }
    println!("{missing} of {last} jobs were missing and enqueued again, with {kills} kills");
    drop(fleet);
    invariants::hold(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_lose_no_job() {
    if is_worker().await {
        return;
    }
    let (failovers, jobs) = (sized(3, 20), sized(150, 500));
    let always = ["--appendfsync", "always"];
    let first = Redis::with_options(&always);
    let second = first.replica();
    second.command("CONFIG SET appendfsync always");
    let servers = [first.url(), second.url()];
    let mut fleet = Fleet::new("failovers_lose_no_job", &servers).await;
    (0..3).for_each(|_| fleet.start(&servers));
    let (queue, mut last) = (queue_at(&servers).await, 0);
    let (mut primary, mut replica) = (&first, &second);
    for round in 0..failovers {
        until(|| primary.command("INFO replication").contains("state=online")).await;
        let done = fleet.done();
        let producers = produce(&queue, &mut last, jobs);
        fleet.has_done(done + 10).await;
        sleep(a_while(round)).await;
        primary.command(&format!("FAILOVER TO 127.0.0.1 {}", replica.port()));
        until(|| replica.command("ROLE").starts_with("master")).await;
        last += 1;
        works_within(&queue, last, SOON).await;
        finished(producers).await;
        (primary, replica) = (replica, primary);
    }
    fleet.has_done_all(&queue, last).await;
    invariants::hold(primary);
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it takes too long");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wires_that_fall_silent_lose_no_job() {
    if is_worker().await {
        return;
    }
    let (rounds, silence) = (sized(2, 4), Duration::from_millis(u64::from(sized(1_500, 10_000))));
    let jobs = sized(200, 1_250);
    let server = Redis::new();
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(Proxy::to(server.port()).await);
    }
    let urls: Vec<_> = wires.iter().map(|wire| [format!("redis://127.0.0.1:{}", wire.port())]).collect();
    let mut fleet = Fleet::new("wires_that_fall_silent_lose_no_job", &[server.url()]).await;
    urls.iter().skip(1).for_each(|worker| fleet.start(worker));
    let (queue, mut last) = (queue_at(&urls[0]).await, 0);
    for round in 0..rounds {
        let done = fleet.done();
        let producers = produce(&queue, &mut last, jobs);
        fleet.has_done(done + 10).await;
        // All of them, or one worker whose jobs are for another meanwhile.
        let silent = if round % 2 == 0 { &wires[..] } else { &wires[1..2] };
        for wire in silent {
            wire.trouble(Trouble::Blackhole);
        }
        sleep(silence).await;
        silent.iter().for_each(Proxy::heal);
        last += 1;
        works_within(&queue, last, SOON).await;
        finished(producers).await;
    }
    fleet.has_done_all(&queue, last).await;
    invariants::hold(&server);
}
