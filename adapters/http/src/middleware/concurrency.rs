//! The concurrency limit: how many requests are worked on at a time, how many wait for their turn, and that the others are
//! told at once to come back.
//!
//! Without it a server that is asked for more than it can do does a part of everything, and everything too late. What is
//! counted is work, so whoever only waits for somebody else (its client's body, the result of a job) does not hold a turn
//! meanwhile: see [`Turn::aside`].

use std::collections::VecDeque;
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::poll_immediate;
use poem::Request;
use poem::http::{HeaderValue, header};
use portwright_domain::ports::{Event, Observer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::problem::{Problem, ProblemCode};

/// How many requests are worked on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyLimit {
    /// So many at most; 1 at least.
    pub working: usize,
    /// So many may wait for their turn; one more is refused.
    pub waiting: usize,
    /// And none of them longer than this.
    pub patience: Duration,
}

impl ConcurrencyLimit {
    /// How long a request may wait for its turn, where nothing else is said. Longer than a moment of bad luck, and short
    /// enough that a balancer finds another server before anybody notices.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// So many are worked on, and as many may wait for [`PATIENCE`](Self::PATIENCE).
    #[must_use]
    pub const fn of(working: usize) -> Self {
        Self { working, waiting: working, patience: Self::PATIENCE }
    }
}

/// Gives turns.
pub(super) struct Concurrency {
    limit: ConcurrencyLimit,
    queues: Mutex<Queues>,
    observer: Arc<dyn Observer>,
}

#[derive(Default)]
struct Queues {
    working: usize,
    /// Those who stepped aside and want to go on. They come first, and are not refused: what was done for them would be
    /// lost.
    returning: VecDeque<oneshot::Sender<Held>>,
    /// Those who have not begun. The first came first, so those who gave up are the first, too.
    waiting: VecDeque<oneshot::Sender<Held>>,
}

/// One of the turns, given back when dropped.
struct Held(Arc<Concurrency>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Concurrency {
    pub(super) fn new(limit: ConcurrencyLimit, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self { limit, queues: Mutex::default(), observer })
    }

    /// A turn, after a short wait if there is none at once.
    ///
    /// # Errors
    /// The problem of a request that is not begun.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Arc<Turn>, Problem> {
        let held = match self.next(Rank::New) {
            Next::Now(held) => held,
            Next::Later(turn) => {
                let _queued = Queued::begin(&*self.observer);
                match timeout(self.limit.patience, turn).await {
                    Ok(Ok(held)) => held,
                    Ok(Err(_)) | Err(_) => return Err(self.shed("late")),
                }
            }
            Next::Never => return Err(self.shed("full")),
        };
        Ok(Arc::new(Turn { concurrency: Arc::clone(self), held: Mutex::new(Some(held)) }))
    }

    fn next(self: &Arc<Self>, rank: Rank) -> Next {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.working < self.limit.working.max(1) {
            queues.working += 1;
            return Next::Now(Held(Arc::clone(self)));
        }
        let (queue, most) = match rank {
            Rank::New => (&mut queues.waiting, self.limit.waiting),
            Rank::Returning => (&mut queues.returning, usize::MAX),
        };
        while queue.front().is_some_and(oneshot::Sender::is_closed) {
            queue.pop_front();
        }
        if queue.len() >= most {
            return Next::Never;
        }
        let (turn, its) = oneshot::channel();
        queue.push_back(turn);
        Next::Later(its)
    }

    fn give_back(self: &Arc<Self>) {
        let next = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let Queues { working, returning, waiting } = &mut *queues;
            let mut in_order = std::iter::from_fn(|| returning.pop_front().or_else(|| waiting.pop_front()));
            let next = in_order.find(|next| !next.is_closed());
            if next.is_none() {
                *working -= 1;
            }
            next
        };
        // Not under the lock: of somebody who went away this very moment, it comes back here.
        if let Some(next) = next {
            drop(next.send(Held(Arc::clone(self))));
        }
    }

    fn shed(&self, reason: &'static str) -> Problem {
        self.observer.observe(&Event::RequestShed { reason });
        Problem::new(ProblemCode::Overloaded).with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}

/// Who asks for a turn.
#[derive(Clone, Copy)]
enum Rank {
    /// A request that came.
    New,
    /// One that stepped aside.
    Returning,
}

/// When there is a turn for somebody.
enum Next {
    Now(Held),
    Later(oneshot::Receiver<Held>),
    /// There are enough who wait.
    Never,
}

