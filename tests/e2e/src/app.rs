//! [`TestApp`]: a whole server to have for oneself.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use portwright::config::{Config, FirstAdmin};
use portwright::handover::Inheritance;
use portwright::lifecycle::Lifecycle;
use portwright::serve::{Jobs, Running, start};
use portwright::wiring::{Ambient, Program, signing_key};
use portwright_domain::password::NewPassword;
use portwright_domain::ports::Clock;
use portwright_domain::user::Email;
use portwright_security::AeadSealer;
use portwright_testkit::{ManualClock, SequentialIds};
use reqwest::ClientBuilder;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::freshness::Freshness;
use crate::home::Home;
use crate::work::{self, AtWork};
use crate::world::World;

/// The administrator of every test.
pub const ADMIN: &str = "admin@example.com";
/// The password of everybody in a test.
pub const PASSWORD: &str = "tango-velvet-harbor-91";

/// A running server with a database of its own, in the world of this run.
pub struct TestApp {
    running: Running,
    clock: Arc<ManualClock>,
    http: reqwest::Client,
    freshness: Arc<Freshness>,
    started: Instant,
    // Removed after the server has gone.
    home: Home,
}

impl TestApp {
    /// The product, with limits that no test reaches by accident.
    pub async fn embedded() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with a different configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let home = Home::in_world(World::of_this_run());
        let mut config = home.config();
        // A slow machine must not shed what a test sends at once.
        config.http.max_concurrent = 1_000;
        config.rate_limit.limit = 1_000_000;
        config.login.limit = 1_000_000;
        // The server and its clients are one thread, which may take longer to read an answer than a limiter has for it.
        config.limiter_timeout = Duration::from_secs(5);
        config.first_admin = FirstAdmin::Given {
            email: Email::parse(ADMIN).expect("an address"),
            password: NewPassword::parse(PASSWORD).expect("a password"),
        };
        change(&mut config);
        let clock = Arc::new(ManualClock::default());
        home.go_by(clock.clone());
        let ids = Arc::new(SequentialIds::new(clock.clone()));
        let ambient = Ambient { clock: clock.clone(), ids, rules_queue: true };
        let program = Program { ambient, ..Program::product() };
        let life = Lifecycle::new(config.shutdown);
        let running =
            start(&config, program, true, life, Inheritance::default()).await.expect("the server starts");
        let http = client().build().expect("a client");
        let key = signing_key(&config).expect("the server has one");
        let freshness = Arc::new(Freshness::new(AeadSealer::new(&key)));
        Self { running, clock, http, freshness, started: Instant::now(), home }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.running.address.to_string()
    }

    /// Every byte of the database, also what it has not folded in yet: for what must not be in it, or not change it.
    #[must_use]
    pub fn database_bytes(&self) -> Vec<u8> {
        self.home.database_bytes()
    }

    /// Every byte of the queue.
    #[must_use]
    pub fn queue_bytes(&self) -> Vec<u8> {
        self.home.queue_bytes()
    }

    /// How many files there are in a folder of the storage.
    #[must_use]
    pub fn stored_files(&self, folder: &str) -> usize {
        self.home.stored_files(folder)
    }

    /// Moves the clock that everything in the server asks, and what goes by that of Redis.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.home.pass(by);
    }

    /// Whether these are the seconds that are left of a limit's window, of which so many would be left had only the clock
    /// of the test moved. Redis counts by its own time, which passes also while a test runs.
    #[must_use]
    pub fn are_left(&self, told: i64, seconds: i64) -> bool {
        let passed = if self.home.time_stands_still() { 0 } else { self.started.elapsed().as_secs() + 1 };
        (seconds.saturating_sub_unsigned(passed)..=seconds).contains(&told)
    }

    /// So long before the end of a window a test looks whether it is still there.
    #[must_use]
    pub fn shortly_before(&self) -> Duration {
        if self.home.time_stands_still() { Duration::from_millis(500) } else { Duration::from_secs(30) }
    }

    /// The time in the server.
    #[must_use]
    pub fn now(&self) -> portwright_domain::Timestamp {
        self.clock.now()
    }

    /// Somebody who has not signed in.
    #[must_use]
    pub fn nobody(&self) -> Caller {
        self.caller(self.http.clone())
    }

    /// Somebody who has not signed in and calls from this address of the loopback network.
    #[must_use]
    pub fn nobody_at(&self, address: Ipv4Addr) -> Caller {
        let http = client().local_address(IpAddr::V4(address)).build().expect("a client");
        self.caller(http)
    }

    fn caller(&self, http: reqwest::Client) -> Caller {
        Caller::new(http, format!("http://{}", self.running.address), self.freshness.clone())
    }

    /// The administrator, signed in.
    pub async fn admin(&self) -> Caller {
        self.sign_in(ADMIN, PASSWORD).await
    }

    /// Signs somebody in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Caller {
        let answer = self.nobody().post("/auth/login", &json!({"email": email, "password": password})).await;
        self.nobody().with_session(answer.expect(200))
    }

    /// A new user of this role, signed in.
    pub async fn user(&self, role: &str) -> Caller {
        let email = format!("{role}-{}@example.com", uuid::Uuid::new_v4().simple());
        let admin = self.admin().await;
        admin.post("/users", &new_user(&email, &json!({"role": role}))).await.expect(201);
        self.sign_in(&email, PASSWORD).await
    }

    /// The jobs of the server, from the inside.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.running.jobs
    }

    /// Runs every job that is ready, and what becomes ready by it; how many tries that took. Callers see what was written.
    pub async fn drain_jobs(&self) -> u64 {
        let tries = work::worker(self.jobs()).drain().await.expect("the queue is there");
        // It gives up soon, for the sake of clients that wait; a test has more time.
        for _ in 0..40 {
            if let Some(newest) = self.running.services.jobs.newest_commit().await {
                self.freshness.committed(&newest);
                return tries;
            }
        }
        panic!("the database does not say what its newest commit is");
    }

    /// Lets a worker work until the answer is dropped.
    #[must_use]
    pub fn work(&self) -> AtWork {
        AtWork::begin(work::worker(self.jobs()))
    }

    /// Stops the server in order; panics if that was not clean.
    pub async fn stop(self) {
        assert_eq!(self.running.stop().await, portwright::exit::Exit::Done);
    }
}

fn client() -> ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30))
}

/// How many seconds a server tells of so much time: nobody should come too early.
#[must_use]
pub fn rounded_up(time: Duration) -> i64 {
    i64::try_from(time.as_millis().div_ceil(1_000)).expect("not that long")
}

/// The body of a new user, with some fields replaced or added.
#[must_use]
pub fn new_user(email: &str, more: &Value) -> Value {
    let mut body = json!({"email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace"});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}
