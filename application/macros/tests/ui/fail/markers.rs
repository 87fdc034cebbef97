//! Where markers stand.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    #[compute]
    async fn twice(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    const LIMIT: u32 = 3;

    #[compute(name = "reports.same")]
    async fn one(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(name = "reports.same")]
    async fn other(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
