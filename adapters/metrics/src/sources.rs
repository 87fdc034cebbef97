//! What every process can say of itself at a scrape, and what the queue says.

mod process;
mod queues;
mod runtime;

use async_trait::async_trait;
use portwright_domain::PortError;

use crate::exposition::{Readings, Source};
use crate::table::name;

pub use process::Process;
pub use queues::Queues;
pub use runtime::Runtime;

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
}

#[async_trait]
impl Source for Build {
    fn name(&self) -> &'static str {
        "build"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        Ok(Readings::default().with(&name::BUILD, &[self.version], 1.0))
    }
}
