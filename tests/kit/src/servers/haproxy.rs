//! [`Haproxy`]: a load balancer that asks servers whether they are ready, and hides nothing that fails.

use super::shell::{Shell, free_port};

const SCRIPT: &str = include_str!("haproxy.sh");

/// A balancer of HTTP in front of servers on 127.0.0.1, which takes them in turn. It asks each for `/health/ready` every
/// 200 ms, leaves one alone after two bad answers, and comes back after a good one. What it cannot bring to a server, or
/// gets no answer for, it answers with 502 or 503; nothing is sent twice.
///
/// Everything panics if haproxy cannot be run.
pub struct Haproxy {
    shell: Shell,
    port: u16,
}

impl Haproxy {
    /// In front of the servers on these ports, in this order.
    #[must_use]
    pub fn before(servers: &[u16]) -> Self {
        let (port, control) = (free_port(), free_port());
        let ports: Vec<String> = [port, control].iter().chain(servers).map(ToString::to_string).collect();
        let arguments: Vec<&str> = ports.iter().map(String::as_str).collect();
        let shell = Shell::run(SCRIPT, &arguments);
        shell.ask("states");
        Self { shell, port }
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Of each server whether it gets requests and has answered the last check well.
    #[must_use]
    pub fn are_up(&self) -> Vec<bool> {
        self.shell.ask("states").split_whitespace().map(|state| state == "UP").collect()
    }
}
