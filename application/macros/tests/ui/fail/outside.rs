//! Markers without a service.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports;

impl Reports {
    #[compute]
    async fn render(&self) -> Result<(), ComputeError> {
        Ok(())
    }

    #[cached(key = "k", ttl = "1h")]
    async fn summary(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
