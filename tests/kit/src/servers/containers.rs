//! Servers in containers, where a container engine answers: for machines that have one and none of the servers.
//!
//! The images are made from Debian's packages, by `tests/kit/containers/build`. They start empty, on a port of 127.0.0.1,
//! and end with the value that stands for them; a test that is killed leaves its container to the engine. They can be
//! asked and not be hurt: for faults, take the servers of the machine ([`super::Redis`], [`super::Postgres`]).

use std::fmt;

use testcontainers::core::{ContainerPort, IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage};

/// A Redis server that appends what it is told to a file. It has no password.
pub struct Redis {
    _container: ContainerAsync<GenericImage>,
    port: u16,
}

impl Redis {
    /// Starts one and waits until it answers. Panics where no engine, or no image, is there.
    pub async fn start() -> Self {
        let ready = WaitFor::message_on_stdout("Ready to accept connections");
        let (container, port) = start("portwright-test-redis", 6379.tcp(), ready).await;
        Self { _container: container, port }
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of this server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// A `PostgreSQL` server. Its superuser is `postgres`, who needs no password.
pub struct Postgres {
    _container: ContainerAsync<GenericImage>,
    port: u16,
}

impl Postgres {
    /// Starts one and waits until it answers. Panics where no engine, or no image, is there.
    pub async fn start() -> Self {
        let ready = WaitFor::message_on_stderr("database system is ready to accept connections");
        let (container, port) = start("portwright-test-postgres", 5432.tcp(), ready).await;
        Self { _container: container, port }
    }

    /// Where it listens, on 127.0.0.1; [`super::Postgres::attached`] asks it and gives it databases.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

async fn start(image: &str, port: ContainerPort, ready: WaitFor) -> (ContainerAsync<GenericImage>, u16) {
    let image = GenericImage::new(image, "latest").with_exposed_port(port).with_wait_for(ready);
    let container =
        image.start().await.expect("a container engine, and the image of tests/kit/containers/build");
    let port = container.get_host_port_ipv4(port).await.expect("a port of this machine");
    (container, port)
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("port", &self.port).finish_non_exhaustive()
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port).finish_non_exhaustive()
    }
}
