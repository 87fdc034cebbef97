//! [`Runtime`]: the runtime of tokio.

use async_trait::async_trait;
use portwright_domain::PortError;
use tokio::runtime::Handle;

use crate::exposition::{Readings, Source};
use crate::table::name;

/// How much there is to do for the runtime on which it is asked; see also [`pulse`](crate::pulse).
#[derive(Debug, Clone, Copy)]
pub struct Runtime;

#[async_trait]
impl Source for Runtime {
    fn name(&self) -> &'static str {
        "runtime"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        let metrics = Handle::current().metrics();
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(Readings::default()
            .with(&name::TOKIO_WORKERS, &[], number(metrics.num_workers()))
            .with(&name::TOKIO_TASKS, &[], number(metrics.num_alive_tasks()))
            .with(&name::TOKIO_QUEUE, &[], number(metrics.global_queue_depth())))
    }
}
