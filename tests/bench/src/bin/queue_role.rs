//! One part in a comparison of queues in Redis, in which every product has a program like this one: it produces, works,
//! or calls, and prints lines of JSON about it. Times are seconds of the Unix clock, which all processes share.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use portwright_bench::jobs::{Jobs, want};
use portwright_bench::load::percentile;
use portwright_domain::job::{NewJob, Outcome};
use portwright_domain::ports::job_queue::{Limits, Retention, Settlement, Verdict};
use portwright_domain::ports::{Clock, JobQueue, JobSource};
use portwright_memory::SystemClock;
use portwright_redis::{RedisConfig, RedisJobQueue};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[derive(Parser)]
struct Options {
    role: Role,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Nothing is to be prepared.
    Setup,
    /// Enqueues jobs one by one, from many places at once.
    Produce,
    /// Enqueues jobs, many in each call.
    Bulk,
    /// Does jobs for ever, and says when it has done all.
    Work,
    /// Calls that wait for their result, one after another.
    Rtt,
    /// Calls that wait for their result, from many places at once.
    Calls,
}

#[derive(clap::Args, Clone)]
struct Settings {
    #[arg(long, env = "URL", default_value = "redis://127.0.0.1:6379")]
    url: String,
    /// The namespace of the keys.
    #[arg(long, env = "QUEUE", default_value = "bench")]
    queue: String,
    /// Jobs, or calls.
    #[arg(long, env = "N", default_value_t = 20_000)]
    jobs: usize,
    /// Places, of producers, callers or the worker.
    #[arg(long, env = "CONC", default_value_t = 32)]
    places: usize,
    /// Jobs in each call of `bulk`.
    #[arg(long, env = "BULK", default_value_t = 500)]
    batch: usize,
    /// Calls of `rtt` before those that count.
    #[arg(long, env = "WARM", default_value_t = 20)]
    warm: usize,
    /// What is kept of jobs that are done.
    #[arg(long, env = "KEEP", default_value = "remove")]
    keep: Keep,
}

#[derive(Clone, Copy, ValueEnum)]
enum Keep {
    /// Nothing.
    Remove,
    /// The last thousand.
    Last,
    /// What is kept usually.
    All,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { role, settings } = Options::parse();
    let mut config = RedisConfig::at([&settings.url])?.in_namespace(&settings.queue)?;
    // What is measured may be lost.
    config.may_lose_jobs = true;
    let day = Duration::from_hours(24);
    let succeeded = match settings.keep {
        Keep::Remove => Retention { jobs: 0, age: day },
        Keep::Last => Retention { jobs: 1_000, age: day },
        Keep::All => Limits::default().succeeded,
    };
    let limits = Limits { waiting: u64::MAX / 2, succeeded, ..Limits::default() };
    let queue = Arc::new(RedisJobQueue::init(&config, limits).await?);
    match role {
        Role::Setup => {}
        Role::Produce => produce(&queue, &settings, settings.places, 1).await,
        Role::Bulk => produce(&queue, &settings, 1, settings.batch).await,
        Role::Work => work(&queue, &settings).await,
        Role::Rtt => {
            call(&queue, settings.warm, 1).await;
            let took = call(&queue, settings.jobs, 1).await;
            let [half, most] = [0.5, 0.99].map(|share| percentile(&took, share));
            println!("{}", json!({ "event": "rtt", "p50": half, "p99": most, "n": took.len() }));
        }
        Role::Calls => {
            let start = now();
            call(&queue, settings.jobs, settings.places).await;
            println!("{}", json!({ "event": "called", "start": start, "end": now(), "n": settings.jobs }));
        }
    }
    Ok(())
}

fn now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of this century are exact")]
    let micros = SystemClock.now().unix_micros() as f64;
    micros / 1e6
}

/// A job with 64 bytes of JSON.
fn job(jobs: &Jobs, number: usize) -> NewJob {
    let payload = json!({ "id": 10_000_000 + number, "pad": "x".repeat(40) }).to_string();
    NewJob { payload: payload.into(), ..jobs.next() }
}

async fn produce(queue: &Arc<RedisJobQueue>, settings: &Settings, places: usize, batch: usize) {
    let (jobs, all, next) = (Jobs::new(), settings.jobs, Arc::new(AtomicUsize::new(0)));
    let start = now();
    let mut producers = JoinSet::new();
    for _ in 0..places {
        let (queue, jobs, next) = (queue.clone(), jobs.clone(), next.clone());
        producers.spawn(async move {
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= all {
                    break;
                }
                let some: Vec<_> = (first..all.min(first + batch)).map(|number| job(&jobs, number)).collect();
                queue.enqueue(&some).await.expect("it takes jobs");
            }
        });
    }
    producers.join_all().await;
    println!("{}", json!({ "event": "produced", "start": start, "end": now(), "n": all }));
}

/// Reads what it is given, and answers a number of it.
fn handle(payload: &[u8]) -> Bytes {
    let read: serde_json::Value = serde_json::from_slice(payload).expect("what was enqueued");
    read["id"].to_string().into()
}

async fn work(queue: &Arc<RedisJobQueue>, settings: &Settings) {
    let want = want(&format!("worker-{}", std::process::id()), settings.places);
    let (mut settle, mut done, mut first) = (Vec::new(), 0, None);
    println!("{}", json!({ "event": "ready", "at": now() }));
    loop {
        let exchange = queue.exchange(&settle, &want).await.expect("it exchanges");
        settle.clear();
        for leased in exchange.leased {
            let first = *first.get_or_insert_with(now);
            let result = Outcome::Succeeded(handle(&leased.job.payload));
            settle.push(Settlement { lease: leased.lease, verdict: Verdict::Finish(result) });
            done += 1;
            if done == settings.jobs {
                println!("{}", json!({ "event": "done", "first": first, "end": now(), "n": done }));
            }
        }
    }
}

/// How long calls took, in order.
async fn call(queue: &Arc<RedisJobQueue>, calls: usize, places: usize) -> Vec<Duration> {
    let (jobs, next) = (Jobs::new(), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..places {
        let (queue, jobs, next) = (queue.clone(), jobs.clone(), next.clone());
        callers.spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return took;
                }
                let (job, sent) = (job(&jobs, number), Instant::now());
                let outcome = queue.call(&job, Duration::from_secs(30)).await.expect("it answers");
                took.push(sent.elapsed());
                assert!(outcome.is_some(), "in time");
            }
        });
    }
    let mut took: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}
