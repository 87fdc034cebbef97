//! What the HTTP API does under load, and what it costs at rest.

#![expect(clippy::print_stdout, reason = "printing is what it does")]

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use portwright_bench::load::{Figures, request, run};
use portwright_bench::server::Server;
use tempfile::TempDir;

/// Measures the HTTP API of a release build.
#[derive(Parser)]
struct Options {
    /// The server to measure.
    #[arg(long, default_value = "target/release/portwright")]
    binary: PathBuf,
    /// How long each case runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let time = Duration::from_secs(options.seconds);

    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(Server::start(&options.binary, TempDir::new()?).await.started_in);
    }
    starts.sort_unstable();
    println!("start to ready, empty directory (median of 5)   {:>8.0} ms", starts[2].as_secs_f64() * 1000.0);

    let server = Server::start(&options.binary, TempDir::new()?).await;
    println!("resident at rest                                {:>8.1} MiB", server.resident_mib());

    let (token, user) = server.sign_in().await;
    let (email, password) = server.admin();
    for number in 0..200 {
        let body = serde_json::json!({
            "email": format!("user{number}@example.com"), "password": "tango-velvet-harbor-91",
            "firstName": "Bench", "lastName": format!("Mark {number}"),
        });
        let mut client = portwright_bench::client::Client::connect(&server.address).await;
        let answer = client.send("POST", "/users", Some(&token), Some(&body.to_string())).await;
        anyhow::ensure!(answer.status == 201, "{}", String::from_utf8_lossy(&answer.body));
    }

    let live = request("GET", "/health/live", None, "");
    let one =
        request("GET", &format!("/users/{}", user["id"].as_str().unwrap_or_default()), Some(&token), "");
    let list = request("GET", "/users?limit=20", Some(&token), "");
    let walk = request("GET", "/users?limit=20&cursor=", Some(&token), "");
    let sign_in = request(
        "POST",
        "/auth/login",
        None,
        &serde_json::json!({"email": email, "password": password}).to_string(),
    );

    let address = &server.address;
    println!("\n{:<46} {:>9} {:>9} {:>9}", "case", "req/s", "p50 ms", "p99 ms");
    show("GET /health/live, 32 clients", &run(address, 32, time, live, 200).await);
    show("GET /users/{id}, 32 clients", &run(address, 32, time, one.clone(), 200).await);
    show("GET /users/{id}, 8 clients", &run(address, 8, time, one.clone(), 200).await);
    show("GET /users?limit=20 with total, 32 clients", &run(address, 32, time, list, 200).await);
    show("GET /users?limit=20 walking, 32 clients", &run(address, 32, time, walk, 200).await);
    show("POST /auth/login, 32 clients", &run(address, 32, time, sign_in.clone(), 200).await);
    let (reads, sign_ins) =
        tokio::join!(run(address, 8, time, one, 200), run(address, 32, time, sign_in, 200));
    show("GET /users/{id}, 8 clients, beside 32 sign-ins", &reads);
    show("POST /auth/login, 32 clients, beside 8 readers", &sign_ins);
    println!("\nresident after the load                         {:>8.1} MiB", server.resident_mib());
    Ok(())
}

fn show(case: &str, figures: &Figures) {
    println!("{case:<46} {:>9.0} {:>9.2} {:>9.2}", figures.rate, figures.p50, figures.p99);
}
