//! [`Wire`]: group commit. Whatever is asked while one script is on its way goes into the next.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::ports::Clock;
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::{ErrorKind, PortError, Timestamp};
use redis::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::ask::{Answer, Arguments, Ask, array, time, values};
use super::hand_back;
use crate::RedisConfig;
use crate::connection::Connection;
use crate::script::Script;

/// So many calls may wait for the script at once; more wait for a place.
const CALLS: usize = 4_096;
/// So many calls, and about so many bytes, share a script at most.
const GROUP: usize = 256;
const GROUP_SIZE: usize = 4 * 1024 * 1024;

/// How the script is reached. Cheap to clone.
#[derive(Clone)]
pub(super) struct Wire {
    asks: mpsc::Sender<Ask>,
    /// How long to wait for a place, and then for an answer.
    wait: Duration,
    patience: Duration,
}

impl Wire {
    pub(super) fn begin(
        connection: Connection,
        config: &RedisConfig,
        limits: &Limits,
        clock: Option<Arc<dyn Clock>>,
        process: String,
        heard: watch::Receiver<String>,
    ) -> Self {
        let (asks, asked) = mpsc::channel(CALLS);
        let runner = Runner {
            connection,
            prefix: config.key(""),
            response: config.response,
            limits: kept(limits),
            clock,
            process,
            heard,
            usual: Script::new(script()),
            // What gives places back must go on when the memory is full.
            without_jobs: Script::new(format!("#!lua flags=allow-oom\n{}", script())),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the last way to ask it, having answered all"
        )]
        tokio::spawn(runner.run(asked));
        Self { asks, wait: config.wait, patience: config.wait + 2 * config.response }
    }

    /// What the script answers.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        arguments: Arguments,
        jobs: Vec<portwright_domain::job::JobId>,
    ) -> Result<Answer, PortError> {
        let (reply, answered) = oneshot::channel();
        self.tell(Ask { operation, arguments, jobs, reply: Some(reply) }).await?;
        self.answer(operation, answered).await
    }

    /// Asks, without waiting for the answer.
    pub(super) async fn tell(&self, ask: Ask) -> Result<(), PortError> {
        let operation = ask.operation;
        match timeout(self.wait, self.asks.send(ask)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(PortError::new(ErrorKind::Unavailable, operation, "the queue is closed")),
            Err(_elapsed) => {
                Err(PortError::new(ErrorKind::Unavailable, operation, "too many calls wait for Redis"))
            }
        }
    }

    /// Asks if there is a place, for what nobody waits for.
    pub(super) fn mention(&self, ask: Ask) {
        // Without a place it is left to the end of a lease or of a wait.
        self.asks.try_send(ask).ok();
    }

    /// The answer to what was asked before.
    pub(super) async fn answer(
        &self,
        operation: &'static str,
        answered: impl Future<Output = Result<Result<Answer, PortError>, oneshot::error::RecvError>>,
    ) -> Result<Answer, PortError> {
        let too_slow =
            || PortError::new(ErrorKind::Unavailable, operation, "the queue did not answer in time");
        timeout(self.patience, answered).await.map_err(|_elapsed| too_slow())?.map_err(|_| too_slow())?
    }
}

/// A file of the script that is a function of its own, so that what it declares is; `tick.lua` answers.
macro_rules! file {
    ($name:literal) => {
        concat!(
            "do\nlocal function file()\n",
            include_str!(concat!("../lua/", $name)),
            "end\nlocal answer = file()\nif answer then return answer end\nend\n"
        )
    };
}

/// The files of the script, in order.
fn script() -> &'static str {
    concat!(
        include_str!("../lua/shared.lua"),
        include_str!("../lua/begin.lua"),
        file!("record.lua"),
        file!("pieces.lua"),
        file!("places.lua"),
        file!("usual.lua"),
        file!("telling.lua"),
        file!("life.lua"),
        file!("keeping.lua"),
        file!("enqueue.lua"),
        file!("leasing.lua"),
        file!("parking.lua"),
        file!("reads.lua"),
        file!("tick.lua"),
    )
}

fn kept(limits: &Limits) -> Arguments {
    let mut kept = Arguments::default();
    for retention in [limits.succeeded, limits.unsuccessful] {
        kept.add_number(retention.jobs);
        kept.add_duration(retention.age);
    }
    kept
}

struct Runner {
    connection: Connection,
    prefix: String,
    response: Duration,
    limits: Arguments,
    clock: Option<Arc<dyn Clock>>,
    process: String,
    /// The number of the newest event that was read.
    heard: watch::Receiver<String>,
    usual: Script,
    without_jobs: Script,
}

