//! More requests at once than a client may make: so many are answered as the rate limit says, and the rest are told when to
//! come back.
//!
//! The share of whoever asks is used up by this for a minute, so it always happens on a server of the demo's own.

use std::time::Duration;

use portwright_domain::ports::Quota;
use tokio::task::JoinSet;

use super::client::{Answer, Ask, Client};
use super::guest::{Credentials, Session};
use super::screen::{Screen, Style, bar};
use super::{no_answer, refused};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// What the server of this demo grants to each client.
pub(super) const SHARE: Quota = Quota { limit: 50, window: Duration::from_mins(1) };
/// How many are sent at once: a few more.
const REQUESTS: u32 = SHARE.limit + 5;

/// What came of all requests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    answered: u32,
    throttled: u32,
    /// The longest that anybody was told to wait, in seconds.
    wait: u64,
}

/// Sends them, and judges: `Failed` if more or fewer were answered than the limit says.
pub(super) async fn run(
    mut client: Client,
    screen: Screen,
    credentials: &Credentials,
) -> Result<Exit, Failure> {
    let Quota { limit, window } = SHARE;
    Session::quietly(&mut client, credentials).await?;
    let announced = format!(
        "\n{REQUESTS} requests at once, of one user who may make {limit} in {} s:\n   → GET /auth/me",
        window.as_secs()
    );
    screen.line(&announced)?;
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let client = client.clone();
        requests.spawn(async move { client.send(Ask::get("/auth/me")).await });
    }
    let mut tally = Tally::default();
    if screen.is_terminal {
        screen.draw_first(&[tally.bar()])?;
    }
    while let Some(answer) = requests.join_next().await {
        let answer =
            answer.map_err(|panicked| Failure::new(Exit::Bug, Problem::new(panicked.to_string())))?;
        tally.count(&answer.map_err(|error| no_answer("ask who this is", &error))?)?;
        if screen.is_terminal {
            screen.draw_again(&[tally.bar()])?;
        }
    }
    if !screen.is_terminal {
        screen.line(&tally.bar())?;
    }
    let Tally { answered, throttled, wait } = tally;
    screen.line(&format!("   ← {answered} × 200, {throttled} × 429 (Retry-After: {wait} s at most)"))?;
    let held = (answered, throttled) == (limit, REQUESTS - limit) && (1..=window.as_secs()).contains(&wait);
    let (style, verdict, exit) = if held {
        (Style::Good, "The limit held: nobody got more than the share, and nobody less.", Exit::Done)
    } else {
        (Style::Bad, "The limit did not hold.", Exit::Failed)
    };
    screen.line(&format!("\n{}", screen.paint(style, verdict)))?;
    Ok(exit)
}

impl Tally {
    fn count(&mut self, answer: &Answer) -> Result<(), Failure> {
        match answer.status.as_u16() {
            200 => self.answered += 1,
            429 => {
                self.throttled += 1;
                let wait = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
                self.wait = self.wait.max(wait.unwrap_or_default());
            }
            _ => return Err(refused("ask who this is", answer)),
        }
        Ok(())
    }

    fn bar(&self) -> String {
        let Self { answered, throttled, .. } = self;
        let percent = u64::from(answered + throttled) * 100 / u64::from(REQUESTS);
        format!("   {}  {answered} answered, {throttled} throttled", bar(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_how_many_came_back() {
        let tally = Tally { answered: 20, throttled: 2, wait: 60 };
        assert_eq!(tally.bar(), "   [########............]  40 %  20 answered, 2 throttled");
    }
}
