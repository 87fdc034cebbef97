//! What reads over HTTP from PostgreSQL cost, beside the least that poem and sqlx need for the same answers.
//!
//! All servers run from the start to the end, and each case goes round them in turn for about a second each, so what else
//! the machine does meets all of them. What is compared is the median of the rounds.
//!
//! Time on the processor is counted besides, of each server, of the database for it and of the clients, who all share the
//! processors. Where these are busy, as they are on a machine of two, the shares of that time tell what the rates would be if
//! nobody else were there.

#![expect(clippy::print_stdout, reason = "printing is what it does")]
#![expect(clippy::cast_precision_loss, reason = "rates and shares")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use portwright_bench::bare;
use portwright_bench::client::Client;
use portwright_bench::load::{Figures, request, run_each};
use portwright_bench::process::{cpu_time, cpu_time_of, cpu_time_of_family};
use portwright_bench::server::Server;
use portwright_testkit::servers::Postgres;
use serde_json::Value;
use tempfile::TempDir;

/// Less CPU per request than the system's allocator, as in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures reads of a release build beside a bare server.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    /// The server to measure.
    #[arg(long, default_value = "target/release/portwright")]
    binary: PathBuf,
    /// Rounds of each case.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each server is measured in a round.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// Clients, each with a connection and a session of its own.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Rows in the table.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
}

#[derive(Subcommand)]
enum Role {
    /// Is the bare server.
    Bare(bare::Options),
}

/// Connections of each server to the database; the product's usual number.
const CONNECTIONS: u32 = 10;
/// Different users that a client asks for.
const ASKED_FOR: usize = 50;
/// What the bare server answers only to who is signed in.
const FOR_CALLERS: &str = "/for-callers";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(Role::Bare(options)) = options.role {
        return bare::serve(options).await;
    }
    let bench = Bench::start(&options).await?;
    println!(
        "{:<24} {:>7} {:>8} {:>8} {:>10} {:>12} {:>11} {:>10} {:>9}",
        "", "req/s", "p50 ms", "p99 ms", "server us", "postgres us", "clients us", "of its rate", "by time"
    );
    let paths: Vec<_> = bench.ids.iter().map(|id| format!("/users/{id}")).collect();
    bench.measure("GET /users/{id}", &paths).await?;
    bench.measure("GET /users?limit=20", &["/users?limit=20".to_owned()]).await?;
    bench.measure("GET /queues, remembered", &["/queues".to_owned()]).await
}

/// The servers, and who asks them.
struct Bench {
    database: Database,
    product: Server,
    bare: Bare,
    /// One for each client.
    tokens: Vec<String>,
    ids: Vec<String>,
    rounds: usize,
    time: Duration,
}

impl Bench {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let database = Database::start();
        let url = database.server.url(&database.name);
        let connections = CONNECTIONS.to_string();
        let variables = [("DATABASE_URL", url.as_str()), ("DB_CONNECTION_LIMIT", &connections)];
        let product = Server::start_with(&options.binary, TempDir::new()?, &variables).await;
        let ids = database.fill(options.users, options.clients * ASKED_FOR);
        let mut tokens = Vec::new();
        for _ in 0..options.clients {
            tokens.push(product.sign_in().await.0);
        }
        let remembered = answer(&product.address, "/queues", tokens.first()).await?;
        let bare = Bare::start(&url, &product.key(), &remembered)?;
        let time = Duration::from_millis(options.milliseconds);
        Ok(Self { database, product, bare, tokens, ids, rounds: options.rounds, time })
    }

    /// Each client asks for its part of these paths, again and again.
    async fn measure(&self, case: &str, paths: &[String]) -> anyhow::Result<()> {
        let mut rivals = [
            Rival::new("portwright", &self.product.address, self.product.id(), ""),
            Rival::new("bare", &self.bare.address, self.bare.process.id(), ""),
            Rival::new("bare, for callers", &self.bare.address, self.bare.process.id(), FOR_CALLERS),
        ];
        for rival in &rivals {
            self.is_the_same_answer(rival, &paths[0]).await?;
        }
        for round in 0..=self.rounds {
            for turn in 0..rivals.len() {
                let rival = &mut rivals[(round + turn) % 3];
                let measured = self.round(rival, paths).await;
                // In the first, statements are prepared and memory is taken.
                if round > 0 {
                    rival.rounds.push(measured);
                }
            }
        }
        println!("{case}");
        let [product, ..] = &rivals;
        for rival in &rivals {
            let pairs = || product.rounds.iter().zip(&rival.rounds);
            println!(
                "  {:<22} {:>7.0} {:>8.2} {:>8.2} {:>10.1} {:>12.1} {:>11.1} {:>10.2} {:>9.2}",
                rival.name,
                rival.median(|round| round.figures.rate),
                rival.median(|round| round.figures.p50),
                rival.median(|round| round.figures.p99),
                rival.median(|round| round.server),
                rival.median(|round| round.database),
                rival.median(|round| round.clients),
                median(pairs().map(|(product, rival)| product.figures.rate / rival.figures.rate)),
                median(pairs().map(|(product, rival)| rival.in_all() / product.in_all())),
            );
        }
        Ok(())
    }

    async fn round(&self, rival: &Rival<'_>, paths: &[String]) -> Round {
        let used = || [cpu_time_of(rival.pid), cpu_time_of_family(self.database.pid), cpu_time()];
        let before = used();
        let requests = self.tokens.iter().enumerate().map(|(client, token)| {
            let mine = paths.iter().cycle().skip(client * ASKED_FOR).take(ASKED_FOR);
            let path = |path: &String| format!("{}{path}", rival.prefix);
            mine.map(|mine| request("GET", &path(mine), Some(token), "")).collect()
        });
        let figures = run_each(rival.address, requests.collect(), self.time, 200).await;
        let after = used();
        let each = |used: Duration| used.as_secs_f64() * 1e6 / figures.answers as f64;
        let [server, database, clients] =
            std::array::from_fn(|who| each(after[who].saturating_sub(before[who])));
        Round { figures, server, database, clients }
    }

    /// A comparison of different answers says nothing.
    async fn is_the_same_answer(&self, rival: &Rival<'_>, path: &str) -> anyhow::Result<()> {
        let parsed = async |address: &str, path: &str| -> anyhow::Result<Value> {
            Ok(serde_json::from_str(&answer(address, path, self.tokens.first()).await?)?)
        };
        let expected = parsed(&self.product.address, path).await?;
        let found = parsed(rival.address, &format!("{}{path}", rival.prefix)).await?;
        anyhow::ensure!(expected == found, "{path}: {expected} is not {found}");
        Ok(())
    }
}

