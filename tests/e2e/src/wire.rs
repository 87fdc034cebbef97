//! Bytes on a socket, for what a well-behaved client never sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends these bytes and reads until the server closes the connection, for 20 s at most; what it said.
pub async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The server may refuse, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stayed open; so far: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one request with `Connection: close`; what came back. `head` is the request line and headers without the end.
pub async fn request(address: &str, head: &str, body: &[u8]) -> String {
    let mut bytes = format!("{head}\r\nHost: test\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    exchange(address, &bytes).await
}
