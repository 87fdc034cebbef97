//! What the embedded queue does in one process: how fast it takes jobs, how fast they are done, how long a call takes,
//! and what jobs that wait cost.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use portwright_bench::jobs::{Jobs, serve, work};
use portwright_bench::load::percentile;
use portwright_bench::process::{cpu_time, resident_mib};
use portwright_domain::ports::JobQueue;
use portwright_domain::ports::job_queue::Limits;
use portwright_memory::SystemClock;
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Measures the embedded queue.
#[derive(Parser)]
struct Options {
    /// Jobs in each case.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Jobs that wait in the case with a backlog.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: usize,
    /// Who enqueue jobs one at a time, each waiting until its job is on the disk.
    #[arg(long, default_value_t = 256)]
    producers: usize,
    /// Where the files are made; the disk decides what a durable answer costs.
    #[arg(long, default_value = "target")]
    directory: PathBuf,
}

/// Callers, and free places of the worker.
const MANY: usize = 32;
/// Jobs in one call, where they come in batches.
const BATCH: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    fire_and_forget(&options).await?;
    calls(&options).await?;
    backlog(&options).await
}

async fn fire_and_forget(options: &Options) -> anyhow::Result<()> {
    let jobs = options.jobs;
    let bench = Bench::new(options).await?;
    show(&format!("enqueue, {MANY} producers"), &bench.enqueue(jobs, MANY, 1).await);
    show(
        &format!("enqueue, {} producers", options.producers),
        &bench.enqueue(jobs, options.producers, 1).await,
    );
    show(
        &format!("enqueue, {MANY} producers, {BATCH} at a time"),
        &bench.enqueue(jobs * 5, MANY, BATCH).await,
    );
    show(&format!("done by one worker, {MANY} at a time"), &bench.work(jobs).await);
    bench.queue.close().await;

    let bench = Bench::new(options).await?;
    let begun = Instant::now();
    let (_, enqueued) = tokio::join!(bench.enqueue(jobs, options.producers, 1), bench.work(jobs));
    show(
        &format!("enqueue to done, {} producers, one worker", options.producers),
        &Rate { begun, ..enqueued },
    );
    bench.queue.close().await;
    Ok(())
}

async fn calls(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::new(options).await?;
    let mut worker = JoinSet::new();
    worker.spawn(serve(bench.queue.clone()));
    for (callers, calls) in [(1, options.jobs / 10), (MANY, options.jobs)] {
        let begun = Instant::now();
        let took = bench.call(calls, callers).await;
        show(
            &format!("calls, {callers} at a time"),
            &Rate { jobs: took.len(), begun, ended: Instant::now() },
        );
        let [half, most, longest] = [0.5, 0.99, 1.0].map(|share| percentile(&took, share));
        println!("{:<54} p50 {half:.3} ms, p99 {most:.3} ms, longest {longest:.3} ms", "");
    }

    // What is synced or copied later is over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, idle) = (cpu_time(), Duration::from_secs(5));
    sleep(idle).await;
    let share = cpu_time().saturating_sub(before).as_secs_f64() / idle.as_secs_f64() * 100.0;
    println!("{:<50} {share:>9.2} % of a core", "at rest, a worker waiting");
    drop(worker);
    bench.queue.close().await;
    Ok(())
}

async fn backlog(options: &Options) -> anyhow::Result<()> {
    const FEW: usize = 100_000;
    let bench = Bench::new(options).await?;
    let before = resident_mib();
    bench.enqueue(FEW, MANY, BATCH).await;
    println!(
        "{:<50} {:>9.1} MiB, {:.1} in the file",
        "memory, 100,000 wait",
        resident_mib() - before,
        bench.file_mib()
    );
    let more = options.backlog.saturating_sub(FEW);
    show(&format!("enqueue, until {} wait", options.backlog), &bench.enqueue(more, MANY, BATCH).await);
    println!(
        "{:<50} {:>9.1} MiB, {:.1} in the file",
        "memory then",
        resident_mib() - before,
        bench.file_mib()
    );
    show(&format!("done by one worker, {MANY} at a time, then"), &bench.work(options.jobs).await);
    bench.queue.close().await;
    Ok(())
}

struct Bench {
    jobs: Jobs,
    folder: TempDir,
    queue: Arc<SqliteJobQueue>,
}

/// So many jobs in so much time.
struct Rate {
    jobs: usize,
    begun: Instant,
    ended: Instant,
}

fn show(case: &str, rate: &Rate) {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_second = rate.jobs as f64 / rate.ended.duration_since(rate.begun).as_secs_f64();
    println!("{case:<50} {per_second:>9.0} jobs/s");
}

impl Bench {
    async fn new(options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&options.directory)?;
        let config = SqliteConfig::at(folder.path().join("queue.db"));
        let limits = Limits { waiting: u64::MAX, ..Limits::default() };
        let queue = SqliteJobQueue::init(&config, limits, Arc::new(SystemClock)).await?;
        Ok(Self { jobs: Jobs::new(), folder, queue: Arc::new(queue) })
    }

    /// Enqueues so many jobs, from so many producers at once, so many in each call.
    async fn enqueue(&self, jobs: usize, producers: usize, batch: usize) -> Rate {
        let begun = Instant::now();
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
        Rate { jobs, begun, ended: Instant::now() }
    }

    /// Does so many jobs.
    async fn work(&self, jobs: usize) -> Rate {
        let begun = Instant::now();
        work(&self.queue, "one", MANY, jobs).await;
        Rate { jobs, begun, ended: Instant::now() }
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

    fn file_mib(&self) -> f64 {
        let size = |name: &str| std::fs::metadata(self.folder.path().join(name)).map_or(0, |file| file.len());
        #[expect(clippy::cast_precision_loss, reason = "a size")]
        let mib = (size("queue.db") + size("queue.db-wal")) as f64 / 1024.0 / 1024.0;
        mib
    }
}

/// What the one of this number does of the whole.
const fn share(whole: usize, parts: usize, number: usize) -> usize {
    whole / parts + if number < whole % parts { 1 } else { 0 }
}
