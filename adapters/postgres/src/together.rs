//! [`Together`]: look-ups of one kind, many of which are answered by one statement.
//!
//! A round trip costs both sides many times what one more row costs, and every signed-in request looks its session up. So a
//! look-up that finds nobody under way is asked at once; those that come meanwhile are asked together when it is answered.
//! An idle store answers as fast as ever, and a busy one is asked less.
//!
//! - A look-up is never answered by a statement that began before it: what it shows is as fresh as if it were alone.
//! - Whoever has waited for [`PATIENCE`] waits for no slow statement any more: another one is begun beside it.
//! - A statement belongs to nobody: who goes away takes nobody's answer along. Once all have gone, it is given up.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Consistency};
use portwright_domain::{ErrorKind, PortError};
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::lsn::Place;
use crate::pooled::asked;
use crate::routing::Routing;

/// How long a look-up waits for the statement before its own.
const PATIENCE: Duration = Duration::from_millis(5);

/// So many statements of one kind at once, at most; so a slow server keeps connections for other questions.
const LANES: usize = 4;

/// So many look-ups in one statement, at most.
const MOST: usize = 128;

/// A kind of look-up by identity.
pub(crate) trait LookUp: Send + Sync + 'static {
    /// What there is under an identity.
    type Found: Clone + Send + Sync + 'static;
    /// `port.method`, as in the errors of the port.
    const OPERATION: &'static str;
    /// Takes an array of identities. Its rows have the place in a column of that name, and there is one at least; see
    /// [`crate::seen`]. The array should stand there as `(SELECT $1)::uuid[]`: its length is hidden from the planner then,
    /// who would think short arrays worth a plan of their own each time.
    const SQL: &'static str;

    /// What a row shows; `None` if that is only the place.
    fn read(row: &PgRow) -> Result<Option<(Uuid, Self::Found)>, sqlx::Error>;
}

/// What a look-up showed.
pub(crate) struct Shown<T> {
    pub(crate) found: Option<T>,
    /// As [`ReadView::seen`](portwright_domain::ports::ReadView::seen).
    pub(crate) seen: Option<CommitToken>,
}

/// Look-ups of one kind, all of them as fresh as each other.
pub(crate) struct Together<K: LookUp> {
    routing: Arc<Routing>,
    consistency: Consistency,
    waiting: Mutex<Waiting<K::Found>>,
}

struct Waiting<T> {
    questions: Vec<Question<T>>,
    /// Statements that are under way.
    lanes: usize,
}

struct Question<T> {
    id: Uuid,
    /// The error is everybody's whose look-up was in that statement.
    answer: oneshot::Sender<Result<Shown<T>, Arc<PortError>>>,
}

impl<K: LookUp> Together<K> {
    pub(crate) fn new(routing: &Arc<Routing>, consistency: Consistency) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { questions: Vec::new(), lanes: 0 });
        Arc::new(Self { routing: routing.clone(), consistency, waiting })
    }

    /// What there is under this identity.
    pub(crate) async fn look_up(self: &Arc<Self>, id: Uuid) -> Result<Shown<K::Found>, PortError> {
        let (answer, mut answered) = oneshot::channel();
        self.ask(Question { id, answer });
        let answer = match timeout(PATIENCE, &mut answered).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                self.ask_beside();
                answered.await
            }
        };
        let abandoned = || PortError::new(ErrorKind::Unavailable, K::OPERATION, "the look-up was abandoned");
        answer.map_err(|_| abandoned())?.map_err(|error| {
            PortError::new(error.kind(), K::OPERATION, error.detail().to_owned()).with_source(error)
        })
    }

    fn ask(self: &Arc<Self>, question: Question<K::Found>) {
        let mut waiting = self.lock();
        waiting.questions.push(question);
        if waiting.lanes == 0 {
            self.begin(&mut waiting);
        }
    }

    /// Begins another statement if there are look-ups for it.
    fn ask_beside(self: &Arc<Self>) {
        let mut waiting = self.lock();
        if !waiting.questions.is_empty() && waiting.lanes < LANES {
            self.begin(&mut waiting);
        }
    }

    fn begin(self: &Arc<Self>, waiting: &mut Waiting<K::Found>) {
        waiting.lanes += 1;
        let lane = Lane { of: self.clone(), is_open: true };
        #[expect(clippy::disallowed_methods, reason = "a store that is closed waits for its connection")]
        tokio::spawn(lane.run());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<K::Found>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for all of these at once.
    async fn find(&self, ids: &[Uuid]) -> Result<(HashMap<Uuid, K::Found>, Option<Place>), PortError> {
        let mut view = self.routing.read(&self.consistency).await?;
        let rows =
            asked!(view, K::OPERATION, connection => sqlx::query(K::SQL).bind(ids).fetch_all(connection))?;
        if let Some(first) = rows.first() {
            view.saw(K::OPERATION, first)?;
        }
        let found = rows.iter().filter_map(|row| K::read(row).transpose()).collect::<Result<_, _>>();
        Ok((found.map_err(|error| crate::error::port_error(K::OPERATION, error))?, view.seen()))
    }
}

/// One statement after the other, for as long as there are look-ups.
struct Lane<K: LookUp> {
    of: Arc<Together<K>>,
    is_open: bool,
}

impl<K: LookUp> Lane<K> {
    async fn run(mut self) {
        while let Some(mut questions) = self.next() {
            let ids: Vec<_> = questions.iter().map(|question| question.id).collect();
            let shown = tokio::select! {
                biased;
                shown = self.of.find(&ids) => shown.map_err(Arc::new),
                () = all_gone(&mut questions) => continue,
            };
            for Question { id, answer } in questions {
                let shown = shown.as_ref().map_err(Arc::clone).map(|(found, place)| Shown {
                    found: found.get(&id).cloned(),
                    seen: place.and_then(|place| self.of.routing.token_of(place)),
                });
                // Whoever has gone needs no answer.
                let _ = answer.send(shown);
            }
        }
    }

    /// The look-ups for the next statement; without any, the lane is closed.
    fn next(&mut self) -> Option<Vec<Question<K::Found>>> {
        let mut waiting = self.of.lock();
        waiting.questions.retain(|question| !question.answer.is_closed());
        if waiting.questions.is_empty() {
            waiting.lanes -= 1;
            self.is_open = false;
            return None;
        }
        let rest = waiting.questions.len().min(MOST);
        let rest = waiting.questions.split_off(rest);
        Some(mem::replace(&mut waiting.questions, rest))
    }
}

/// Waits until nobody waits any more.
async fn all_gone<T>(questions: &mut [Question<T>]) {
    for question in questions {
        question.answer.closed().await;
    }
}

/// Also after a panic: those who wait begin another one.
impl<K: LookUp> Drop for Lane<K> {
    fn drop(&mut self) {
        if self.is_open {
            self.of.lock().lanes -= 1;
        }
    }
}
