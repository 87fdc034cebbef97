//! A marked method returns a result.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[compute]
    async fn nothing(&self) {}

    #[compute]
    async fn no_result(&self) -> u32 {
        1
    }

    #[compute]
    async fn alias(&self) -> std::io::Result<u32> {
        Ok(1)
    }

    #[cached(key = "k", ttl = "1h")]
    async fn option(&self) -> Option<u32> {
        None
    }
}

fn main() {}
