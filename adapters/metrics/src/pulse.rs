//! [`pulse`]: what it is like to be a task of this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;

/// How often it beats: often enough to meet a stall of a tenth of a second, seldom enough to cost nothing.
const BEAT: Duration = Duration::from_millis(100);
/// Beats from one look at how busy the threads were to the next.
const BEATS_PER_LOOK: u32 = 50;

/// Sleeps, and notes how late it wakes; and how busy the threads of the runtime are, of the last five seconds. Never ends:
/// whoever wants that drops it.
pub async fn pulse(metrics: Arc<Metrics>) {
    let runtime = Handle::current();
    let mut before = (Instant::now(), busy(&runtime));
    loop {
        for _ in 0..BEATS_PER_LOOK {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            metrics.woke(due.elapsed());
        }
        let now = (Instant::now(), busy(&runtime));
        let threads = u32::try_from(runtime.metrics().num_workers()).unwrap_or(u32::MAX);
        let worked = now.1.saturating_sub(before.1).as_secs_f64() / f64::from(threads.max(1));
        metrics.worked((worked / (now.0 - before.0).as_secs_f64()).clamp(0.0, 1.0));
        before = now;
    }
}

/// How long all threads of the runtime together have worked so far.
fn busy(runtime: &Handle) -> Duration {
    let metrics = runtime.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}
