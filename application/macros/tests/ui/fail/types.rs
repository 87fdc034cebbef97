//! Types that cannot travel.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
}

struct CannotTravel;

#[derive(Debug)]
struct NotATaskError;

#[service(name = "reports")]
impl Reports {
    #[compute]
    async fn input(&self, input: CannotTravel) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn output(&self) -> Result<CannotTravel, ComputeError> {
        Ok(CannotTravel)
    }

    #[compute]
    async fn error(&self) -> Result<(), NotATaskError> {
        Ok(())
    }

    #[compute(version = 2, upgrade(1 = u8::to_string))]
    async fn upgrade(&self, input: u8) -> Result<(), ComputeError> {
        Ok(())
    }

    #[cached(key = "k", ttl = "1h")]
    async fn no_cache(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }
}

fn main() {}