/// Somebody stands in the queue, until this is dropped.
struct Queued<'a>(&'a dyn Observer);

impl<'a> Queued<'a> {
    fn begin(observer: &'a dyn Observer) -> Self {
        observer.observe(&Event::RequestQueued);
        Self(observer)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.observe(&Event::RequestUnqueued);
    }
}

/// The turn of one request.
pub(crate) struct Turn {
    concurrency: Arc<Concurrency>,
    /// `None` while the request stands aside, and after its end.
    held: Mutex<Option<Held>>,
}

impl Turn {
    /// Waits for somebody else, and lets another request have the turn meanwhile. It goes on when there is a turn again,
    /// before those who have not begun.
    pub(crate) async fn aside<F: Future>(&self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        if let Some(answer) = poll_immediate(wait.as_mut()).await {
            return answer;
        }
        if self.take().is_none() {
            return wait.await;
        }
        let answer = wait.await;
        let held = match self.concurrency.next(Rank::Returning) {
            Next::Now(held) => Some(held),
            Next::Later(turn) => turn.await.ok(),
            Next::Never => None,
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        answer
    }

    /// The request is done.
    pub(super) fn end(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Steps aside for the request that is being answered; see [`Turn::aside`].
pub(crate) async fn aside<F: IntoFuture>(request: &Request, wait: F) -> F::Output {
    match request.data::<Arc<Turn>>() {
        Some(turn) => turn.aside(wait.into_future()).await,
        None => wait.await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use portwright_domain::ports::Unobserved;
    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    fn concurrency(working: usize, waiting: usize) -> Arc<Concurrency> {
        let limit = ConcurrencyLimit { working, waiting, patience: 10 * MOMENT };
        Concurrency::new(limit, Arc::new(Unobserved))
    }

    impl Concurrency {
        /// How many work, return and wait.
        fn state(&self) -> [usize; 3] {
            let queues = self.queues.lock().expect("nobody panics");
            [queues.working, queues.returning.len(), queues.waiting.len()]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stepped_aside_goes_on_before_those_who_have_not_begun() {
        let concurrency = concurrency(1, 1);
        let first = concurrency.enter().await.expect("a turn");
        let mut aside = Box::pin(first.aside(sleep(MOMENT)));
        assert!(poll_immediate(&mut aside).await.is_none());
        let second = concurrency.enter().await.expect("the first stepped aside");
        sleep(2 * MOMENT).await;
        assert!(poll_immediate(&mut aside).await.is_none(), "it is back, and there is no turn");
        let mut third = Box::pin(concurrency.enter());
        assert!(poll_immediate(&mut third).await.is_none());
        assert_eq!(concurrency.state(), [1, 1, 1]);

        second.end();
        aside.await;
        assert_eq!(concurrency.state(), [1, 0, 1], "the first goes on, and the third still waits");
        first.end();
        drop(third.await.expect("a turn"));
        assert_eq!(concurrency.state(), [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_crowd_that_comes_and_goes_no_turn_is_lost_and_none_is_given_twice() {
        const LIMIT: usize = 3;
        let concurrency = concurrency(LIMIT, 5);
        let (working, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut crowd = JoinSet::new();
        for number in 0..2_000_u32 {
            let (concurrency, working, served) = (concurrency.clone(), working.clone(), served.clone());
            crowd.spawn(async move {
                sleep(MOMENT * (number / 4)).await;
                let work = async {
                    let Ok(turn) = concurrency.enter().await else { return };
                    for step in 0..number % 4 {
                        let now = working.fetch_add(1, Ordering::Relaxed) + 1;
                        assert!(now <= LIMIT, "{now} at a time");
                        tokio::task::yield_now().await;
                        working.fetch_sub(1, Ordering::Relaxed);
                        turn.aside(sleep(MOMENT * (step + number % 3))).await;
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                };
                // Some go away at any moment, but not while we count them.
                let _ = timeout(MOMENT * (number % 29 + 1) + MOMENT / 2, work).await;
            });
        }
        crowd.join_all().await;
        assert!(served.load(Ordering::Relaxed) > 100, "{served:?}");
        assert_eq!(concurrency.state()[0], 0);
        let all: Vec<_> =
            [concurrency.enter().await, concurrency.enter().await, concurrency.enter().await].into();
        assert!(all.iter().all(Result::is_ok));
    }
}
