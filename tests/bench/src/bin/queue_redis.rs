//! What the queue in Redis does for one process: how fast it takes jobs, how fast they are done, how long a call takes,
//! and what that costs the server.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::cast_precision_loss, reason = "rates and shares")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use portwright_bench::jobs::{Jobs, serve, work};
use portwright_bench::load::percentile;
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::Limits;
use portwright_redis::{RedisConfig, RedisJobQueue};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Measures the queue in a Redis, which should have nothing else to do.
#[derive(Parser)]
struct Options {
    /// Where the server is; what it holds in the namespace `bench` is removed.
    #[arg(long, default_value = "redis://127.0.0.1:6379")]
    url: String,
    /// Jobs in each case.
    #[arg(long, default_value_t = 50_000)]
    jobs: usize,
}

/// Callers, and free places of the worker.
const MANY: usize = 32;
/// Jobs in one call, where they come in batches.
const BATCH: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let bench = Bench::new(&options).await?;
    let jobs = options.jobs;
    bench.measure("enqueue, 1 producer", jobs / 10, bench.enqueue(jobs / 10, 1, 1)).await;
    bench.measure("enqueue, 32 producers", jobs, bench.enqueue(jobs, MANY, 1)).await;
    bench.measure("done by one worker, 32 at a time", jobs, bench.work(jobs + jobs / 10)).await;
    let before = bench.info("used_memory").await;
    bench
        .measure("enqueue, 32 producers, 100 at a time", jobs * 2, bench.enqueue(jobs * 2, MANY, BATCH))
        .await;
    let bytes = (bench.info("used_memory").await - before) / (jobs * 2) as f64;
    println!("{:<40} {bytes:>9.0} bytes each", "memory of jobs that wait");
    bench.measure("done by one worker, 32 at a time", jobs * 2, bench.work(jobs * 2)).await;
    let both = async {
        tokio::join!(bench.enqueue(jobs, MANY, 1), bench.work(jobs));
    };
    bench.measure("both at once", jobs, both).await;

    let other = Bench::connect(&options).await?;
    let mut worker = JoinSet::new();
    worker.spawn(serve(other));
    for (callers, calls) in [(1, jobs / 10), (MANY, jobs)] {
        let mut took = Vec::new();
        let called = async { took = bench.call(calls, callers).await };
        bench.measure(&format!("calls, {callers} at a time"), calls, called).await;
        let [half, most, longest] = [0.5, 0.99, 1.0].map(|share| percentile(&took, share));
        println!("{:<40} p50 {half:.3} ms, p99 {most:.3} ms, longest {longest:.3} ms", "");
    }
    Ok(())
}

struct Bench {
    jobs: Jobs,
    queue: Arc<RedisJobQueue>,
    server: redis::aio::MultiplexedConnection,
}

impl Bench {
    async fn new(options: &Options) -> anyhow::Result<Self> {
        let client = redis::Client::open(options.url.as_str())?;
        let mut server = client.get_multiplexed_async_connection().await?;
        let keys: Vec<String> = redis::cmd("KEYS").arg("{bench}:*").query_async(&mut server).await?;
        for key in keys {
            redis::cmd("UNLINK").arg(key).exec_async(&mut server).await?;
        }
        Ok(Self { jobs: Jobs::new(), queue: Self::connect(options).await?, server })
    }

    async fn connect(options: &Options) -> anyhow::Result<Arc<RedisJobQueue>> {
        let mut config = RedisConfig::at([&options.url])?.in_namespace("bench")?;
        // What is measured may be lost.
        config.may_lose_jobs = true;
        let limits = Limits { waiting: u64::MAX / 2, ..Limits::default() };
        Ok(Arc::new(RedisJobQueue::init(&config, limits).await?))
    }

    /// How many jobs a second, and what each of them cost the server.
    async fn measure(&self, case: &str, jobs: usize, what: impl Future<Output = ()>) {
        let costs = ["used_cpu_user", "used_cpu_sys", "total_reads_processed"];
        let mut before = Vec::new();
        for cost in costs {
            before.push(self.info(cost).await);
        }
        let begun = Instant::now();
        what.await;
        let took = begun.elapsed().as_secs_f64();
        let mut each = Vec::new();
        for (cost, before) in costs.into_iter().zip(before) {
            each.push((self.info(cost).await - before) / jobs as f64);
        }
        let (rate, cpu) = (jobs as f64 / took, (each[0] + each[1]) * 1e6);
        println!("{case:<40} {rate:>9.0} jobs/s; Redis: {cpu:.1} us, {:.2} reads each", each[2]);
    }

    async fn info(&self, name: &str) -> f64 {
        let info: String = redis::cmd("INFO").query_async(&mut self.server.clone()).await.expect("INFO");
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok();
        info.lines().find_map(value).expect("it is told")
    }

    /// Enqueues so many jobs, from so many producers at once, so many in each call.
    async fn enqueue(&self, jobs: usize, producers: usize, batch: usize) {
        let mut all = JoinSet::new();
        for producer in 0..producers {
            let (queue, maker) = (self.queue.clone(), self.jobs.clone());
            all.spawn(async move {
                let mut left = share(jobs, producers, producer);
                while left > 0 {
                    let batch: Vec<_> = (0..batch.min(left)).map(|_| maker.next()).collect();
                    queue.enqueue(&batch).await.expect("it takes jobs");
                    left -= batch.len();
                }
            });
        }
        all.join_all().await;
    }

    /// Does so many jobs.
    async fn work(&self, jobs: usize) {
        work(&self.queue, "one", MANY, jobs).await;
    }

    /// How long calls took, in order.
    async fn call(&self, calls: usize, callers: usize) -> Vec<Duration> {
        let mut all = JoinSet::new();
        for caller in 0..callers {
            let (queue, maker) = (self.queue.clone(), self.jobs.clone());
            all.spawn(async move {
                let mut took = Vec::new();
                for _ in 0..share(calls, callers, caller) {
                    let (job, sent) = (maker.next(), Instant::now());
                    let outcome = queue.call(&job, Duration::from_secs(10)).await.expect("it answers");
                    took.push(sent.elapsed());
                    assert!(outcome.is_some(), "in time");
                }
                took
            });
        }
        let mut took: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
        took.sort_unstable();
        took
    }
}

/// What the one of this number does of the whole.
const fn share(whole: usize, parts: usize, number: usize) -> usize {
    whole / parts + if number < whole % parts { 1 } else { 0 }
}
