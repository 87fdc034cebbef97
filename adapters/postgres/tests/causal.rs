//! Processes that write and read while their replicas lag, pause and take over: nobody who sends tokens goes back.
//!
//! The test starts itself as three processes, which are told by lines how the replicas are.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, and lines are how its processes talk"
)]

#[path = "causal/client.rs"]
mod client;
#[path = "causal/servers.rs"]
mod servers;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use portwright_domain::ports::Unobserved;
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_testkit::sized;
use tokio::time::Instant;

use self::client::Tally;
use self::servers::Servers;

const TEST: &str = "who_sends_tokens_never_goes_back_whatever_becomes_of_the_replicas";
const PROCESSES: usize = 3;

/// A process that writes and reads.
struct Api(Child);

impl Api {
    fn start(urls: &[String], pairs: usize, number: usize, progress: &mpsc::Sender<Tally>) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", TEST, "--nocapture"])
            .arg(format!("client={number},{pairs},{}", urls.join(",")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let told = BufReader::new(child.stderr.take().expect("a pipe"));
        let progress = progress.clone();
        std::thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                match Tally::parse(&line) {
                    Some(tally) => progress.send(tally).expect("somebody counts"),
                    None => eprintln!("process {number}: {line}"),
                }
            }
        });
        Self(child)
    }

    fn tell(&mut self, line: &str) {
        // One that is done already listens no more.
        let _ = writeln!(self.0.stdin.as_mut().expect("a pipe"), "{line}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_tokens_never_goes_back_whatever_becomes_of_the_replicas() {
    if let Some(work) = std::env::args().find_map(|word| word.strip_prefix("client=").map(str::to_owned)) {
        return client::run(&work).await;
    }
    let pairs = sized(900, 50_000);
    let mut servers = Servers::start();
    let urls = servers.urls();
    let config = PostgresConfig::at(&urls).expect("URLs");
    let store = PostgresStore::init(&config, Arc::new(Unobserved)).await.expect("a store");

    let (progress, tallies) = mpsc::channel();
    let mut apis: Vec<Api> = (0..PROCESSES)
        .map(|number| Api::start(&urls, pairs.div_ceil(PROCESSES), number, &progress))
        .collect();
    drop(progress);
    let mut sum = Tally::default();
    let mut is_calm = true;
    let mut next_trouble = Instant::now();
    // Until the last of them has told everything.
    loop {
        match tallies.recv_timeout(Duration::from_millis(50)) {
            Ok(tally) => sum = sum + tally,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        // Calm for the first two fifths, then trouble, with a promotion in the middle of it, and calm again.
        let part = sum.pairs * 100 / pairs;
        let shall_be_calm = !(40..85).contains(&part);
        if shall_be_calm && !is_calm {
            servers.calm_down();
        }
        if shall_be_calm != is_calm {
            is_calm = shall_be_calm;
            for api in &mut apis {
                api.tell(if is_calm { "calm" } else { "trouble" });
            }
        }
        if part >= 60 {
            servers.promote_once();
        }
        if !is_calm && Instant::now() >= next_trouble {
            next_trouble = Instant::now() + servers.make_trouble();
        }
    }
    store.close().await;

    let on_replicas = sum.calm_on_replicas * 100 / sum.calm_reads.max(1);
    let told = format!("{sum:?}, {on_replicas} % on replicas while they were close");
    println!("{told}");
    assert!(servers.is_promoted(), "{told}");
    assert!(sum.pairs >= pairs, "{told}");
    assert_eq!((sum.stale, sum.gone_back), (0, 0), "{told}");
    // The second after the start, in which the replicas are not trusted yet, weighs more in a short run.
    assert!(on_replicas >= sized(60, 90), "{told}");
}
