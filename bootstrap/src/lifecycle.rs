//! From the first step of the start to the last of the end.
//!
//! ```text
//! steps ──► ready ──► soft (a signal, or `stop`) ──ready delay──► stop accepting ► finish requests
//!                        │                                           ► background tasks ► close stores ──► exit
//!                        ├─ another process waits for what is ours (`hand_over`): background tasks go first,
//!                        │  so that somebody accepts requests for as long as possible
//!                        ├─ SHUTDOWN_TIMEOUT over: hard; what is left has one second ───────────────────► exit 1
//!                        └─ a second signal: abort ─────────────────────────────────────────────────────► exit 1
//! ```
//! Signals less than 300 ms after the first are the first, heard again.
//!
//! Invariants
//! - No step, hook or task is waited for without a bound.
//! - A task that [`Lifecycle::spawn`] started is over, or dropped, before the stores are closed.
//! - Signals have handlers from the first step on, so they also reach a process with id 1, for which the kernel has no
//!   default action; as such, it waits for the dead whom nobody else waits for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::Shutdown;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::orphans;

/// What is left when the time is over gets this much more, together, to close files and say goodbye.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Whoever keeps a connection learns with its next answer that another process is there; so much time has everybody to ask,
/// also where no balancer has to notice anything.
const LEAST_PARTING: Duration = Duration::from_secs(1);

/// Ctrl-C reaches every process of a terminal's foreground, and wrappers such as `timeout` pass on what they got: so one
/// wish to stop arrives twice. Nobody wishes twice within this time.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// The parts of a shutdown, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No new connections.
    StopAccepting,
    /// Requests that were begun are answered.
    FinishRequests,
    /// Background tasks end; after the hooks of this phase, those of [`Lifecycle::spawn`] are waited for.
    BackgroundTasks,
    /// Nobody uses the stores any more.
    CloseStores,
}

impl Phase {
    const ALL: [Self; 4] =
        [Self::StopAccepting, Self::FinishRequests, Self::BackgroundTasks, Self::CloseStores];
    const WORK_FIRST: [Self; 4] =
        [Self::BackgroundTasks, Self::StopAccepting, Self::FinishRequests, Self::CloseStores];
}

/// Who takes requests after this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// Another process, which does so already.
    Serves,
    /// Another process, which will when this one has closed its stores. Until then, those who connect wait.
    Waits,
}

/// The life of the process. Clones are the same life.
#[derive(Clone)]
pub struct Lifecycle(Arc<Life>);

struct Life {
    plan: Shutdown,
    ready: AtomicBool,
    unready: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
    /// The parent of `hard`.
    abort: CancellationToken,
    /// When the signal came that stops the process.
    signalled: OnceLock<Instant>,
    exit: OnceLock<Exit>,
    successor: OnceLock<Successor>,
    /// When what is left is cut off.
    deadline: OnceLock<Instant>,
    tasks: TaskTracker,
    hooks: Mutex<Vec<Hook>>,
}

struct Hook {
    phase: Phase,
    name: &'static str,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Lifecycle {
    /// A life that has just begun and will end by this plan.
    #[must_use]
    pub fn new(plan: Shutdown) -> Self {
        let abort = CancellationToken::new();
        Self(Arc::new(Life {
            plan,
            ready: AtomicBool::new(false),
            unready: CancellationToken::new(),
            soft: CancellationToken::new(),
            hard: abort.child_token(),
            abort,
            signalled: OnceLock::new(),
            exit: OnceLock::new(),
            successor: OnceLock::new(),
            deadline: OnceLock::new(),
            tasks: TaskTracker::new(),
            hooks: Mutex::default(),
        }))
    }

    /// Lets SIGTERM and SIGINT stop the process; the second one at once. Whoever is the first process of a container
    /// waits for orphans, too.
    pub fn listen_for_signals(&self) -> io::Result<()> {
        orphans::bury()?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let life = self.clone();
        let listen = async move {
            loop {
                tokio::select! {
                    Some(()) = terminate.recv() => life.signalled("SIGTERM"),
                    Some(()) = interrupt.recv() => life.signalled("SIGINT"),
                    else => return,
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it listens to the very end, which must not wait for it"
        )]
        drop(tokio::spawn(listen));
        Ok(())
    }

    fn signalled(&self, name: &str) {
        // The first one may come when the process stops already, for another reason.
        let first = self.0.signalled.get_or_init(Instant::now);
        if !self.0.soft.is_cancelled() {
            tracing::info!(signal = name, "stopping; a second signal does not wait");
            self.stop(Exit::Done);
        } else if first.elapsed() < SAME_SIGNAL {
            tracing::debug!(signal = name, "the same signal again");
        } else {
            tracing::warn!(signal = name, "stopping at once");
            self.0.abort.cancel();
        }
    }

    /// Begins to stop, and to end with this status. Only the first call counts.
    pub fn stop(&self, exit: Exit) {
        self.0.exit.get_or_init(|| exit);
        self.0.unready.cancel();
        self.0.soft.cancel();
    }

    /// Begins to stop, since another process takes the place of this one: requests may still be sent to both. Only the
    /// first call of this and [`Lifecycle::stop`] counts.
    pub fn hand_over(&self, successor: Successor) {
        if self.0.exit.set(Exit::Done).is_ok() {
            self.0.successor.get_or_init(|| successor);
            self.0.soft.cancel();
        }
    }

    /// Cancelled when no more requests should be sent here: readiness says no.
    #[must_use]
    pub fn unready(&self) -> CancellationToken {
        self.0.unready.clone()
    }

    /// Cancelled when the process begins to stop: nothing long is begun.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Cancelled when there is no time left: whatever still runs gives up.
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// The start is over; requests may come.
    pub fn mark_ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// Whether requests may come: the start is over and the end has not begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire) && !self.0.unready.is_cancelled()
    }

