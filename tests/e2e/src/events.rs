//! [`Events`]: a stream of server-sent events, as a client reads it.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::timeout;

/// How long a test waits for an event at most.
const PATIENCE: Duration = Duration::from_secs(25);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// An open stream; dropping it closes the connection.
pub struct Events {
    response: Response,
    text: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next event; `None` at the end of the stream. Panics if neither comes in time.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (parsed(block), rest.len());
                self.text.drain(..self.text.len() - rest);
                if event.is_some() {
                    return event;
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something came in time");
            let Some(chunk) = chunk.expect("the connection holds") else {
                assert_eq!(self.text, "", "the stream ended within an event");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Every event to the end of the stream.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The event of a block; `None` if it is a comment.
fn parsed(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let data = field("data");
    (!data.is_empty()).then(|| Event {
        id: field("id"),
        name: field("event"),
        data: serde_json::from_str(&data).expect("JSON"),
    })
}
