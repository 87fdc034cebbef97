//! A small HTTP/1.1 client: a connection for each request, an end to every wait, a limit to every answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::Secret;

/// How long an answer may take whose request says nothing else.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream may be silent; servers say more often that they are there.
const SILENCE: Duration = Duration::from_secs(40);
/// The longest answer, and the longest event of a stream.
const MOST_BYTES: usize = 1 << 20;

/// Asks one server, as somebody who is signed in or not.
#[derive(Debug, Clone)]
pub(super) struct Client {
    address: SocketAddr,
    /// The access token.
    pub(super) token: Option<Secret>,
}

/// A request to be sent.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// May hold a password, so this type has no `Debug`.
    body: Option<Value>,
    patience: Duration,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None, patience: PATIENCE }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The same, whose answer may take so much longer.
    pub(super) fn waiting(mut self, longer: Duration) -> Self {
        self.patience += longer;
        self
    }
}

/// An answer that has arrived whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    /// Null if it is no JSON.
    pub(super) body: Value,
    /// From the connection to the last byte.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A member of the body, if it is a text.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }
}

impl Client {
    pub(super) const fn at(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// Sends a request and waits for all of the answer, whatever its status.
    pub(super) async fn send(&self, ask: Ask) -> io::Result<Answer> {
        let began = Instant::now();
        let patience = ask.patience;
        let answered = timeout(patience, async {
            let (response, _connection) = self.open(ask).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await.map_err(io::Error::other)?;
            let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            Ok(Answer { status: head.status, headers: head.headers, body, took: began.elapsed() })
        });
        answered.await.unwrap_or_else(|_elapsed| Err(silent(patience)))
    }

    /// Opens a stream of server-sent events whose data is JSON. Answers the status, too: only 200 has events.
    pub(super) async fn follow(&self, path: &str) -> io::Result<(StatusCode, Events)> {
        let opened = timeout(PATIENCE, self.open(Ask::get(path))).await;
        let (response, connection) = opened.unwrap_or_else(|_elapsed| Err(silent(PATIENCE)))?;
        let status = response.status();
        Ok((status, Events { body: response.into_body(), text: Vec::new(), _connection: connection }))
    }

    /// The answer with its body still to come, which it does for as long as the connection is kept.
    async fn open(&self, ask: Ask) -> io::Result<(Response<Incoming>, JoinSet<()>)> {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        request = request.header(HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        if ask.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = ask.body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;

        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            // Whoever waits for the answer hears of the error.
            let _ = driver.await;
        });
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        Ok((response, connection))
    }
}

/// Server-sent events that go on to come.
pub(super) struct Events {
    body: Incoming,
    /// What has come of the next event, or of several.
    text: Vec<u8>,
    _connection: JoinSet<()>,
}

impl Events {
    /// The data of the next event; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Value>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                match data(&event) {
                    Some(data) => return Ok(Some(data)),
                    None => continue,
                }
            }
            if self.text.len() > MOST_BYTES {
                return Err(io::Error::new(ErrorKind::FileTooLarge, "an event is too long"));
            }
            let frame = timeout(SILENCE, self.body.frame()).await.map_err(|_elapsed| silent(SILENCE))?;
            match frame {
                Some(frame) => {
                    let frame = frame.map_err(io::Error::other)?;
                    self.text.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
                }
                None => return Ok(None),
            }
        }
    }
}

/// The data of an event; `None` if it has none, as a comment.
fn data(event: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(event);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    serde_json::from_str(&lines.join("\n")).ok()
}

fn silent(patience: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("none within {} s", patience.as_secs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request like this, and what it was asked.
    async fn answering(answer: &'static str) -> (Client, JoinSet<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let client = Client::at(listener.local_addr().expect("an address"));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut question = vec![0; 4096];
            let read = stream.read(&mut question).await.expect("a question");
            stream.write_all(answer.as_bytes()).await.expect("answered");
            String::from_utf8_lossy(&question[..read]).into_owned()
        });
        (client, server)
    }

    #[tokio::test]
    async fn a_request_arrives_with_its_token_and_an_answer_with_its_headers() {
        let answer =
            "HTTP/1.1 201 Created\r\nLocation: /things/1\r\nContent-Length: 10\r\n\r\n{\"id\":\"1\"}";
        let (mut client, mut server) = answering(answer).await;
        client.token = Some(Secret::new("sesame".to_owned()));
        let ask = Ask::post("/things", json!({"a": 1})).with("prefer", "wait=5");
        let answer = client.send(ask).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.text("/id")), (201, Some("1")));
        assert_eq!(answer.header("location"), Some("/things/1"));
        let question = server.join_next().await.expect("asked").expect("no panic");
        assert!(question.starts_with("POST /things HTTP/1.1\r\n"), "{question}");
        for line in ["authorization: Bearer sesame\r\n", "prefer: wait=5\r\n", "{\"a\":1}"] {
            assert!(question.contains(line), "{line} is not in\n{question}");
        }
    }

    #[tokio::test]
    async fn events_are_read_as_they_come_and_comments_are_skipped() {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
                      :\n\nid: 1\nevent: job\ndata: {\"n\":\ndata: 1}\n\ndata: {\"n\":2}\n\n";
        let (client, _server) = answering(answer).await;
        let (status, mut events) = client.follow("/events").await.expect("an answer");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(events.next().await.expect("an event"), Some(json!({"n": 1})));
        assert_eq!(events.next().await.expect("an event"), Some(json!({"n": 2})));
        assert_eq!(events.next().await.expect("the end"), None);
    }

    #[tokio::test]
    async fn who_is_not_there_does_not_answer() {
        let (client, server) = answering("").await;
        drop(server);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let gone = Client::at(listener.local_addr().expect("an address"));
        drop(listener);
        gone.send(Ask::get("/")).await.expect_err("nobody");
        client.send(Ask::get("/")).await.expect_err("nobody");
    }
}
