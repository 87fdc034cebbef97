//! What an import of many users does to those who read meanwhile: readers' p99 beside it, against p99 in quiet.

#![expect(clippy::print_stdout, reason = "printing is what it does")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use portwright_bench::client::Client;
use portwright_bench::load::{Figures, request, request_of, run};
use portwright_bench::server::Server;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Measures readers beside an import, with a release build and its own workers.
#[derive(Parser)]
struct Options {
    /// The server to measure.
    #[arg(long, default_value = "target/release/portwright")]
    binary: PathBuf,
    /// Users in the file.
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// Those who read, each sending the next request when it has the answer.
    #[arg(long, default_value_t = 32)]
    readers: usize,
    /// How long readers are measured, in quiet and beside the import.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// How long an import may stand still before there is no point in waiting.
const STANDSTILL: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let time = Duration::from_secs(options.seconds);
    let workers = [("COMPUTE_AUTO_SPAWN", "true"), ("COMPUTE_LEASE", "30s")];
    let server = Server::start_with(&options.binary, TempDir::new()?, &workers).await;
    let (token, user) = server.sign_in().await;
    let path = format!("/users/{}", user["id"].as_str().unwrap_or_default());
    let read = request("GET", &path, Some(&token), "");
    let readers = || run(&server.address, options.readers, time, read.clone(), 200);

    println!("{:<40} {:>9} {:>9} {:>9}", "case", "req/s", "p50 ms", "p99 ms");
    readers().await;
    let quiet = readers().await;
    show("GET /users/{id}, nothing else", &quiet);

    let job = Job::start(&server.address, token.clone(), options.rows).await?;
    job.until(|_, done| done > 0).await?;
    let (before, begun) = (job.look().await?, Instant::now());
    let beside = readers().await;
    let (after, took) = (job.look().await?, begun.elapsed());
    show("GET /users/{id}, beside the import", &beside);
    println!("\np99 beside the import / p99 in quiet {:>14.2}   (target: at most 3)", beside.p99 / quiet.p99);
    ensure!(after.0 == "running", "the import was over before the readers were; give it more rows");
    println!("rows a second beside the readers     {:>14.1}", rate(after.1 - before.1, took));

    let begun = Instant::now();
    job.until(|state, _| is_over(state)).await?;
    println!(
        "rows a second with nobody else       {:>14.1}",
        rate(options.rows as u64 - after.1, begun.elapsed())
    );
    println!("the import in all                    {:>12.0} s", job.begun.elapsed().as_secs_f64());
    job.check("created", options.rows).await?;

    let again = Job::start(&server.address, token, options.rows).await?;
    again.until(|state, _| is_over(state)).await?;
    println!(
        "rows a second that are there already {:>14.1}",
        rate(options.rows as u64, again.begun.elapsed())
    );
    again.check("unchanged", options.rows).await
}

/// The job of an import.
struct Job {
    address: String,
    token: String,
    path: String,
    begun: Instant,
}

impl Job {
    /// Sends a file of so many users.
    async fn start(address: &str, token: String, rows: usize) -> anyhow::Result<Self> {
        let lines = (0..rows).map(|row| {
            format!("imported{row}@example.com,Bench,Mark {row},user,tango-velvet-harbor-{row}\n")
        });
        let file: String =
            std::iter::once("email,firstName,lastName,role,password\n".to_owned()).chain(lines).collect();
        let upload = request_of("POST", "/users/import", Some(&token), "text/csv", &file);
        let begun = Instant::now();
        let answer = Client::connect(address).await.send_raw(&upload).await;
        ensure!(answer.status == 202, "{}", String::from_utf8_lossy(&answer.body));
        let job: Value = serde_json::from_slice(&answer.body)?;
        let path = format!("/jobs/{}", job["id"].as_str().context("an id")?);
        Ok(Self { address: address.to_owned(), token, path, begun })
    }

    async fn read(&self) -> anyhow::Result<Value> {
        let mut client = Client::connect(&self.address).await;
        let answer = client.send("GET", &self.path, Some(&self.token), None).await;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Its state, and how many rows are done.
    async fn look(&self) -> anyhow::Result<(String, u64)> {
        let job = self.read().await?;
        let done = job["progress"]["done"].as_u64().context("a number")?;
        Ok((job["state"].as_str().context("a state")?.to_owned(), done))
    }

    /// Waits until its state and the rows that are done are like this.
    async fn until(&self, is_it: impl Fn(&str, u64) -> bool) -> anyhow::Result<()> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let (state, done) = self.look().await?;
            if is_it(&state, done) {
                return Ok(());
            }
            if done != last {
                (last, moved) = (done, Instant::now());
            }
            ensure!(moved.elapsed() < STANDSTILL, "it is {state} and has stood at {done} rows for a minute");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether that is what became of everybody.
    async fn check(&self, what: &str, rows: usize) -> anyhow::Result<()> {
        let job = self.read().await?;
        ensure!(job["result"][what] == rows, "not everybody is {what}: {job}");
        Ok(())
    }
}

fn is_over(state: &str) -> bool {
    !["ready", "running", "scheduled"].contains(&state)
}

fn rate(rows: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rows = rows as f64;
    rows / took.as_secs_f64()
}

fn show(case: &str, figures: &Figures) {
    println!("{case:<40} {:>9.0} {:>9.2} {:>9.2}", figures.rate, figures.p50, figures.p99);
}
