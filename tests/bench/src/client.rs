//! The least that speaks HTTP/1.1: a general client would take more of the two cores than the server it measures.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// One connection that is kept.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to `host:port`.
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Connects to `host:port` from the address of this number.
    pub async fn connect_from(number: u32, address: &str) -> Self {
        let stream =
            socket_of(number).connect(address.parse().expect("an address")).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends one request and waits for its answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let request = crate::load::request(method, path, token, body.unwrap_or_default());
        self.send_raw(&request).await
    }

    /// Sends prepared bytes and waits for the answer.
    pub async fn send_raw(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("sent");
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await;
        };
        let text = std::str::from_utf8(&self.buffer[..head]).expect("text");
        let status = text[9..12].parse().expect("a status");
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let end = head + length.unwrap_or(0);
        while self.buffer.len() < end {
            self.read().await;
        }
        Answer { status, body: self.buffer[head..end].to_vec() }
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.expect("received");
        assert!(read > 0, "the server closed the connection");
    }
}

/// A socket at an address of the loopback network that it shares with few others, as the server takes so many connections
/// of one address and no more.
#[must_use]
pub fn socket_of(number: u32) -> TcpSocket {
    const SHARED_BY: u32 = 200;
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + number / SHARED_BY);
    socket.bind(SocketAddr::from((from, 0))).expect("it is ours");
    socket
}
