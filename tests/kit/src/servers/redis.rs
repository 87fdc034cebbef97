//! [`Redis`]: a Redis server, alone, with replicas or in a cluster, that can be hurt on cue.

use std::fmt;
use std::time::Duration;

use super::shell::{Shell, free_port};
use super::{Certificate, Stop};

const SCRIPT: &str = include_str!("redis.sh");
/// How often members of a cluster are asked whether they agree, which takes long on the slowest machine.
const LOOKS: u32 = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server that keeps its files in a folder of its own between [`Redis::stop`] and [`Redis::start`], without a
/// password.
///
/// Starting one takes about 50 ms. Everything panics if the server cannot be run: what needs Redis is not tested without
/// one.
pub struct Redis {
    shell: Shell,
    port: u16,
    scheme: &'static str,
}

impl Redis {
    /// A new server with nothing in it, which appends what it is told to a file and syncs that every second.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(&[])
    }

    /// A new server that loses everything when it ends.
    #[must_use]
    pub fn without_aof() -> Self {
        Self::with_options(&["--appendonly", "no"])
    }

    /// A new server that shows this certificate, and takes nobody without TLS.
    #[must_use]
    pub fn over_tls(certificate: &Certificate) -> Self {
        let [chain, key] = certificate.paths();
        let options = ["--tls-cert-file", chain, "--tls-key-file", key, "--tls-auth-clients", "no"];
        Self { scheme: "rediss", ..Self::with_options(&options) }
    }

    /// A new server with these options besides, such as `--requirepass` and the password.
    #[must_use]
    pub fn with_options(options: &[&str]) -> Self {
        // The bus of a cluster listens 10,000 above the port, where there is room for one only below that.
        let port =
            std::iter::repeat_with(free_port).find(|port| *port < 55_000).expect("one of them is free");
        let port_argument = port.to_string();
        let mut arguments = vec![port_argument.as_str()];
        arguments.extend(options);
        let server = Self { shell: Shell::run_as("redis", SCRIPT, &arguments), port, scheme: "redis" };
        server.shell.ask("where");
        server
    }

    /// A server that somebody else keeps: it can be asked, and not be hurt.
    #[must_use]
    pub fn attached(port: u16) -> Self {
        let server =
            Self { shell: Shell::run(SCRIPT, &[&port.to_string(), "attached"]), port, scheme: "redis" };
        server.shell.ask("where");
        server
    }

    /// Every key that begins with this and has none of `*?[\\` in it, with all that it holds, as text that is the same for
    /// the same keys.
    #[must_use]
    pub fn contents(&self, prefix: &str) -> Vec<u8> {
        let file = self.shell.ask(&format!("contents {prefix}"));
        std::fs::read(file).expect("the shell wrote it")
    }

    /// A new replica of this server, which has a copy already.
    #[must_use]
    pub fn replica(&self) -> Self {
        Self::with_options(&["--replicaof", &format!("127.0.0.1 {}", self.port)])
    }

    /// A new cluster of three servers without replicas, which share the slots evenly and have agreed on it.
    #[must_use]
    pub fn cluster() -> [Self; 3] {
        let member = || Self::with_options(&["--cluster-enabled", "yes"]);
        let members = [member(), member(), member()];
        for (member, slots) in members.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            member.command(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
            member.command(&format!("CLUSTER MEET 127.0.0.1 {}", members[0].port));
        }
        let agree =
            || members.iter().all(|member| member.command("CLUSTER INFO").contains("cluster_state:ok"));
        let agreed = (0..LOOKS).any(|_| {
            let agreed = agree();
            if !agreed {
                std::thread::sleep(LOOK_EVERY);
            }
            agreed
        });
        assert!(agreed, "the members of a cluster did not agree");
        members
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of this server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// What a command answers, as `redis-cli` prints it, lines joined by spaces. Panics if it is an error.
    pub fn command(&self, command: &str) -> String {
        self.shell.ask(&format!("command {command}")).trim_end().to_owned()
    }

    /// Lets time pass for everything that expires and whose name matches this pattern, and for nothing else.
    pub fn pass(&self, pattern: &str, time: Duration) {
        let script = "for _, key in ipairs(redis.call('KEYS', ARGV[2])) do local left = redis.call('PTTL', key) if left >= 0 \
             then redis.call('PEXPIRE', key, left - ARGV[1]) end end";
        self.command(&format!("EVAL \"{script}\" 0 {} {pattern}", time.as_millis()));
    }

    /// Ends the server; [`Redis::start`] brings it back.
    pub fn stop(&self, how: Stop) {
        self.shell.ask(&format!("stop {}", how.as_str()));
    }

    /// The last bytes of what a server that was stopped had appended to its file are gone, as where its machine lost power.
    pub fn tear_log(&self, bytes: u64) {
        self.shell.ask(&format!("tear {bytes}"));
    }

    /// Starts a server that was stopped, and waits until it has read its files and answers.
    pub fn start(&self) {
        self.shell.ask("start");
    }

    /// From now on its files do not grow, as if the disk was full.
    pub fn fill_disk(&self) {
        self.shell.ask("fill");
    }

    /// There is room on the disk again.
    pub fn empty_disk(&self) {
        self.shell.ask("empty");
    }

    /// Stops it where it is, so that it neither answers nor hangs up.
    pub fn freeze(&self) {
        self.shell.ask("freeze");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.shell.ask("thaw");
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("port", &self.port).finish_non_exhaustive()
    }
}
