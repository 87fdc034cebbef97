//! The compute engine in two processes: this one owns the queue and calls, another one runs the tasks.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portwright_application::cached::Cached;
use portwright_application::compute::{Defaults, TaskRegistry, Worker, WorkerOptions};
use portwright_application::prelude::*;
use portwright_domain::job::WorkerId;
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::ports::{JobQueue, Unobserved};
use portwright_memory::{MemoryCache, SystemClock, UuidV7};
use portwright_socket::{QueueClient, QueueServer};
use portwright_sqlite::{SqliteConfig, SqliteJobQueue};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Jobs that the worker runs at a time.
pub const PLACES: u32 = 32;

/// A service whose methods do nothing.
pub struct Idle {
    compute: Compute,
    cache: Cached,
}

#[service(name = "idle")]
impl Idle {
    /// Crosses to the other process and comes back.
    #[compute]
    pub async fn echo(&self, number: u64) -> Result<u64, ComputeError> {
        Ok(number)
    }

    /// Is found in the cache.
    #[cached(key = "idle:remember:{number}", ttl = "1h")]
    pub async fn remember(&self, number: u64) -> Result<u64, ComputeError> {
        self.direct(number).await
    }
}

impl Idle {
    fn calling(queue: Arc<dyn JobQueue>) -> Arc<Self> {
        const CACHE: u64 = 1 << 20;
        let (clock, observer) = (Arc::new(SystemClock), Arc::new(Unobserved));
        let ids = Arc::new(UuidV7::new(clock.clone()));
        let cache = Arc::new(MemoryCache::new(CACHE, clock.clone()));
        let compute = Compute::new(queue, clock, ids, observer.clone(), Defaults::default());
        Arc::new(Self { compute, cache: Cached::new(cache, observer) })
    }

    /// Is computed by its caller.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "it is compared with what is")]
    pub async fn direct(&self, number: u64) -> Result<u64, ComputeError> {
        Ok(number)
    }
}

/// The process that owns the queue, and the worker's if one was started.
pub struct Engine {
    /// Its calls go through the queue.
    pub idle: Arc<Idle>,
    /// The queue itself.
    pub queue: Arc<SqliteJobQueue>,
    worker: Option<Child>,
    folder: TempDir,
    _serving: DropGuard,
}

impl Engine {
    /// A new queue within this directory, served on its socket, without a worker.
    pub async fn open(within: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(within)?;
        let config = SqliteConfig::at(folder.path().join("queue.db"));
        let limits = Limits { waiting: u64::MAX, ..Limits::default() };
        let queue = Arc::new(SqliteJobQueue::init(&config, limits, Arc::new(SystemClock)).await?);
        let stop = CancellationToken::new();
        let server = QueueServer::bind(folder.path())?.run(queue.clone(), queue.clone(), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the guard")]
        drop(tokio::spawn(server));
        let idle = Idle::calling(queue.clone());
        Ok(Self { idle, queue, worker: None, folder, _serving: stop.drop_guard() })
    }

    /// Starts the other process, and answers its number: this program, which has to call [`work`] when it is told to by
    /// `--work-for DIRECTORY`.
    pub fn start_worker(&mut self) -> anyhow::Result<u32> {
        let mut command = Command::new(std::env::current_exe()?);
        let worker = command.arg("--work-for").arg(self.folder.path()).stdin(Stdio::null()).spawn()?;
        let pid = worker.id();
        self.worker = Some(worker);
        Ok(pid)
    }

    /// Waits until no job is left.
    pub async fn until_done(&self) -> anyhow::Result<()> {
        while self.queue.queues().await?.iter().any(|queue| queue.ready + queue.running > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.worker {
            // It may have ended by itself.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// What the other process does: runs the tasks of the queue that is served in this directory, until it is killed.
pub async fn work(directory: PathBuf) -> anyhow::Result<()> {
    let source = Arc::new(QueueClient::of(&directory));
    let tasks = TaskRegistry::default().serve(&Idle::calling(source.clone()));
    // As in the product: a thread for each place.
    let places = usize::try_from(PLACES)?;
    let handlers = Builder::new_multi_thread().worker_threads(places).enable_all().build()?;
    let options = WorkerOptions {
        concurrency: PLACES,
        handlers: Some(handlers.handle().clone()),
        ..WorkerOptions::new(WorkerId::parse("bench")?)
    };
    let worker = Worker::new(source, Arc::new(tasks), Arc::new(Unobserved), options);
    worker.run(CancellationToken::new(), CancellationToken::new()).await;
    handlers.shutdown_background();
    Ok(())
}
