//! What thousands of clients that are too slow for anything do to one that is not, and to the memory of the server.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use portwright_bench::client::{Client, socket_of};
use portwright_bench::load::{percentile, request};
use portwright_bench::server::Server;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Measures a healthy client in quiet, and beside slow ones that the server holds.
#[derive(Parser)]
struct Options {
    /// The server to measure.
    #[arg(long, default_value = "target/release/portwright")]
    binary: PathBuf,
    /// Slow connections, a quarter of each kind.
    #[arg(long, default_value_t = 5_000)]
    connections: u32,
    /// How long the healthy client is measured, each time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// One kind alone: `silent`, `head`, `body` or `reading`.
    #[arg(long)]
    only: Option<String>,
}

/// In which way a client is slow.
#[derive(Debug, Clone, Copy)]
enum Slow {
    Silent,
    DripsHead,
    DripsBody,
    NeverReads,
}

const ALL: [(&str, Slow); 4] = [
    ("silent", Slow::Silent),
    ("head", Slow::DripsHead),
    ("body", Slow::DripsBody),
    ("reading", Slow::NeverReads),
];

/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_secs(1);
/// Between two requests of the healthy client.
const PACE: Duration = Duration::from_millis(10);

impl Slow {
    const fn sends(self) -> &'static str {
        match self {
            Self::Silent => "",
            Self::DripsHead => "GET / HTTP/1.1\r\nHost: te",
            Self::DripsBody => {
                "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
            }
            Self::NeverReads => "GET /docs HTTP/1.1\r\nHost: test\r\n\r\n",
        }
    }

    /// Is slow until the server has had enough, and comes back at once.
    async fn torment(self, number: u32, address: &str, held: &AtomicUsize) {
        loop {
            let socket = socket_of(number);
            // So that an answer does not fit into what nobody reads.
            socket.set_recv_buffer_size(4 * 1024).expect("it is set");
            let mut stream =
                socket.connect(address.parse().expect("an address")).await.expect("a connection");
            held.fetch_add(1, Ordering::Relaxed);
            self.once(&mut stream).await;
            held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn once(self, stream: &mut TcpStream) {
        if stream.write_all(self.sends().as_bytes()).await.is_err() {
            return;
        }
        let mut byte = [0];
        match self {
            Self::Silent => drop(stream.read(&mut byte).await),
            // It ends when a write fails, for the server has gone.
            Self::NeverReads => {
                while stream.write_all(b"\r\n").await.is_ok() {
                    sleep(DRIP).await;
                }
            }
            Self::DripsHead | Self::DripsBody => {
                while timeout(DRIP, stream.read(&mut byte)).await.is_err() {
                    if stream.write_all(b"x").await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let time = Duration::from_secs(options.seconds);
    let kinds: Vec<_> =
        ALL.into_iter().filter(|(name, _)| options.only.as_ref().is_none_or(|only| only == name)).collect();
    anyhow::ensure!(!kinds.is_empty(), "there is no such kind");
    let unlimited = [("RATE_LIMIT_MAX_REQUESTS", "1000000000")];
    let server = Server::start_with(&options.binary, TempDir::new()?, &unlimited).await;
    let (token, user) = server.sign_in().await;
    let path = format!("/users/{}", user["id"].as_str().unwrap_or_default());
    let read = request("GET", &path, Some(&token), "");

    healthy(&server, &read, time / 4).await;
    let (quiet, before) = (healthy(&server, &read, time).await, server.resident_mib());
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>10}",
        "healthy client", "answers", "p50 ms", "p99 ms", "server MiB"
    );
    show("in quiet", &quiet, before);

    let held = Arc::new(AtomicUsize::new(0));
    let mut slow = JoinSet::new();
    for number in 0..options.connections {
        let (_, kind) = kinds[number as usize % kinds.len()];
        let (address, held) = (server.address.clone(), held.clone());
        slow.spawn(async move { kind.torment(number, &address, &held).await });
    }
    let begun = Instant::now();
    while held.load(Ordering::Relaxed) < options.connections as usize {
        anyhow::ensure!(begun.elapsed() < Duration::from_mins(1), "only {held:?} are connected");
        sleep(Duration::from_millis(50)).await;
    }
    let mut most = 0.0_f64;
    let mut least = usize::MAX;
    let watching = async {
        loop {
            most = most.max(server.resident_mib());
            least = least.min(held.load(Ordering::Relaxed));
            sleep(Duration::from_millis(200)).await;
        }
    };
    let beside = tokio::select! {
        took = healthy(&server, &read, time) => took,
        () = watching => Vec::new(),
    };
    show(&format!("beside {least} or more slow ones"), &beside, most);
    println!(
        "\np99 beside them over p99 in quiet   {:>8.1} ms  (target: at most 20)",
        p99(&beside) - p99(&quiet)
    );
    println!("memory for them                     {:>8.1} MiB (target: at most 64)", most - before);
    Ok(())
}

/// How long the answers to one client took, all of which are right.
async fn healthy(server: &Server, request: &[u8], time: Duration) -> Vec<Duration> {
    let mut client = Client::connect(&server.address).await;
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let asked = Instant::now();
        let answer = client.send_raw(request).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        took.push(asked.elapsed());
        sleep(PACE).await;
    }
    took.sort_unstable();
    took
}

fn p99(took: &[Duration]) -> f64 {
    percentile(took, 0.99)
}

fn show(case: &str, took: &[Duration], memory: f64) {
    println!("{case:<34} {:>9} {:>9.2} {:>9.2} {memory:>10.1}", took.len(), percentile(took, 0.5), p99(took));
}
