//! Thousands of clients that send nothing, next to nothing, or read nothing: the server holds them, and whoever is quick
//! does not notice. How quick that is, is measured by a benchmark (`slow_clients`).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portwright_testkit::Scrape;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::place::{PATIENCE, Place};
use crate::server::Server;
use crate::size::sized;
use crate::workers::until;

/// What each kind sends first, and with which byte it goes on; the last one reads nothing.
const SLOW: [(&str, Option<u8>); 5] = [
    ("", None),
    ("GET / HTTP/1.1\r\nHost: te", Some(b'x')),
    (
        "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
        Some(b'x'),
    ),
    // A body in chunks is not waited for before its request begins. The size of this one never ends.
    (
        "POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        Some(b'0'),
    ),
    ("GET /docs HTTP/1.1\r\nHost: test\r\n\r\n", Some(b'\n')),
];

/// So many share an address: the server takes some more of one.
const SHARED_BY: usize = 100;

/// What each may cost on average. What thousands cost a release build is measured by the benchmark.
const MEMORY_OF_EACH: u64 = 16 << 10;

/// By how much the server grows in its first moments, whatever it does.
const MEMORY_OF_A_START: u64 = 8 << 20;

/// Requests that are worked on at a time.
const WORKED_ON: u64 = 20;

/// How often the quick client asks for everything.
const ROUNDS: usize = 20;

/// A connection from an address that it shares with few others, with little room for what it does not read.
async fn connect(number: usize, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("it is set");
    let offset = u32::try_from(number / SHARED_BY).expect("few addresses");
    let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + offset);
    socket.bind((from, 0).into()).expect("it is ours");
    timeout(PATIENCE, socket.connect(to)).await.expect("in time").expect("a connection")
}

/// Says what it has to say, holds its connection as long as the server lets it, and comes back at once.
async fn torment(number: usize, server: SocketAddr) {
    let (first, goes_on) = SLOW[number % SLOW.len()];
    loop {
        let mut stream = connect(number, server).await;
        let _ = stream.write_all(first.as_bytes()).await;
        match goes_on {
            Some(byte) => {
                let mut pace = interval(Duration::from_secs(1));
                while stream.write_all(&[byte]).await.is_ok() {
                    pace.tick().await;
                }
            }
            // It has nothing to read until the server has had enough.
            None => drop(stream.read_u8().await),
        }
    }
}

/// Resident memory in bytes.
fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_slow_clients_are_held_and_everybody_else_is_served() {
    let clients = sized(500, 5_000);
    let place = Place::empty();
    let limit = WORKED_ON.to_string();
    let server = Server::start(place.command(["serve"]).env("HTTP_MAX_CONCURRENT", limit)).await;
    let admin = place.first_admin(&server).await;
    for path in ["/docs", "/users", "/auth/me", "/metrics"] {
        admin.get(path).await.expect(200);
    }
    let before = memory_of(server.pid());

    let mut slow = JoinSet::new();
    for number in 0..clients {
        slow.spawn(torment(number, server.address));
    }
    let metrics = format!("http://{}/metrics", server.address);
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    let scrape = async || {
        let text = http.get(&metrics).send().await.expect("an answer").text().await.expect("text");
        Scrape::parse(&text)
    };
    until("they are there, and more of them send a body than may be worked on", async || {
        let seen = scrape().await;
        // Some were thrown out and are on their way back, at any moment.
        seen.whole("process_open_fds", &[]) >= clients as u64 * 2 / 3
            && seen.whole("http_server_active_requests", &[]) > 2 * WORKED_ON
    })
    .await;
    let mut most = 0;
    for round in 0..ROUNDS {
        admin.get("/auth/me").await.expect(200);
        let name = json!({"firstName": format!("Ada {round}")});
        let me = format!("/users/{}", admin.session["user"]["id"].as_str().expect("an id"));
        admin.send(Method::PATCH, &me, Some(&name)).await.expect("an answer").expect(200);
        admin.get("/health/ready").await.expect(200);
        most = most.max(memory_of(server.pid()));
    }
    let shed = scrape().await.whole("http_server_shed_requests_total", &[]);
    assert_eq!(shed, 0, "who waits for its client holds nobody up");
    let grew = most.saturating_sub(before);
    assert!(grew <= MEMORY_OF_A_START + MEMORY_OF_EACH * clients as u64, "{} MiB for {clients}", grew >> 20);
    slow.shutdown().await;
    assert_eq!(server.stop().await.code, Some(0));
}
