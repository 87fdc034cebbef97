//! What a service is.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports;
struct Of<T>(T);

trait Renders {
    fn render(&self);
}

#[service]
impl Reports {
    #[compute]
    async fn nameless(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

#[service(name = "Reports!")]
impl Reports {}

#[service(name = "reports", engine = compute)]
impl Reports {}

#[service(name = "reports")]
impl Renders for Reports {
    fn render(&self) {}
}

#[service(name = "of")]
impl<T> Of<T> {
    #[compute]
    async fn render(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

#[service(name = "reports")]
struct NoBlock;

fn main() {}
