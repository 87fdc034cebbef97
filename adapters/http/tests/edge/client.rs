//! A client that can misbehave: it sends any bytes at any pace, and reads when it pleases.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fails the test if `future` takes too long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

pub(crate) struct Client {
    socket: TcpStream,
    received: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The body of a problem, after checking what every problem has.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"));
        problem
    }

    /// The code of a problem.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.problem()["code"].as_str().expect("a code").to_owned()
    }
}

impl From<std::net::TcpStream> for Client {
    fn from(socket: std::net::TcpStream) -> Self {
        socket.set_nonblocking(true).expect("set");
        Self { socket: TcpStream::from_std(socket).expect("a socket"), received: Vec::new() }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = within(TcpStream::connect(address)).await.expect("a connection");
        Self { socket, received: Vec::new() }
    }

    /// Sends as much as the server takes, which may close first; tells whether it took all.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(self.socket.write_all(bytes.as_ref())).await.is_ok()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).await.expect("an answer")
    }

    /// Sends the same byte again and again, until there is something to read.
    pub(crate) async fn drip(&mut self, byte: u8, pace: Duration) {
        let mut pace = interval(pace);
        let dripping = async {
            loop {
                tokio::select! {
                    ready = self.socket.readable() => return ready.expect("a socket"),
                    _ = pace.tick() => {
                        let _ = self.socket.try_write(&[byte]);
                    }
                }
            }
        };
        within(dripping).await;
    }

    /// The answer, unless the server closes instead.
    pub(crate) async fn try_get(&mut self, path: &str) -> Option<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        within(self.next()).await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        within(self.next()).await.expect("an answer")
    }

    /// The next answer, which has no body, whatever its length says.
    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        within(self.next_head()).await.expect("an answer")
    }

    /// The next answer, or `None` at the end of the connection.
    async fn next(&mut self) -> Option<Answer> {
        let mut answer = self.next_head().await?;
        let length: usize =
            answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.received.len() < length {
            assert!(self.receive().await, "the body ends early");
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect()).expect("text");
        Some(answer)
    }

    async fn next_head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.receive().await {
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("text");
        let status = head[9..12].parse().expect("a status");
        Some(Answer { status, head, body: String::new() })
    }

    /// All answers until the server closes.
    pub(crate) async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = within(self.next()).await {
            answers.push(answer);
        }
        answers
    }

    /// How long it takes the server to close without a word.
    pub(crate) async fn closed(&mut self) -> Duration {
        let start = Instant::now();
        assert!(!within(self.receive()).await, "unexpected: {:?}", String::from_utf8_lossy(&self.received));
        start.elapsed()
    }

    async fn receive(&mut self) -> bool {
        self.socket.read_buf(&mut self.received).await.unwrap_or(0) > 0
    }
}
