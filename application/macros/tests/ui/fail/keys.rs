//! The key of a cached method.

#![allow(unused)]

use portwright_application::prelude::*;

struct Reports {
    compute: Compute,
    cache: Cached,
}

#[service(name = "reports")]
impl Reports {
    #[cached(ttl = "1h")]
    async fn no_key(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k")]
    async fn no_ttl(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k:{mnth}", ttl = "1h")]
    async fn misspelt(&self, month: u8) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k:{month}", ttl = "1h")]
    async fn forgotten(&self, month: u8, year: u16) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k:{month:?}", ttl = "1h")]
    async fn formatted(&self, month: u8) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k:{month", ttl = "1h")]
    async fn open(&self, month: u8) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "a key", ttl = "1h")]
    async fn blank(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }

    #[cached(key = "k", ttl = "forever")]
    async fn forever(&self) -> Result<u32, ComputeError> {
        Ok(1)
    }
}

fn main() {}
