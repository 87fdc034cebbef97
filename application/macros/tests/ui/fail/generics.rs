//! A marked method has no generics.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    async fn generic<T>(&self, value: T) -> Result<(), ComputeError> {
        Ok(())
    }

    #[cached(key = "k", ttl = "1h")]
    async fn lifetime<'a>(&'a self) -> Result<&'a str, ComputeError> {
        Ok("")
    }

    #[compute]
    async unsafe fn careless(&self) -> Result<(), ComputeError> {
        Ok(())
    }
}

fn main() {}