    /// When what is left will be cut off; `None` as long as nobody stops the process.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }

    /// Takes one step of the start.
    ///
    /// # Errors
    /// The step's own, naming the step; `Unavailable` if it takes longer than the limit; nothing to say, and
    /// [`Exit::Done`], if the process is told to stop meanwhile.
    pub async fn step<T>(
        &self,
        name: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        tokio::select! {
            biased;
            () = self.0.soft.cancelled() => Err(Failure::silent(Exit::Done)),
            done = timeout(limit, work) => match done {
                Ok(Ok(value)) => {
                    tracing::debug!(step = name, duration_ms = began.elapsed().as_secs_f64() * 1e3, "done");
                    Ok(value)
                }
                Ok(Err(failure)) => Err(failure.during(name)),
                Err(_) => {
                    let problem = Problem::new(format!("{name}: not done within {} s", limit.as_secs_f64()));
                    Err(Failure::new(Exit::Unavailable, problem.fix("RUST_LOG=debug shows what it waits for")))
                }
            }
        }
    }

    /// Starts a task in the background, which the end waits for: it should look at [`Lifecycle::soft`]. At
    /// [`Lifecycle::hard`] it is dropped where it waits, and the handle answers `None`. The name is in everything that
    /// the task logs, its panic included.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let hard = self.hard();
        let span = tracing::info_span!("task", task = name);
        self.0.tasks.spawn(async move { hard.run_until_cancelled(task).await }.instrument(span))
    }

    /// Adds work to a phase of the end. Within a phase, what was added last is done first.
    pub fn on_stop(&self, phase: Phase, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.hooks().push(Hook { phase, name, work: Box::pin(work) });
    }

    /// Waits until the process is to stop, stops it in order, and answers the status to end with. A start that failed
    /// calls [`Lifecycle::stop`] and then this, to close what it had opened.
    pub async fn run(&self) -> Exit {
        self.0.soft.cancelled().await;
        let asked = self.0.exit.get().copied().unwrap_or(Exit::Done);
        let drained = tokio::select! {
            biased;
            () = self.0.abort.cancelled() => false,
            drained = self.drain() => drained,
        };
        if !drained && asked == Exit::Done { Exit::Failed } else { asked }
    }

    /// Whether everything ended by itself.
    async fn drain(&self) -> bool {
        let successor = self.0.successor.get();
        // Nobody has sent requests to what was never ready.
        if self.0.ready.load(Ordering::Acquire) {
            let delay = self.0.plan.ready_delay;
            sleep(if successor.is_some() { delay.max(LEAST_PARTING) } else { delay }).await;
        }
        let mut deadline = Instant::now() + self.0.plan.timeout;
        self.0.deadline.get_or_init(|| deadline);
        let mut all = true;
        let phases = if successor == Some(&Successor::Waits) { Phase::WORK_FIRST } else { Phase::ALL };
        for phase in phases {
            while let Some(hook) = self.next_hook(phase) {
                all &= self.finish(hook.name, hook.work, &mut deadline).await;
            }
            if phase == Phase::BackgroundTasks {
                self.0.tasks.close();
                all &= self.finish("background tasks", self.0.tasks.wait(), &mut deadline).await;
            }
        }
        tracing::info!(in_time = all, "stopped");
        all
    }

    async fn finish(&self, name: &str, work: impl Future<Output = ()>, deadline: &mut Instant) -> bool {
        if timeout_at(*deadline, work).await.is_ok() {
            return true;
        }
        tracing::warn!(step = name, "did not end in time and is cut off");
        if !self.0.hard.is_cancelled() {
            self.0.hard.cancel();
            *deadline += LAST_GRACE;
        }
        false
    }

    fn next_hook(&self, phase: Phase) -> Option<Hook> {
        let mut hooks = self.hooks();
        let last = hooks.iter().rposition(|hook| hook.phase == phase)?;
        Some(hooks.remove(last))
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