impl Runner {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let (mut group, mut were_many) = (Vec::new(), false);
        while asked.recv_many(&mut group, GROUP).await > 0 {
            if were_many {
                gather(&mut asked, &mut group).await;
            }
            were_many = group.len() > 1;
            let (mut some, mut size) = (Vec::new(), 0);
            for ask in group.drain(..).filter(Ask::is_wanted) {
                size += ask.arguments.size();
                some.push(ask);
                if size >= GROUP_SIZE {
                    self.tick(std::mem::take(&mut some)).await;
                    size = 0;
                }
            }
            self.tick(some).await;
        }
    }

    /// Asks all of this at once. What was leased to somebody who went away meanwhile is handed back.
    async fn tick(&mut self, mut asks: Vec<Ask>) {
        while !asks.is_empty() {
            let mut unheard = Vec::new();
            match self.ask_script(&asks).await {
                // Nobody fails for another: a full memory is a matter of new jobs alone.
                Err(error) if asks.len() > 1 && is_refused(&error) => {
                    for ask in asks {
                        let answers = self.ask_script(std::slice::from_ref(&ask)).await;
                        unheard.extend(answer(vec![ask], answers));
                    }
                }
                answers => unheard.extend(answer(asks, answers)),
            }
            asks = unheard;
        }
    }

    async fn ask_script(&mut self, asks: &[Ask]) -> Result<Answers, PortError> {
        let (process, mut numbers) = (self.process.clone(), Arguments::default());
        let heard = if self.heard.has_changed().unwrap_or(false) {
            self.heard.borrow_and_update().clone()
        } else {
            String::new()
        };
        let clock =
            self.clock.as_ref().map(|clock| clock.now().unix_micros().to_string()).unwrap_or_default();
        numbers.add_number(asks.iter().map(|ask| ask.jobs.len() as u64).sum());
        numbers.add_number(asks.len() as u64);
        let mut numbers = numbers.iter();

        let mut arguments: Vec<&[u8]> = vec![clock.as_bytes()];
        arguments.extend(self.limits.iter());
        arguments.extend([process.as_bytes(), heard.as_bytes()]);
        arguments.extend(numbers.next());
        arguments.extend(asks.iter().flat_map(|ask| &ask.jobs).map(|job| job.0.as_bytes().as_slice()));
        arguments.extend(numbers.next());
        arguments.extend(asks.iter().flat_map(|ask| ask.arguments.iter()));

        let takes_jobs = asks.iter().any(|ask| TAKES_JOBS.contains(&ask.operation));
        let script = if takes_jobs { &self.usual } else { &self.without_jobs };
        let answer: Value =
            self.connection.run("jobs.tick", script, &[&self.prefix], &arguments, self.response).await?;
        Answers::read(answer).filter(|told| told.values.len() == asks.len()).ok_or_else(garbled)
    }
}

/// Those whom the last answers woke ask again in a moment, and the more ask together, the less each costs.
async fn gather(asked: &mut mpsc::Receiver<Ask>, group: &mut Vec<Ask>) {
    loop {
        let before = group.len();
        yield_now().await;
        while group.len() < GROUP
            && let Ok(ask) = asked.try_recv()
        {
            group.push(ask);
        }
        if group.len() == before {
            return;
        }
    }
}

/// What takes room, and is refused where there is none.
const TAKES_JOBS: [&str; 2] = ["jobs.enqueue", "jobs.call"];

/// Tells everybody; returns what is to be asked because somebody did not hear it.
fn answer(asks: Vec<Ask>, answers: Result<Answers, PortError>) -> Vec<Ask> {
    let mut unheard = Vec::new();
    match answers {
        Ok(Answers { values, now, next_due }) => {
            for (ask, value) in asks.into_iter().zip(values) {
                let told = ask.reply.map(|reply| reply.send(Ok(Answer { value, now, next_due })));
                if let Some(Err(Ok(answer))) = told {
                    unheard.extend(hand_back::of_answer(ask.operation, answer));
                }
            }
        }
        Err(error) => {
            for ask in asks {
                let failed = during(ask.operation, &error);
                // An error is a caller that went away.
                ask.reply.map(|reply| reply.send(Err(failed)).ok());
            }
        }
    }
    unheard
}

fn garbled() -> PortError {
    PortError::new(ErrorKind::Corrupt, "jobs.tick", "the script answered something else")
}

/// Whether Redis understood the script and would not have it.
fn is_refused(error: &PortError) -> bool {
    use std::error::Error;
    let source = error.source().and_then(|source| source.downcast_ref::<redis::RedisError>());
    source.is_some_and(|error| crate::error::trouble_of(error) == crate::error::Trouble::Command)
}

/// The same error for one of the operations that shared a script.
fn during(operation: &'static str, error: &PortError) -> PortError {
    use std::error::Error;
    let shared = PortError::new(error.kind(), operation, error.detail().to_owned());
    match error.source() {
        Some(source) => shared.with_source(source.to_string()),
        None => shared,
    }
}

struct Answers {
    values: Vec<Value>,
    now: Timestamp,
    next_due: Option<Timestamp>,
}

impl Answers {
    fn read(answer: Value) -> Option<Self> {
        let [now, next_due, answers] = values(answer)?;
        Some(Self { now: time(&now)??, next_due: time(&next_due)?, values: array(answers)? })
    }
}
