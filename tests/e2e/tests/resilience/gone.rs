//! Clients that go away in the middle of a request: nothing of it stays open in the database, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portwright::config::{Database, Secret};
use portwright_e2e::app::new_user;
use portwright_e2e::{Answer, Caller, TestApp};
use portwright_testkit::scrape::Scrape;
use portwright_testkit::servers::Postgres;
use portwright_testkit::{Noise, sized};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::{meanwhile, rename, until};

const CLIENTS: usize = 8;
/// Fewer than there are clients, so that some go away while they wait for one.
const CONNECTIONS: u32 = 4;

/// What the clients ask for.
enum Asked {
    Read,
    /// A change of a row that all of them change.
    Change,
    /// A new user, under the key that is the address.
    Creation(String),
}

impl Asked {
    fn of(number: usize) -> Self {
        match number % 10 {
            0 => Self::Creation(format!("{number}@example.com")),
            1..4 => Self::Read,
            _ => Self::Change,
        }
    }

    fn bytes(&self, caller: &Caller) -> Vec<u8> {
        let (line, key, body) = match self {
            Self::Read => ("GET /users?limit=20".to_owned(), String::new(), String::new()),
            Self::Change => {
                (format!("PATCH {}", caller.path()), String::new(), json!({"lastName": "Gone"}).to_string())
            }
            Self::Creation(email) => {
                let body = new_user(email, &json!({})).to_string();
                ("POST /users".to_owned(), format!("Idempotency-Key: {email}\r\n"), body)
            }
        };
        let (token, length) = (caller.token(), body.len());
        format!(
            "{line} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             {key}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Sends a request and hangs up after this time, or when it is answered; whether it was answered.
async fn hang_up_after(wait: Duration, address: &str, request: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    timeout(wait, stream.read_u8()).await.is_ok_and(|read| read.is_ok())
}

/// How long it takes to answer this.
async fn time_of(asked: &Asked, app: &TestApp, caller: &Caller) -> Duration {
    let begun = Instant::now();
    assert!(hang_up_after(Duration::from_secs(20), &app.address(), &asked.bytes(caller)).await);
    begun.elapsed()
}

/// What the connections of the application do in this database that a request at rest does not.
fn left_open(server: &Postgres, database: &str) -> String {
    let ours = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'portwright'"
    );
    server.sql(&format!(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE pid IN ({ours}) AND state LIKE 'idle in transaction%') || ' ' || \
         (SELECT count(*) FROM pg_locks WHERE pid IN ({ours}) AND mode IN ('RowExclusiveLock', 'ExclusiveLock') \
         AND locktype IN ('relation', 'tuple', 'transactionid'))"
    ))
}

/// The connections to the database that somebody uses.
async fn in_use(app: &TestApp) -> f64 {
    let scrape = Scrape::parse(&app.nobody().get("/metrics").await.text);
    let used = scrape.samples.iter().filter(|(name, labels, _)| {
        name == "db_client_connections" && labels.get("state").is_some_and(|state| state == "used")
    });
    used.map(|(_, _, value)| value).sum()
}

async fn create_again(caller: &Caller, email: &str) -> Answer {
    let body: Value = new_user(email, &json!({}));
    let request = caller.request(Method::POST, "/users").header("idempotency-key", email);
    caller.send(request.json(&body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_away_at_any_moment_leave_nothing_open_and_nobody_notices() {
    let requests = sized(400, 2_000);
    let server = Postgres::primary();
    let database = server.fresh_database();
    let app = TestApp::with(|config| {
        let urls = vec![Secret::new(server.url(&database))];
        config.database = Database::Postgres { urls, connections: CONNECTIONS };
    })
    .await;
    let app = Arc::new(app);
    let admin = app.admin().await;
    // So that they go away at every stage of a request, and some after it, on a fast machine and on a busy one.
    let mut longest = [Duration::ZERO; 3];
    for _ in 0..3 {
        for (longest, asked) in longest.iter_mut().zip([0, 1, 5].map(Asked::of)) {
            *longest = time_of(&asked, &app, &admin).await.max(*longest);
        }
    }
    let [creation, read, change] = longest;

    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (app, admin, answered) = (app.clone(), admin.clone(), answered.clone());
        clients.spawn(async move {
            let mut noise = Noise::new(client as u64 + 1);
            for number in (client..requests).step_by(CLIENTS) {
                let asked = Asked::of(number);
                let most = match asked {
                    Asked::Creation(_) => creation,
                    Asked::Read => read,
                    Asked::Change => change,
                };
                let wait = Duration::from_micros(noise.below(most.as_micros() as usize * 2) as u64);
                if hang_up_after(wait, &app.address(), &asked.bytes(&admin)).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    clients.join_all().await;
    let given_up = requests - answered.load(Ordering::Relaxed);
    assert!(given_up > requests / 4, "only {given_up} went away before their answer");

    let gone = Instant::now();
    while meanwhile(|| left_open(&server, &database)) != "0 0" {
        let left = meanwhile(|| left_open(&server, &database));
        assert!(gone.elapsed() < Duration::from_secs(1), "{left}");
    }
    // What has a key is carried to its end, though nobody waits for it.
    while in_use(&app).await > 0.0 {
        assert!(gone.elapsed() < Duration::from_secs(20), "a connection is lost");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nobody holds the row that all of them changed, and every connection is there.
    for number in 0..8 {
        rename(&admin, &format!("Ada {number}")).await.expect(200);
    }
    // Each key is free or brings back the answer that nobody heard.
    for number in (0..requests).step_by(10) {
        let email = format!("{number}@example.com");
        until(201, async || create_again(&admin, &email).await).await;
    }
    let users = admin.get("/users?limit=1").await.expect(200);
    assert_eq!(users["pagination"]["total"], json!(1 + requests / 10));
}
