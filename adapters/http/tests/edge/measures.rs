//! What is observed of requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portwright_domain::ports::{Event, Observer, Quota};

use crate::api::Setup;
use crate::client::{Client, within};

/// Keeps what it sees of requests, in words.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn observe(&self, event: &Event<'_>) {
        let words = match event {
            Event::RequestBegan => "began".to_owned(),
            Event::RequestServed { method, route, status, .. } => {
                format!("{method} {} {status}", route.unwrap_or("-"))
            }
            Event::RequestQueued => "queued".to_owned(),
            Event::RequestUnqueued => "unqueued".to_owned(),
            Event::RequestShed { reason } => format!("shed {reason}"),
            Event::RequestPanicked => "panicked".to_owned(),
            Event::LimitChecked { policy, allowed } => format!("{policy} {allowed}"),
            other => panic!("{other:?}"),
        };
        self.0.lock().expect("nobody panics").push(words);
    }
}

impl Seen {
    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nobody panics"))
    }
}

fn setup(seen: &Arc<Seen>) -> Setup {
    Setup { observer: seen.clone(), ..Setup::default() }
}

#[tokio::test]
async fn a_request_is_observed_by_its_template_and_by_methods_that_there_are() {
    let seen = Arc::new(Seen::default());
    let server = setup(&seen).start().await;
    for (line, expected) in [
        ("GET /greeting", "GET /greeting 200"),
        ("GET /greeting?a=b", "GET /greeting 200"),
        ("GET /things/3f0c", "GET /things/{id} 404"),
        ("POST /greeting", "POST /greeting 405"),
        ("GET /nowhere/3f0c", "GET - 404"),
        ("BREW /greeting", "_OTHER /greeting 405"),
        ("BREW /nowhere", "_OTHER - 404"),
        ("OPTIONS *", "OPTIONS - 204"),
    ] {
        let mut client = Client::connect(server.address).await;
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await;
        client.answer().await;
        let seen = seen.take();
        assert_eq!((seen.first().map(String::as_str), seen.len()), (Some("began"), 3), "{line}: {seen:?}");
        assert_eq!((seen[1].as_str(), seen[2].as_str()), ("default true", expected), "{line}");
    }
}

#[tokio::test]
async fn a_panic_is_observed() {
    let seen = Arc::new(Seen::default());
    let server = setup(&seen).start().await;
    Client::connect(server.address).await.get("/panic").await;
    assert_eq!(seen.take(), ["began", "default true", "panicked", "GET /panic 500"]);
}

#[tokio::test]
async fn probes_and_scrapes_are_not_observed() {
    let seen = Arc::new(Seen::default());
    let server = setup(&seen).start().await;
    let mut client = Client::connect(server.address).await;
    for path in ["/health/live", "/health", "/metrics"] {
        client.get(path).await;
    }
    assert_eq!(seen.take(), [""; 0]);
}

#[tokio::test]
async fn a_refusal_of_the_limit_is_observed_and_so_is_its_answer() {
    let seen = Arc::new(Seen::default());
    let quota = Quota { limit: 1, window: Duration::from_mins(1) };
    let server = Setup { quota, ..setup(&seen) }.start().await;
    let mut client = Client::connect(server.address).await;
    client.get("/greeting").await;
    seen.take();
    assert_eq!(client.get("/greeting").await.status, 429);
    assert_eq!(seen.take(), ["began", "default false", "GET /greeting 429"]);
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_observed_to_have_ended() {
    let seen = Arc::new(Seen::default());
    let server = setup(&seen).start().await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    assert_eq!(seen.take(), ["began", "default true"]);
    drop(client);
    within(server.signals.dropped.notified()).await;
    within(async {
        while seen.0.lock().expect("nobody panics").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(seen.take(), ["GET /waiting 499"]);
}
