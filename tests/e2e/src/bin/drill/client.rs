//! [`Client`]: somebody who calls the API, and to whom only what the weather explains may happen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portwright_testkit::Noise;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{NODES, Peer};
use crate::injector::Scene;
use crate::stage::PASSWORD;
use crate::weather::{Blame, HEALTH, Refusal, to};

/// What only the database is needed for.
pub(crate) const DATABASE: &[Peer] = &[Peer::Primary];
/// What jobs are needed for.
pub(crate) const JOBS: &[Peer] = &[Peer::Primary, Peer::Redis];
/// What files are needed for.
pub(crate) const FILES: &[Peer] = &[Peer::Primary, Peer::Redis, Peer::Files];

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long somebody tries again who got no answer.
pub(crate) const STUBBORN: Duration = Duration::from_secs(15);

/// What all clients share.
pub(crate) struct Crew {
    pub(crate) scene: Scene,
    pub(crate) http: reqwest::Client,
    /// Whether nothing new is begun.
    stopped: AtomicBool,
}

impl Crew {
    pub(crate) fn new(scene: Scene) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // Servers hang up on who is idle; whoever sends at that moment gets no answer, which is no fault.
            .pool_idle_timeout(Duration::from_secs(5))
            .build()
            .expect("a client");
        Self { scene, http, stopped: AtomicBool::new(false) }
    }

    /// From now on nobody begins anything.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// A request, which may be sent again.
#[derive(Clone)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    needs: &'static [Peer],
    refusals: &'static [u16],
    abort: Option<Duration>,
    node: Option<usize>,
}

impl Ask {
    /// A request for something that these are needed for.
    pub(crate) fn new(method: Method, path: impl Into<String>, needs: &'static [Peer]) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method, path: path.into(), headers, body, needs, refusals: &[], abort: None, node: None }
    }

