//! What the embedded queue does in one process: how fast it takes jobs, how fast they are done, how long a call takes,
//! and what jobs that wait cost.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::cast_precision_loss, reason = "rates")]

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
    /// Where the files are made; the disk decides what a durable answer costs.
    #[arg(long, default_value = "target")]
    directory: PathBuf,
}

/// Callers, producers and free places of the worker, each.
const MANY: usize = 32;

struct Bench {
    jobs: Jobs,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self { jobs: Jobs::new(), folder: tempfile::tempdir_in(&options.directory)? })
    }

    async fn queue(&self) -> anyhow::Result<Arc<SqliteJobQueue>> {
        let config = SqliteConfig::at(self.folder.path().join("queue.db"));
        let limits = Limits { waiting: 10_000_000, ..Limits::default() };
        Ok(Arc::new(SqliteJobQueue::init(&config, limits, Arc::new(SystemClock)).await?))
    }

    /// Enqueues so many jobs, from 32 producers at once, so many in each call.
    async fn enqueue(&self, queue: &Arc<SqliteJobQueue>, jobs: usize, batch: usize) -> f64 {
        let begun = Instant::now();
        let mut producers = JoinSet::new();
        for _ in 0..MANY {
            let (queue, maker) = (queue.clone(), self.jobs.clone());
            producers.spawn(async move {
                for _ in 0..jobs / MANY / batch {
                    let batch: Vec<_> = (0..batch).map(|_| maker.next()).collect();
                    queue.enqueue(&batch).await.expect("it takes jobs");
                }
            });
        }
        producers.join_all().await;
        rate(jobs, begun)
    }
}

fn rate(jobs: usize, begun: Instant) -> f64 {
    jobs as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let jobs = options.jobs / MANY * MANY;

    let bench = Bench::new(&options)?;
    let queue = bench.queue().await?;
    println!("enqueue, 32 producers, one at a time            {:>9.0} jobs/s", bench.enqueue(&queue, jobs, 1).await);
    let begun = Instant::now();
    work(&queue, "one", MANY, jobs).await;
    println!("done from a backlog, one worker, 32 at a time   {:>9.0} jobs/s", rate(jobs, begun));
    println!("enqueue, 32 producers, 100 at a time            {:>9.0} jobs/s", bench.enqueue(&queue, 160_000, 100).await);
    queue.close().await;

    let bench = Bench::new(&options)?;
    let queue = bench.queue().await?;
    let begun = Instant::now();
    let (enqueued, ()) = tokio::join!(bench.enqueue(&queue, jobs, 1), work(&queue, "one", MANY, jobs));
    println!("enqueue to done, both at once                   {:>9.0} jobs/s (enqueued at {enqueued:.0})", rate(jobs, begun));

    let mut worker = JoinSet::new();
    worker.spawn(serve(queue.clone()));
    for (callers, calls) in [(1, 2_000), (MANY, jobs)] {
        let mut all = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..callers {
            let (queue, maker) = (queue.clone(), bench.jobs.clone());
            all.spawn(async move {
                let mut took = Vec::new();
                for _ in 0..calls / callers {
                    let sent = Instant::now();
                    let outcome = queue.call(&maker.next(), Duration::from_secs(10)).await.expect("it answers");
                    assert!(outcome.is_some(), "in time");
                    took.push(sent.elapsed());
                }
                took
            });
        }
        let mut took: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
        took.sort_unstable();
        println!(
            "call, {callers:>2} callers: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms, {:.0} calls/s",
            percentile(&took, 0.5),
            percentile(&took, 0.99),
            percentile(&took, 1.0),
            rate(took.len(), begun)
        );
    }
    sleep(Duration::from_secs(2)).await;
    let before = cpu_time();
    sleep(Duration::from_secs(5)).await;
    println!("at rest, a worker waiting                       {:>9.3} % of a core", (cpu_time() - before).as_secs_f64() / 5.0 * 100.0);
    worker.abort_all();
    queue.close().await;

    let bench = Bench::new(&options)?;
    let queue = bench.queue().await?;
    let before = resident_mib();
    bench.enqueue(&queue, 160_000, 100).await;
    println!("memory of 160,000 that wait                     {:>9.1} MiB", resident_mib() - before);
    let more = options.backlog.saturating_sub(160_000) / 3_200 * 3_200;
    let filled = bench.enqueue(&queue, more, 100).await;
    println!("filled up to {:>9} at                       {filled:>9.0} jobs/s", more + 160_000);
    let begun = Instant::now();
    work(&queue, "one", MANY, jobs).await;
    println!("done from that backlog                          {:>9.0} jobs/s", rate(jobs, begun));
    println!("memory with that backlog                        {:>9.1} MiB", resident_mib() - before);
    queue.close().await;
    Ok(())
}
