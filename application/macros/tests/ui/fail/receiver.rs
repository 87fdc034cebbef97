//! A marked method takes `&self`.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    async fn nobody(month: u8) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn changes(&mut self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn consumes(self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn shared(self: std::sync::Arc<Self>) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn none() -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
