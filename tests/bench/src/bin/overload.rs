//! What a server still does when it is asked for five times what it can do, beside one that begins everything.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use portwright_bench::client::Client;
use portwright_bench::load::{self, percentile, request};
use portwright_bench::open_load::{self, Outcome};
use portwright_bench::server::Server;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Measures goodput at once, twice and five times the capacity, with the limit and without.
#[derive(Parser)]
struct Options {
    /// The server to measure.
    #[arg(long, default_value = "target/release/portwright")]
    binary: PathBuf,
    /// How long each load lasts.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often everything is measured; the figures are medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections over which requests may come.
    #[arg(long, default_value_t = 2_000)]
    connections: u32,
    /// Another limit than the usual one.
    #[arg(long)]
    max_concurrent: Option<u32>,
}

/// As good as none.
const NO_LIMIT: &str = "100000";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let limit = options.max_concurrent.map(|limit| limit.to_string());
    let limit: Vec<_> = limit.iter().map(|limit| ("HTTP_MAX_CONCURRENT", limit.as_str())).collect();
    println!(
        "{:<30} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>10}",
        "case",
        "offered",
        "good/s",
        "of peak",
        "p99 ms",
        "late/s",
        "503/s",
        "unsent/s",
        "live p99",
        "max MiB"
    );
    for (name, variables) in
        [("with the limit", &limit[..]), ("without", &[("HTTP_MAX_CONCURRENT", NO_LIMIT)])]
    {
        let server = start(&options, variables).await;
        let (token, _) = server.sign_in().await;
        fill(&server, &token).await?;
        let (email, password) = server.admin();
        let body = serde_json::json!({"email": email, "password": password}).to_string();
        let list = request("GET", "/users?limit=100", Some(&token), "");
        measure(&options, &server, &format!("list, {name}"), &list).await;
        measure(&options, &server, &format!("sign-in, {name}"), &request("POST", "/auth/login", None, &body))
            .await;
    }
    Ok(())
}

async fn start(options: &Options, variables: &[(&str, &str)]) -> Server {
    let data = TempDir::new().expect("a directory");
    let unlimited = [("RATE_LIMIT_MAX_REQUESTS", "1000000000")];
    let variables: Vec<_> = unlimited.into_iter().chain(variables.iter().copied()).collect();
    Server::start_with(&options.binary, data, &variables).await
}

/// Makes the users of the list.
async fn fill(server: &Server, token: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(&server.address).await;
    for number in 0..200 {
        let body = serde_json::json!({
            "email": format!("user{number}@example.com"), "password": "tango-velvet-harbor-91",
            "firstName": "Bench", "lastName": format!("Mark {number}"),
        });
        let answer = client.send("POST", "/users", Some(token), Some(&body.to_string())).await;
        anyhow::ensure!(answer.status == 201, "{}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

async fn measure(options: &Options, server: &Server, name: &str, request: &[u8]) {
    let time = Duration::from_secs(options.seconds);
    // The peak is what clients get who wait for each other, with as many as keep both cores busy and no more.
    let peak = load::run(&server.address, 16, time, request.to_owned(), 200).await.rate;
    let mut rounds: Vec<Vec<(Outcome, Probes)>> = vec![Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (times, figures) in [1.0, 2.0, 5.0].into_iter().zip(&mut rounds) {
            let probing = Probes::begin(server);
            let outcome =
                open_load::run(&server.address, options.connections, peak * times, time, request).await;
            figures.push((outcome, probing.end().await));
            // What was in the queues is gone before the next.
            sleep(Duration::from_secs(1)).await;
        }
    }
    println!("{name:<30} {:>7} {peak:>8.0} {:>8}", "16 wait", "100 %");
    for (times, figures) in ["1 x", "2 x", "5 x"].iter().zip(rounds) {
        let median = |of: &dyn Fn(&(Outcome, Probes)) -> f64| {
            let mut all: Vec<f64> = figures.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!(
            "{:<30} {:>7.0} {:>8.0} {:>6.0} % {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>9.1} {:>10.1}",
            format!("  at {times}"),
            median(&|it| it.0.offered),
            median(&|it| it.0.good),
            100.0 * median(&|it| it.0.good) / peak,
            median(&|it| it.0.p99),
            median(&|it| it.0.late),
            median(&|it| it.0.refused),
            median(&|it| it.0.unsent),
            median(&|it| it.1.p99),
            server.resident_mib(),
        );
    }
}

/// Somebody who asks again and again whether the server lives, and always gets an answer.
struct Probes {
    p99: f64,
}

struct Probing {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Probes {
    #[expect(clippy::disallowed_methods, reason = "`end` awaits it")]
    fn begin(server: &Server) -> Probing {
        let (address, stop) = (server.address.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut client = Client::connect(&address).await;
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(client.send("GET", "/health/live", None, None).await.status, 200);
                took.push(asked.elapsed());
                sleep(Duration::from_millis(20)).await;
            }
            took
        });
        Probing { stop, task }
    }
}

impl Probing {
    async fn end(self) -> Probes {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.task.await.expect("every probe is answered");
        took.sort_unstable();
        Probes { p99: percentile(&took, 0.99) }
    }
}
