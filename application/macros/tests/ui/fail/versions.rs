//! Every older version is dealt with.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute(version = 0)]
    async fn zero(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(version = 3, upgrade(1 = one))]
    async fn lost(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(version = 2, upgrade(1 = one, 2 = two))]
    async fn future(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(version = 2, upgrade(1 = one), retired(1))]
    async fn both(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute(version = 3, upgrade(1 = one), retired(2))]
    async fn nowhere(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
