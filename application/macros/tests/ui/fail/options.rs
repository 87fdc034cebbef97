//! The options of a task.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute(retries = 3)]
    async fn unknown(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(queue = "a", queue = "b")]
    async fn twice(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(priority = 16)]
    async fn priority(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(attempts = 0)]
    async fn attempts(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(timeout = "2 minutes")]
    async fn timeout(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(timeout = "0s")]
    async fn no_time(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(backoff = linear("1s"))]
    async fn backoff(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(backoff = exponential("1m", "1s"))]
    async fn cap(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(queue = "GPU nodes")]
    async fn queue(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(name = "")]
    async fn nameless(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute = "cpu"]
    async fn equals(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
