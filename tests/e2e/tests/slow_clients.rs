//! Clients that send or read too slowly, or not at all, under the limits that the product has: each is cut off in its
//! time, and nobody else notices.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use futures::future::{Either, join_all, select};
use portwright_e2e::{Answer, TestApp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep, timeout};

/// How long a request head, or the start of a body, may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may do nothing between two requests, or take nothing of an answer.
const IDLE: Duration = Duration::from_secs(30);
/// What a busy machine may add.
const TOLERANCE: Duration = Duration::from_secs(2);
/// So many of each kind, at once.
const CLIENTS: usize = 15;

/// In what way a client is slow.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// Connects and says nothing.
    Silent,
    /// Stops in the middle of a head.
    HalfHead,
    /// Never ends the head, and sends a byte of it now and then.
    DrippedHead,
    /// The same, after a request that was answered.
    DrippedSecondHead,
    /// Announces a body and sends a part of it.
    HalfBody,
    /// Sends the body byte by byte.
    DrippedBody,
    /// Sends no second request.
    Idle,
    /// Asks for much and takes nothing.
    NeverReading,
}

impl Slow {
    const ALL: [Self; 8] = [
        Self::Silent,
        Self::HalfHead,
        Self::DrippedHead,
        Self::DrippedSecondHead,
        Self::HalfBody,
        Self::DrippedBody,
        Self::Idle,
        Self::NeverReading,
    ];

    fn limit(self) -> Duration {
        if matches!(self, Self::Idle | Self::NeverReading) { IDLE } else { HEAD }
    }

    /// What the server says before it closes; whoever said nothing is told nothing.
    fn last_word(self) -> Option<&'static str> {
        match self {
            Self::Silent | Self::Idle | Self::NeverReading => None,
            _ => Some("request-timeout"),
        }
    }

    fn sends(self) -> &'static str {
        match self {
            Self::Silent => "",
            Self::HalfHead | Self::DrippedHead | Self::DrippedSecondHead => "GET / HTTP/1.1\r\nHost: te",
            Self::HalfBody | Self::DrippedBody => {
                "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
            }
            Self::Idle => "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n",
            Self::NeverReading => "GET /docs HTTP/1.1\r\nHost: test\r\n\r\n",
        }
    }

    /// Is slow until the server has had enough; how long that took, and what it said.
    async fn torment(self, address: &str) -> (Duration, String) {
        let mut stream = connect(address).await;
        if matches!(self, Self::DrippedSecondHead) {
            stream.write_all(Self::Idle.sends().as_bytes()).await.expect("it is sent");
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        }
        let times = if matches!(self, Self::NeverReading) { 100 } else { 1 };
        stream.write_all(self.sends().repeat(times).as_bytes()).await.expect("it is sent");
        if matches!(self, Self::Idle) {
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        }
        let start = Instant::now();
        let last_word = match self {
            Self::NeverReading => drip(&mut stream).await,
            Self::DrippedHead | Self::DrippedSecondHead | Self::DrippedBody => {
                let (mut reader, mut writer) = stream.split();
                match select(Box::pin(rest(&mut reader)), Box::pin(drip(&mut writer))).await {
                    Either::Left((said, _)) => said,
                    // It was cut off while we were sending; what it said may still be there.
                    Either::Right((_, reading)) => reading.await,
                }
            }
            _ => rest(&mut stream).await,
        };
        (start.elapsed(), last_word)
    }
}

/// With little room for what we do not read.
async fn connect(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("it is set");
    socket.connect(address.parse().expect("an address")).await.expect("a connection")
}

/// What comes first.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let count = stream.read(&mut bytes).await.expect("an answer");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// All that comes until the connection ends, in whichever way.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {}
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A byte now and then, until the connection is gone.
async fn drip(stream: &mut (impl tokio::io::AsyncWrite + Unpin)) -> String {
    let mut pace = interval(Duration::from_millis(250));
    loop {
        pace.tick().await;
        // A write that waits is not one that failed.
        if let Ok(Err(_)) = timeout(Duration::from_millis(200), stream.write_all(b"x")).await {
            return String::new();
        }
    }
}

async fn is_cut_off_in_time(slow: Slow, address: &str) {
    let most = slow.limit() + TOLERANCE;
    // What the limit measures begins a little before we look at the clock.
    let least = slow.limit().saturating_sub(Duration::from_millis(500));
    // The wait is longer than the limit, so that a failure tells by how much.
    let ended = timeout(most + 2 * TOLERANCE, slow.torment(address)).await;
    let (took, said) = ended.unwrap_or_else(|_| panic!("{slow:?} is still connected"));
    assert!((least..most).contains(&took), "{slow:?} was cut off after {took:?}: {said}");
    match slow.last_word() {
        Some(code) => drop(Answer::parse(&said).expect_refused(408, code)),
        None => assert_eq!(said, "", "{slow:?}"),
    }
}

/// Reads a little at a time, but reads: nobody may cut it off.
async fn is_served_at_its_own_pace(address: &str, until: Duration) {
    let mut stream = connect(address).await;
    stream.write_all(Slow::NeverReading.sends().repeat(100).as_bytes()).await.expect("it is sent");
    let start = Instant::now();
    let mut bytes = vec![0; 16 * 1024];
    while start.elapsed() < until {
        let count = timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.expect("there is more");
        assert!(count.is_ok_and(|count| count > 0), "cut off after {:?}", start.elapsed());
        sleep(Duration::from_millis(250)).await;
    }
}

/// Asks again and again, and never waits long.
async fn is_served_quickly(app: &TestApp, until: Duration) {
    let admin = app.admin().await;
    let start = Instant::now();
    let mut took = Vec::new();
    while start.elapsed() < until {
        for path in ["/health/live", "/auth/me", "/users?limit=1"] {
            let asked = Instant::now();
            // The access token is good for ever: nobody moves the clock.
            admin.get(path).await.expect(200);
            took.push(asked.elapsed());
        }
        sleep(Duration::from_millis(50)).await;
    }
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(
        median < Duration::from_millis(200) && worst < TOLERANCE,
        "median {median:?}, at worst {worst:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_nobody_else_notices() {
    let app = TestApp::embedded().await;
    let address = app.address();
    let slow = Slow::ALL.iter().flat_map(|slow| (0..CLIENTS).map(|_| is_cut_off_in_time(*slow, &address)));
    let long_enough = IDLE + TOLERANCE;
    tokio::join!(
        join_all(slow),
        is_served_at_its_own_pace(&address, long_enough),
        is_served_quickly(&app, long_enough),
    );
}
