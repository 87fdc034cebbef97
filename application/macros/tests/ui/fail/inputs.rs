//! What a task takes.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    async fn two(&self, month: u8, year: u16) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn borrowed(&self, text: &str) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn borrowed_within(&self, texts: Vec<&'static str>) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn opaque(&self, text: impl ToString) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn taken_apart(&self, (month, year): (u8, u16)) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn context_first(&self, context: TaskContext, month: u8) -> Result<(), ComputeError> {
        Ok(())
    }

    #[compute]
    async fn two_contexts(&self, one: TaskContext, other: TaskContext) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