    pub(crate) fn get(path: impl Into<String>, needs: &'static [Peer]) -> Self {
        Self::new(Method::GET, path, needs)
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string().into_bytes())
    }

    pub(crate) fn bytes(mut self, media_type: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.with("Content-Type", media_type)
    }

    /// Answers below 500 that are no mistake besides those that say yes.
    pub(crate) const fn or(mut self, refusals: &'static [u16]) -> Self {
        self.refusals = refusals;
        self
    }

    /// The client goes away after this time.
    pub(crate) const fn aborted_after(mut self, time: Option<Duration>) -> Self {
        self.abort = time;
        self
    }

    /// Asks this server.
    pub(crate) const fn at(mut self, node: usize) -> Self {
        self.node = Some(node);
        self
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer that is neither 5xx nor a mistake.
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Somebody who calls the API, one request after the other.
pub(crate) struct Client {
    pub(crate) crew: std::sync::Arc<Crew>,
    pub(crate) noise: Noise,
    pub(crate) access: String,
    /// The newest `Consistency-Token`.
    freshness: Option<HeaderValue>,
}

impl Client {
    /// Nobody yet, who decides as this number says.
    pub(crate) fn new(crew: std::sync::Arc<Crew>, seed: u64) -> Self {
        Self { crew, noise: Noise::new(seed), access: String::new(), freshness: None }
    }

    /// Signs in, however long that takes; whether it did.
    pub(crate) async fn sign_in(&mut self, email: &str) -> bool {
        self.access.clear();
        let credentials = json!({"email": email, "password": PASSWORD});
        let login = Ask::new(Method::POST, "/auth/login", DATABASE).json(&credentials);
        match self.persist(&login).await {
            Some(heard) => self.take_session(&heard.json()),
            None => false,
        }
    }

    /// From now on it calls with this session; whether it is one.
    pub(crate) fn take_session(&mut self, session: &Value) -> bool {
        session["accessToken"].as_str().unwrap_or_default().clone_into(&mut self.access);
        !self.access.is_empty()
    }

    /// Says that something is wrong.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) {
        self.crew.scene.journal.wrong(what);
    }

    /// Counts something.
    pub(crate) fn count(&self, what: impl Into<String>) {
        self.crew.scene.journal.count(what);
    }

    /// Rests for a moment.
    pub(crate) async fn rest(&mut self, least: u64, most: u64) {
        sleep(Duration::from_millis(least + self.noise.number() % (most - least))).await;
    }

    /// Sometimes, a time after which a client goes away that waits for an answer.
    pub(crate) fn impatience(&mut self) -> Option<Duration> {
        let (impatient, after) = (self.noise.below(12) == 0, self.noise.number() % 60);
        impatient.then(|| Duration::from_millis(after))
    }

    /// Asks until there is an answer that says yes or no, or for this long.
    pub(crate) async fn insist(&mut self, ask: &Ask, for_long: Duration) -> Option<Heard> {
        let begun = Instant::now();
        loop {
            match self.ask(ask).await {
                Some(heard) if heard.code() != "idempotency-key-running" => return Some(heard),
                _ if begun.elapsed() > for_long => return None,
                _ => self.rest(100, 400).await,
            }
        }
    }

    /// Asks for what must be there, for as long as a busy machine may take.
    pub(crate) async fn persist(&mut self, ask: &Ask) -> Option<Heard> {
        self.insist(ask, 4 * STUBBORN).await
    }

    /// Asks once. `None` says that nobody knows what came of it: there was no answer, or one of 5xx. Whether that may be is
    /// judged here.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Option<Heard> {
        let drawn = self.noise.below(NODES);
        let node = ask.node.unwrap_or(drawn);
        let asked = Instant::now();
        let Some(address) = self.crew.scene.stage.nodes[node].address() else {
            sleep(Duration::from_millis(100)).await;
            return None;
        };
        let request = self.request(ask, &format!("http://{address}{}", ask.path));
        let answer = async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok::<_, reqwest::Error>(Heard { status, headers, body: answer.bytes().await?.into() })
        };
        let Ok(heard) = timeout(ask.abort.unwrap_or(Duration::MAX), answer).await else {
            self.count("requests aborted");
            return None;
        };
        match heard {
            Err(error) => {
                self.judge(ask, node, Refusal::NoAnswer, asked, &format!("{error:?}"));
                None
            }
            Ok(heard) if heard.status >= 500 => {
                let text = String::from_utf8_lossy(&heard.body).into_owned();
                let code = if ask.path.starts_with("/health") { HEALTH.to_owned() } else { heard.code() };
                self.judge(ask, node, Refusal::Problem(heard.status, &code), asked, &text);
                None
            }
            Ok(heard) => {
                self.count(format!("answers {} {}", heard.status, heard.code()));
                if heard.status >= 400
                    && !ask.refusals.contains(&heard.status)
                    && heard.code() != "idempotency-key-running"
                {
                    let text = String::from_utf8_lossy(&heard.body);
                    self.wrong(format!("{}: {} {text}", to(node, &ask.name()), heard.status));
                }
                if let Some(token) = heard.headers.get("consistency-token") {
                    self.freshness = Some(token.clone());
                }
                Some(heard)
            }
        }
    }

    fn request(&self, ask: &Ask, url: &str) -> RequestBuilder {
        let mut request = self.crew.http.request(ask.method.clone(), url).body(ask.body.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if !self.access.is_empty() {
            request = request.bearer_auth(&self.access);
        }
        self.freshness.iter().fold(request, |request, token| request.header("Consistency-Token", token))
    }

    fn judge(&self, ask: &Ask, node: usize, refusal: Refusal<'_>, asked: Instant, text: &str) {
        self.count(match refusal {
            Refusal::NoAnswer => "requests without an answer".to_owned(),
            Refusal::Problem(status, code) => format!("answers {status} {code}"),
        });
        let weather = &self.crew.scene.weather;
        match weather.blame(refusal, node, ask.needs, asked) {
            Blame::Fault => {}
            Blame::Machine => self.count("refusals that only a busy machine explains"),
            Blame::Nobody => {
                let (name, took) = (to(node, &ask.name()), asked.elapsed());
                self.wrong(format!(
                    "{name} after {took:.1?}: {text}\n            ({})",
                    weather.report(asked)
                ));
            }
        }
    }
}
