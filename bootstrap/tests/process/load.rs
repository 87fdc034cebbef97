//! [`Load`]: clients that ask at a steady rate, and count everything that goes wrong.
//!
//! They speak HTTP themselves, to hide nothing: each keeps its connection until the server says that it closes, and sends
//! nothing twice. Whatever is no answer, or another one than was promised, is a failure.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::place::PATIENCE;

/// As many as a proxy or a pool keeps connections.
const CLIENTS: u64 = 8;
/// How often each of them asks, so that together they do so a hundred times a second.
const EVERY: Duration = Duration::from_millis(80);
/// The head and body of an answer here are far shorter.
const MOST_BYTES: usize = 1 << 16;

/// What is asked for, and the status that it is answered with.
#[derive(Debug, Clone, Copy)]
struct Ask {
    line: &'static str,
    body: &'static str,
    status: u16,
}

/// Half of the requests read who this is, the other half begin a job.
const BY_A_USER: [Ask; 2] = [
    Ask { line: "GET /auth/me", body: "", status: 200 },
    Ask { line: "POST /compute/primes", body: r#"{"below":10}"#, status: 202 },
];

/// What is asked at the port for operators.
const BY_OPERATORS: [Ask; 2] = [
    Ask { line: "GET /health/ready", body: "", status: 200 },
    Ask { line: "GET /metrics", body: "", status: 200 },
];

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Reads that were answered.
    pub(crate) read: usize,
    /// Jobs that were taken: to send such a request again would make another one.
    pub(crate) posted: usize,
    pub(crate) failures: Vec<String>,
    /// The longest that an answer took.
    pub(crate) slowest: Duration,
}

/// Goes on until it is ended.
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<Tally>,
}

impl Load {
    /// A user who reads and begins jobs.
    pub(crate) fn begin(address: SocketAddr, who: &Api) -> Self {
        let token = who.session["accessToken"].as_str().expect("signed in");
        Self::of(address, token, BY_A_USER)
    }

    /// Probes and scrapes, at the port for operators.
    pub(crate) fn of_operators(address: SocketAddr) -> Self {
        Self::of(address, "", BY_OPERATORS)
    }

    fn of(address: SocketAddr, token: &str, asks: [Ask; 2]) -> Self {
        let stop = CancellationToken::new();
        let clients = (0..CLIENTS).map(|number| {
            let client = Client { address, token: token.to_owned(), asks, connection: None };
            client.ask_until(stop.clone(), EVERY / 8 * u32::try_from(number).expect("small"))
        });
        Self { clients: clients.collect(), stop }
    }

    /// What came of all that was asked; panics if something failed.
    pub(crate) async fn end(self) -> Tally {
        self.stop.cancel();
        let mut all = Tally::default();
        for tally in self.clients.join_all().await {
            all.read += tally.read;
            all.posted += tally.posted;
            all.failures.extend(tally.failures);
            all.slowest = all.slowest.max(tally.slowest);
        }
        let Tally { read, posted, failures, .. } = &all;
        let (count, first) = (failures.len(), failures.iter().take(5).collect::<Vec<_>>());
        assert!(failures.is_empty(), "{count} of {} failed, such as {first:#?}", count + read + posted);
        all
    }
}

struct Client {
    address: SocketAddr,
    token: String,
    /// In turn.
    asks: [Ask; 2],
    connection: Option<TcpStream>,
}

impl Client {
    async fn ask_until(mut self, stop: CancellationToken, offset: Duration) -> Tally {
        let mut tally = Tally::default();
        sleep(offset).await;
        let mut ticks = interval(EVERY);
        // Whoever had to wait asks for all that it missed: the rate is steady, whatever the server does.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for ask in self.asks.into_iter().cycle() {
            if stop.is_cancelled() {
                break;
            }
            ticks.tick().await;
            let began = Instant::now();
            let asked = timeout(PATIENCE, self.ask(ask)).await;
            match asked.unwrap_or_else(|elapsed| Err(io::Error::other(elapsed))) {
                Ok((status, _)) if status == ask.status && ask.line.starts_with("GET") => tally.read += 1,
                Ok((status, _)) if status == ask.status => tally.posted += 1,
                Ok((status, body)) => tally.failures.push(format!("{status}: {body}")),
                Err(error) => {
                    self.connection = None;
                    tally.failures.push(format!("{error:?}"));
                }
            }
            tally.slowest = tally.slowest.max(began.elapsed());
        }
        tally
    }

    /// The status and the body of the answer.
    async fn ask(&mut self, Ask { line, body, .. }: Ask) -> io::Result<(u16, String)> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => TcpStream::connect(self.address).await?,
        };
        let (token, length) = (&self.token, body.len());
        let head = format!("{line} HTTP/1.1\r\nHost: portwright\r\nAuthorization: Bearer {token}\r\n");
        let head = format!("{head}Prefer: respond-async\r\nContent-Type: application/json\r\n");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let (head, body) = loop {
            if connection.read_buf(&mut answer).await? == 0 || answer.len() > MOST_BYTES {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if Some(body.len()) == length.and_then(|length| length.parse().ok()) {
                break (head, body.to_owned());
            }
        };
        if !head.lines().any(|line| line == "connection: close") {
            self.connection = Some(connection);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body))
    }
}
