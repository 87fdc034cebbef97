//! Jobs over `POST /compute/primes`. Each order has a number of its own for an answer, so that in the end the list of all jobs
//! tells how often each was accepted: once, if that was acknowledged; otherwise once at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::jobs::{ended, path_of, settled};
use crate::client::{Ask, Client, JOBS, STUBBORN};

/// Primes up to this are known: so many that no drill runs out of them.
const HIGHEST: usize = 12_000_000;
/// From this one on, an answer takes a slow core a noticeable while.
const HEAVY: usize = 600_000;

/// The primes in order, to compare answers with.
pub(crate) struct Primes(Vec<u64>);

impl Primes {
    pub(crate) fn known() -> Self {
        let mut composite = vec![false; HIGHEST];
        let mut primes = Vec::new();
        for number in 2..HIGHEST {
            if !composite[number] {
                primes.push(number as u64);
                for multiple in (number * number..HIGHEST).step_by(number) {
                    composite[multiple] = true;
                }
            }
        }
        Self(primes)
    }

    /// A number below which there are so many primes and one, and the answer for it.
    fn order(&self, index: usize) -> (u64, Value) {
        let largest = self.0[index];
        (largest + 1, json!({"count": index + 1, "largest": largest}))
    }
}

/// A client, and the orders that it has made.
pub(crate) struct Orders {
    client: Client,
    name: String,
    primes: Arc<Primes>,
    /// Of so many that order, this is the one of this number; they have no answer in common.
    share: (usize, usize),
    taken: Vec<Order>,
}

/// Something that was ordered.
struct Order {
    key: String,
    index: usize,
    /// Where its job is, once that is known. Whatever has one was acknowledged.
    path: Option<String>,
    has_ended: bool,
}

impl Orders {
    pub(crate) fn new(client: Client, name: &str, primes: Arc<Primes>, share: (usize, usize)) -> Self {
        Self { client, name: name.to_owned(), primes, share, taken: Vec::new() }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) -> Self {
        while !self.client.crew.is_stopped() {
            match self.client.noise.below(10) {
                0 if !self.taken.is_empty() => self.order_again().await,
                1 | 2 if !self.taken.is_empty() => self.follow_up().await,
                _ => self.order().await,
            }
            self.client.rest(50, 300).await;
        }
        self
    }

    fn request(&self, order: &Order, waits: bool) -> Ask {
        let (below, _) = self.primes.order(order.index);
        Ask::new(Method::POST, "/compute/primes", JOBS)
            .json(&json!({"below": below}))
            .with("Idempotency-Key", &order.key)
            .with("Prefer", if waits { "wait=4" } else { "respond-async" })
    }

    async fn order(&mut self) {
        let number = self.taken.len();
        let heavy = if self.client.noise.below(5) == 0 { HEAVY } else { 1_000 };
        let index = heavy + number * self.share.1 + self.share.0;
        let key = format!("{}-{number}", self.name);
        let order = Order { key, index, path: None, has_ended: false };
        let waits = self.client.noise.below(2) == 0;
        let request = self.request(&order, waits);
        let first = request.clone().aborted_after(self.client.impatience());
        let mut heard = self.client.ask(&first).await;
        if heard.is_none() {
            heard = self.client.insist(&request, STUBBORN).await;
        }
        self.taken.push(order);
        let Some(heard) = heard else { return self.client.count("orders of which nobody knows") };
        self.client.count("acknowledged: jobs");
        let path = path_of(&heard);
        let (_, right) = self.primes.order(self.taken[number].index);
        if heard.status == 200 && heard.json()["result"] != right {
            self.client.wrong(format!("{path}: {} instead of {right}", heard.json()["result"]));
        }
        let order = &mut self.taken[number];
        (order.path, order.has_ended) = (Some(path), heard.status == 200);
    }

    /// The same request with the same key is the same job.
    async fn order_again(&mut self) {
        let which = self.client.noise.below(self.taken.len());
        let request = self.request(&self.taken[which], false);
        let Some(heard) = self.client.ask(&request).await else { return };
        let again = path_of(&heard);
        let order = &mut self.taken[which];
        match &order.path {
            _ if again.is_empty() => {}
            Some(path) if *path == again => {}
            Some(path) => self.client.wrong(format!("{} is {path}, and {again}", order.key)),
            None => order.path = Some(again),
        }
    }

    /// Looks after a job that nobody waited for.
    async fn follow_up(&mut self) {
        let open = self.taken.iter().rposition(|order| !order.has_ended && order.path.is_some());
        let Some(which) = open else { return };
        let path = self.taken[which].path.clone().unwrap_or_default();
        if let Some(job) = ended(&mut self.client, &path, Duration::from_secs(2)).await {
            self.judge(which, &job);
        }
    }

    fn judge(&mut self, which: usize, job: &Value) {
        let order = &mut self.taken[which];
        let (_, right) = self.primes.order(order.index);
        if job["result"] != right {
            self.client.wrong(format!("{right} was to be the result of {job}"));
        }
        order.has_ended = true;
    }

    /// Whether every job that was acknowledged has its result, which is the right one.
    pub(crate) async fn verify(&mut self) {
        for which in 0..self.taken.len() {
            if let Some(path) = self.taken[which].path.clone()
                && let Some(job) = settled(&mut self.client, &path).await
            {
                self.judge(which, &job);
            }
        }
    }

    /// Whether each order was accepted once: `jobs` are those of the list of all jobs, by the largest prime.
    pub(crate) fn verify_once(&self, jobs: &BTreeMap<u64, Vec<String>>) {
        for order in &self.taken {
            let (_, right) = self.primes.order(order.index);
            let largest = right["largest"].as_u64().unwrap_or_default();
            let accepted = jobs.get(&largest).map_or(&[][..], Vec::as_slice);
            let (key, path) = (&order.key, &order.path);
            match (accepted.len(), path) {
                (0, None) | (1, _) => {}
                (0, Some(path)) => self.client.wrong(format!("{key} is {path}, which no list has")),
                (times, _) => self.client.wrong(format!("{key} was accepted {times} times: {accepted:?}")),
            }
        }
    }
}
