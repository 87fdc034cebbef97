//! `portwright worker`: a process that runs jobs, started by the server or by hand.

use std::fs;
use std::io;

use portwright_domain::job::WorkerId;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tracing::Instrument;

use crate::cli::WorkerCommand;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::lifecycle::Lifecycle;
use crate::lifeline::Lifeline;
use crate::wiring::Program;
use crate::worker::{self, Role};

/// A machine that runs out of memory ends a worker before the server: its jobs start again elsewhere.
const EXPENDABLE: &str = "500";

/// Works until told to stop.
pub(super) fn run(config: &Config, command: WorkerCommand, program: Program) -> Result<Exit, Failure> {
    let lifeline = if command.supervised {
        give_way(config.compute.memory_limit)?;
        Some(Lifeline::of_stdin().map_err(|error| cannot("hold the lifeline", &error))?)
    } else {
        None
    };
    let id = match command.id {
        Some(id) => id,
        None => by_hand(&program)?,
    };
    let role = Role { id, queues: command.queues, lifeline };

    let threads = usize::try_from(config.compute.concurrency).unwrap_or(usize::MAX);
    // Not so the thread that keeps the lease: it works little, and is late at its peril.
    let handlers = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("task")
        .on_thread_start(yield_to_requests)
        .enable_all()
        .build();
    let handlers = handlers.map_err(|error| cannot("start threads", &error))?;
    let control = Builder::new_current_thread().enable_all().build();
    let control = control.map_err(|error| cannot("start threads", &error))?;
    // Several processes write to one log.
    let span = tracing::info_span!("worker", pid = std::process::id());
    let work = async {
        let life = Lifecycle::new(config.shutdown);
        life.listen_for_signals().map_err(|error| cannot("listen for signals", &error))?;
        let ended = worker::run(config, program, role, handlers.handle().clone(), &life).await;
        // Whatever else it ends with has been said, or will be.
        if ended.as_ref().map_or_else(Failure::exit, |exit| *exit) == Exit::Done {
            tracing::info!("stopped");
        }
        ended
    };
    let done = control.block_on(work.instrument(span));
    // A task that hangs in a system call, or never yields, must not keep the process alive.
    [handlers, control].into_iter().for_each(Runtime::shutdown_background);
    done
}

/// Lets the machine, and the operator's limit, end this process rather than another.
fn give_way(memory_limit: Option<u64>) -> Result<(), Failure> {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", EXPENDABLE) {
        tracing::debug!(%error, "this worker is as dear to the kernel as its server");
    }
    let limit = |bytes| setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) });
    memory_limit.map_or(Ok(()), limit).map_err(|error| cannot("limit the memory", &error.into()))
}

/// Lets the threads that serve requests go first: what is to be done in minutes can wait for milliseconds. Where that is
/// not allowed, tasks are merely less polite.
fn yield_to_requests() {
    #[cfg(target_os = "linux")]
    rustix::process::nice(10).ok();
}

fn by_hand(program: &Program) -> Result<WorkerId, Failure> {
    let name = format!("worker-{}-{}", std::process::id(), program.ambient.ids.next());
    WorkerId::parse(&name).map_err(|error| Failure::new(Exit::Bug, Problem::new(error.to_string())))
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::TryAgain, Problem::new(format!("cannot {what} ({error})")))
}
