//! Gives back the jobs of workers that are gone without a word.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::JobSource;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Looks at once, and then every `tick`, for workers whose lease has ended, until it is told to stop. Any number of
/// processes may do so at once. A second is usual, a tenth where leases are as short as in tests.
///
/// Of leases that are older than the first look nobody knows whether somebody could have heard that they were renewed, so
/// it comes before the workers of this process have any.
pub async fn reap(source: Arc<dyn JobSource>, tick: Duration, stop: CancellationToken) {
    let mut failing = false;
    loop {
        match timeout(tick.max(Duration::from_secs(1)), source.reclaim()).await {
            Ok(Ok(0)) => failing = false,
            Ok(Ok(jobs)) => {
                failing = false;
                tracing::warn!(jobs, "the leases of workers ended, and their jobs were given back");
            }
            // Said once, not at each tick of an outage.
            failed if !failing => {
                failing = true;
                tracing::warn!(?failed, "nobody looks after workers that are gone");
            }
            _ => {}
        }
        if stop.run_until_cancelled(tokio::time::sleep(tick)).await.is_none() {
            return;
        }
    }
}
