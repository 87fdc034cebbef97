//! Many clients that each send the next request as soon as they have the answer, for a while.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;

/// What was measured.
pub struct Figures {
    /// Answers in all.
    pub answers: usize,
    /// Answers per second.
    pub rate: f64,
    /// Half of the answers took at most this long, in milliseconds.
    pub p50: f64,
    /// 99 of 100 answers took at most this long, in milliseconds.
    pub p99: f64,
}

/// Sends `request` from so many clients at a time; every answer must have this status.
pub async fn run(address: &str, clients: usize, time: Duration, request: Vec<u8>, status: u16) -> Figures {
    run_each(address, vec![vec![request]; clients], time, status).await
}

/// The same with requests of its own for each client, which it sends in turn.
pub async fn run_each(address: &str, requests: Vec<Vec<Vec<u8>>>, time: Duration, status: u16) -> Figures {
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for requests in requests {
        let address = address.to_owned();
        all.spawn(async move {
            let mut client = Client::connect(&address).await;
            let mut took = Vec::new();
            for request in requests.iter().cycle() {
                if begun.elapsed() >= time {
                    break;
                }
                let sent = Instant::now();
                let answer = client.send_raw(request).await;
                assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
                took.push(sent.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = took.len() as f64 / seconds;
    Figures { answers: took.len(), rate, p50: percentile(&took, 0.5), p99: percentile(&took, 0.99) }
}

/// Which time, in milliseconds, this share of the sorted times does not exceed; 1 is the longest.
#[must_use]
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
    sorted[index].as_secs_f64() * 1000.0
}

/// The bytes of a request with a body of JSON, if it has one.
#[must_use]
pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    request_of(method, path, token, "application/json", body)
}

/// The bytes of a request with a body of this media type, if it has one.
#[must_use]
pub fn request_of(method: &str, path: &str, token: Option<&str>, media_type: &str, body: &str) -> Vec<u8> {
    let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: {media_type}\r\nContent-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{authorization}{content}\r\n{body}").into_bytes()
}
