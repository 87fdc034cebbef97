//! What the compute engine adds to a call, and how much it does, where the tasks run in another process.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use portwright_bench::engine::{Engine, PLACES, work};
use portwright_bench::load::percentile;
use portwright_bench::process::{cpu_time, cpu_time_of, resident_mib};
use portwright_domain::ports::JobQueue;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Measures the compute engine across processes.
#[derive(Parser)]
struct Options {
    /// Jobs in each case.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Who enqueue jobs one at a time, each waiting until its job is on the disk.
    #[arg(long, default_value_t = 256)]
    producers: usize,
    /// Where the files are made; the disk decides what a durable answer costs.
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// Runs the tasks of the benchmark that waits there.
    #[arg(long, hide = true)]
    work_for: Option<PathBuf>,
}

const CALLERS: usize = 32;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(directory) = options.work_for {
        // As in the product: the loop has a thread of its own.
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return control.block_on(work(directory));
    }
    tokio::runtime::Runtime::new()?.block_on(measure(&options))
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    calls(options).await?;
    jobs(options).await?;
    backlog(options).await?;
    cache(options).await
}

/// A task that does nothing: all of its time is the engine's.
async fn calls(options: &Options) -> anyhow::Result<()> {
    let mut engine = Engine::open(&options.directory).await?;
    let worker = engine.start_worker()?;
    call(&engine, 1_000, CALLERS).await;
    for (callers, calls) in [(1, options.jobs / 10), (CALLERS, options.jobs)] {
        let begun = Instant::now();
        let took = call(&engine, calls, callers).await;
        show(&format!("calls, {callers} at a time"), rate(calls, begun), "calls/s");
        let [half, most, longest] = [0.5, 0.99, 1.0].map(|share| percentile(&took, share));
        println!("{:<54} p50 {half:.3} ms, p99 {most:.3} ms, longest {longest:.3} ms", "");
    }

    // What is synced or copied later is over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, idle) = ([cpu_time(), cpu_time_of(worker)], Duration::from_secs(10));
    sleep(idle).await;
    for (whose, before, after) in
        [("the owner", before[0], cpu_time()), ("the worker", before[1], cpu_time_of(worker))]
    {
        let share = after.saturating_sub(before).as_secs_f64() / idle.as_secs_f64() * 100.0;
        println!("{:<50} {share:>9.2} % of a core", format!("at rest, {whose}"));
    }
    Ok(())
}

/// How long calls took, in order.
async fn call(engine: &Engine, calls: usize, callers: usize) -> Vec<Duration> {
    let mut all = JoinSet::new();
    for caller in 0..callers {
        let idle = engine.idle.clone();
        all.spawn(async move {
            let mut took = Vec::new();
            for number in numbers(calls, callers, caller) {
                let sent = Instant::now();
                assert_eq!(idle.echo(number).await.expect("an answer"), number);
                took.push(sent.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

async fn jobs(options: &Options) -> anyhow::Result<()> {
    let (jobs, producers) = (options.jobs, options.producers);
    let mut engine = Engine::open(&options.directory).await?;
    let begun = Instant::now();
    enqueue(&engine, jobs, producers).await;
    show(&format!("enqueue, {producers} producers"), rate(jobs, begun), "jobs/s");
    engine.start_worker()?;
    // Until it takes jobs, the worker only starts.
    while engine.queue.queues().await?.iter().any(|queue| queue.ready == jobs as u64) {
        sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    engine.until_done().await?;
    show(&format!("done by one worker, {PLACES} at a time"), rate(jobs, begun), "jobs/s");

    let begun = Instant::now();
    enqueue(&engine, jobs, producers).await;
    engine.until_done().await?;
    show(&format!("enqueue to done, {producers} producers, one worker"), rate(jobs, begun), "jobs/s");
    Ok(())
}

async fn enqueue(engine: &Engine, jobs: usize, producers: usize) {
    let mut all = JoinSet::new();
    for producer in 0..producers {
        let idle = engine.idle.clone();
        all.spawn(async move {
            for number in numbers(jobs, producers, producer) {
                idle.echo_job(number).enqueue().await.expect("it is taken");
            }
        });
    }
    all.join_all().await;
}

async fn backlog(options: &Options) -> anyhow::Result<()> {
    const WAITING: usize = 100_000;
    let engine = Engine::open(&options.directory).await?;
    let before = resident_mib();
    enqueue(&engine, WAITING, options.producers).await;
    println!("{:<50} {:>9.1} MiB", format!("memory, {WAITING} wait"), resident_mib() - before);
    Ok(())
}

async fn cache(options: &Options) -> anyhow::Result<()> {
    const CALLS: u32 = 200_000;
    let idle = Engine::open(&options.directory).await?.idle.clone();
    idle.remember(7).await.expect("a value");
    let begun = Instant::now();
    for _ in 0..CALLS {
        black_box(idle.direct(black_box(7)).await.expect("a value"));
    }
    let direct = begun.elapsed() / CALLS;
    let begun = Instant::now();
    for _ in 0..CALLS {
        black_box(idle.remember(black_box(7)).await.expect("a value"));
    }
    let cached = begun.elapsed() / CALLS;
    println!(
        "{:<50} {:>9} ns more than {} ns",
        "a hit in the cache",
        cached.saturating_sub(direct).as_nanos(),
        direct.as_nanos()
    );
    Ok(())
}

/// What the one of this number does of the whole.
fn numbers(whole: usize, parts: usize, part: usize) -> impl Iterator<Item = u64> {
    (part..whole).step_by(parts).map(|number| number as u64)
}

fn rate(count: usize, begun: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    per_second
}

fn show(case: &str, rate: f64, unit: &str) {
    println!("{case:<50} {rate:>9.0} {unit}");
}
