//! A marked method is async.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    fn render(&self, month: u8) -> Result<(), ComputeError> {
        Ok(())
    }

    #[cached(key = "k", ttl = "1h")]
    fn summary(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }
}

fn main() {}