async fn answer(address: &str, path: &str, token: Option<&String>) -> anyhow::Result<String> {
    let answer = Client::connect(address).await.send("GET", path, token.map(String::as_str), None).await;
    let body = String::from_utf8(answer.body)?;
    anyhow::ensure!(answer.status == 200, "{path}: {} {body}", answer.status);
    Ok(body)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Who answers a case, and what it took.
struct Rival<'a> {
    name: &'static str,
    address: &'a str,
    pid: u32,
    prefix: &'static str,
    rounds: Vec<Round>,
}

/// What was measured at once; times on the processor are microseconds for each answer.
struct Round {
    figures: Figures,
    server: f64,
    database: f64,
    clients: f64,
}

impl Round {
    fn in_all(&self) -> f64 {
        self.server + self.database + self.clients
    }
}

impl<'a> Rival<'a> {
    const fn new(name: &'static str, address: &'a str, pid: u32, prefix: &'static str) -> Self {
        Self { name, address, pid, prefix, rounds: Vec::new() }
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }
}

/// A database server of our own.
struct Database {
    server: Postgres,
    name: String,
    pid: u32,
}

impl Database {
    fn start() -> Self {
        let server = Postgres::primary();
        let name = server.fresh_database();
        let file = server.sql("SELECT pg_read_file('postmaster.pid')");
        let pid = file
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("the number of its process");
        Self { server, name, pid }
    }

    /// Adds users, and names some of them.
    fn fill(&self, users: usize, names: usize) -> Vec<String> {
        let sql = |statement: &str| self.server.sql_in(&self.name, statement);
        sql(&format!(
            "INSERT INTO users (id, email, email_key, first_name, first_name_key, last_name, last_name_key, role, \
             is_active, is_email_verified, password, created_at, updated_at, version) \
             SELECT gen_random_uuid(), format('user%s@example.com', n), format('user%s@example.com', n), 'Bench', 'bench', \
             format('Mark %s', n), format('mark %s', n), 'user', true, false, '-', 1700000000000000 + n, \
             1700000000000000 + n, 1 FROM generate_series(1, {users}) AS n"
        ));
        sql("VACUUM ANALYZE");
        let ids = sql(&format!("SELECT id FROM users ORDER BY id LIMIT {names}"));
        ids.split_whitespace().map(str::to_owned).collect()
    }
}

/// The bare server in a process of its own; gone when dropped.
struct Bare {
    process: Child,
    address: String,
}

impl Bare {
    fn start(database: &str, key: &Path, remembered: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["bare", "--database", database, "--connections", &CONNECTIONS.to_string()])
            .args(["--remembered", remembered, "--key"])
            .arg(key)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let said = process.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut address)?;
        address.truncate(address.trim_end().len());
        Ok(Self { process, address })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
