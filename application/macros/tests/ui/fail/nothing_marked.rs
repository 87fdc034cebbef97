//! A service without a marked method.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    async fn render(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
