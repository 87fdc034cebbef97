//! How a server stops: what has begun is finished, nothing new begins, and nobody waits for ever.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::place::{PATIENCE, Place};
use crate::server::Server;

const STOPPING: &str = "stopping; a second signal does not wait";

/// A request whose body has not all arrived.
pub(crate) struct SlowRequest(TcpStream);

impl SlowRequest {
    /// Begins it; the server is waiting for its body when this returns.
    pub(crate) async fn begin(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        let head = "POST /auth/login HTTP/1.1\r\nHost: portwright\r\nContent-Type: application/json\r\n\
                    Content-Length: 52\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut answer = vec![0; go_on.len()];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(answer, go_on, "{}", String::from_utf8_lossy(&answer));
        stream.write_all(br#"{"email": "nobody@example.com""#).await.expect("sent");
        Self(stream)
    }

    /// Sends the rest; everything that is answered until the connection ends.
    pub(crate) async fn finish(mut self) -> String {
        self.0.write_all(br#", "password": "12345"}"#).await.expect("sent");
        self.rest().await
    }

    /// Everything that is answered until the connection ends.
    async fn rest(&mut self) -> String {
        let mut answer = String::new();
        // A connection that is cut off may end in a reset.
        let _ = timeout(PATIENCE, self.0.read_to_string(&mut answer)).await.expect("it ends");
        answer
    }
}

/// A connection that has had an answer and is kept for the next.
async fn idle_connection(server: &Server) -> TcpStream {
    idle_connection_from(server, Ipv4Addr::LOCALHOST).await
}

async fn idle_connection_from(server: &Server, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
    let mut stream = socket.connect(server.address).await.expect("connected");
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: portwright\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("in time").expect("an answer");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Waits until nobody can connect any more.
pub(crate) async fn refuses_connections(server: &Server) {
    let refused = async {
        loop {
            match TcpStream::connect(server.address).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("it stops to accept");
}

#[tokio::test]
async fn a_request_that_has_begun_is_finished_and_idle_connections_are_closed_at_once() {
    let place = Place::empty();
    let server = place.serve().await;
    let mut idle = idle_connection(&server).await;
    let slow = SlowRequest::begin(&server).await;

    server.signal(Signal::TERM);
    let mut nothing = Vec::new();
    let closed = timeout(PATIENCE, idle.read_to_end(&mut nothing)).await;
    assert_eq!(closed.expect("it is closed").expect("in order"), 0);
    refuses_connections(&server).await;

    let answer = slow.finish().await;
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(answer.contains("invalid-credentials"), "the answer is whole: {answer}");
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains(r#""in_time":true"#), "{}", ended.log);
}

#[tokio::test]
async fn readiness_says_no_while_requests_are_still_served() {
    let place = Place::empty();
    let server = Server::start(place.command(["serve"]).env("SHUTDOWN_READY_DELAY", "2s")).await;
    let admin = place.first_admin(&server).await;
    admin.get("/health/ready").await.expect(200);

    server.signal(Signal::TERM);
    server.logged(STOPPING).await;
    assert_eq!(admin.get("/health/ready").await.expect(503)["status"], "fail");
    admin.get("/health/live").await.expect(200);
    // On a new connection, too.
    server.api().with_session(admin.session).get("/auth/me").await.expect(200);
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_time_to_stop_is_a_hard_limit() {
    let place = Place::empty();
    let server = Server::start(place.command(["serve"]).env("SHUTDOWN_TIMEOUT", "300ms")).await;
    let mut slow = SlowRequest::begin(&server).await;
    let told = Instant::now();
    server.signal(Signal::TERM);
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    // Its own limit, the last grace of a second, and what a busy machine takes.
    assert!((300..5000).contains(&told.elapsed().as_millis()), "{:?}", told.elapsed());
    assert!(ended.log.contains("did not end in time and is cut off"), "{}", ended.log);
    assert_eq!(slow.rest().await, "");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let place = Place::empty();
    let server = place.serve().await;
    let _slow = SlowRequest::begin(&server).await;
    server.signal(Signal::INT);
    server.logged(STOPPING).await;
    // Earlier it would be the same signal.
    sleep(Duration::from_millis(400)).await;
    server.signal(Signal::INT);
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("stopping at once"), "{}", ended.log);
}

#[tokio::test]
async fn a_signal_that_a_wrapper_passes_on_again_is_one_signal() {
    let place = Place::empty();
    let server = place.serve().await;
    let slow = SlowRequest::begin(&server).await;
    for signal in [Signal::INT, Signal::TERM, Signal::INT] {
        server.signal(signal);
    }
    server.logged(STOPPING).await;
    refuses_connections(&server).await;
    assert!(slow.finish().await.contains("invalid-credentials"));
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_do_not_hold_it_up() {
    const ADDRESSES: u8 = 10;
    // Each is a file of this process and of the server.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("as many as we may");
    let place = Place::empty();
    let server = place.serve().await;
    let mut idle = Vec::new();
    for number in 0..1_000 {
        // One address may have 256 connections.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % u16::from(ADDRESSES)).expect("small"));
        idle.push(idle_connection_from(&server, from).await);
    }
    let told = Instant::now();
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    for mut connection in idle {
        let mut nothing = Vec::new();
        let closed = timeout(PATIENCE, connection.read_to_end(&mut nothing)).await;
        assert_eq!(closed.expect("it is closed").expect("in order"), 0);
    }
}
