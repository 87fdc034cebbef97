//! [`Upload`]: whose turn it is while an object is put. The storage asks the body for its parts, so the body sees whenever
//! the storage begins to work and when it is ready for more.

use std::future::{Future, pending};
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::ObjectBody;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::timeout::late;

/// An object on its way into the storage, as the caller of the storage sees it.
pub(super) struct Upload(watch::Receiver<Turn>);

#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Since when the storage works; `None` while it waits for the body.
    works_since: Option<Instant>,
    body_failed: bool,
}

/// The body, as the storage sees it.
struct Watched {
    body: Box<dyn ObjectBody>,
    turn: watch::Sender<Turn>,
}

impl Upload {
    /// The storage has the first turn. Its put is to be given this body instead.
    pub(super) fn of(body: Box<dyn ObjectBody>) -> (Self, Box<dyn ObjectBody>) {
        let (turn, seen) = watch::channel(Turn { works_since: Some(Instant::now()), body_failed: false });
        (Self(seen), Box::new(Watched { body, turn }))
    }

    pub(super) fn body_failed(&self) -> bool {
        self.0.borrow().body_failed
    }

    /// The answer to a put, none of whose steps may take longer than this.
    pub(super) async fn step_by_step<T>(
        &self,
        operation: &'static str,
        step: Duration,
        put: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let mut turns = self.0.clone();
        let mut put = pin!(put);
        loop {
            let works_since = turns.borrow_and_update().works_since;
            let overdue = async {
                match works_since {
                    Some(since) => sleep(step.saturating_sub(since.elapsed())).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = &mut put => return answer,
                Ok(()) = turns.changed() => {}
                () = overdue => return Err(late(step, operation)),
            }
        }
    }
}

#[async_trait]
impl ObjectBody for Watched {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        self.turn.send_modify(|turn| turn.works_since = None);
        let part = self.body.next().await;
        self.turn.send_modify(|turn| {
            turn.works_since = Some(Instant::now());
            turn.body_failed |= part.is_err();
        });
        part
    }
}
