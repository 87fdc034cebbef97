//! Requests that come when they are due, whether or not those before were answered: what a crowd does, and what clients that
//! wait for each other can never show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::load::percentile;

/// A request that could not even be sent by then is given up, as its user would.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// What became of the requests.
pub struct Outcome {
    /// Due, per second.
    pub offered: f64,
    /// Answered with 200 in a second from when they were due, per second.
    pub good: f64,
    /// Answered with 200 later than that, per second.
    pub late: f64,
    /// Refused with 503, per second.
    pub refused: f64,
    /// Never sent, because all connections were busy, per second.
    pub unsent: f64,
    /// 99 of 100 good answers took at most this long from when they were due, in milliseconds.
    pub p99: f64,
}

/// Sends `request` so many times a second over at most so many connections. Any status but 200 and 503 ends the bench.
pub async fn run(address: &str, connections: u32, rate: f64, time: Duration, request: &[u8]) -> Outcome {
    let next = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for number in 0..connections {
        clients.push(Client::connect_from(number, address).await);
    }
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for mut client in clients {
        let (next, request) = (next.clone(), request.to_owned());
        all.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let due = Duration::from_secs_f64(f64::from(next.fetch_add(1, Ordering::Relaxed)) / rate);
                if due >= time {
                    return seen;
                }
                sleep_until(begun + due).await;
                if begun.elapsed() > due + GIVEN_UP {
                    seen.unsent += 1;
                    continue;
                }
                let status = client.send_raw(&request).await.status;
                let took = begun.elapsed().saturating_sub(due);
                match status {
                    200 if took <= GIVEN_UP => seen.good.push(took),
                    200 => seen.late += 1,
                    503 => seen.refused += 1,
                    other => panic!("status {other}"),
                }
            }
        });
    }
    let mut sum = Seen::default();
    for seen in all.join_all().await {
        sum.good.extend(seen.good);
        sum.late += seen.late;
        sum.refused += seen.refused;
        sum.unsent += seen.unsent;
    }
    let seconds = begun.elapsed().max(time).as_secs_f64();
    let per_second = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
    sum.good.sort_unstable();
    Outcome {
        offered: rate,
        good: per_second(sum.good.len()),
        late: per_second(sum.late),
        refused: per_second(sum.refused),
        unsent: per_second(sum.unsent),
        p99: if sum.good.is_empty() { f64::NAN } else { percentile(&sum.good, 0.99) },
    }
}

#[derive(Default)]
struct Seen {
    good: Vec<Duration>,
    late: usize,
    refused: usize,
    unsent: usize,
}
