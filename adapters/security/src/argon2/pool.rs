//! A few threads for work that is slow on purpose, and a bounded number of callers who wait for them.
//!
//! Two semaphores say who may go on: one counts the places, taken at once or not at all, the other the threads, taken
//! in turn. A caller that goes away while it waits drops both, so its place is free again at once; once a thread is at
//! work, the work keeps them to its end, because that is how long the thread is busy.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use argon2::Block;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::Capacity;

/// What a thread keeps from one hash to the next, so that no hash waits for the memory of its own.
pub(super) type Memory = Vec<Block>;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Every place is taken.
    Full,
    /// The patience ran out.
    TooSlow,
    /// The work panicked; its thread lives on.
    Panicked,
}

/// The threads. They end when this is dropped, each after the work that it is at.
pub(super) struct Pool {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    patience: Duration,
}

impl Pool {
    pub(super) fn start(capacity: Capacity) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..capacity.threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("argon2-{number}")).spawn(move || serve(&queue))?;
        }
        Ok(Self {
            jobs,
            places: Arc::new(Semaphore::new(capacity.threads.saturating_add(capacity.waiting))),
            threads: Arc::new(Semaphore::new(capacity.threads)),
            patience: capacity.patience,
        })
    }

    /// Does the work on one of the threads, and nothing if the caller goes away before its turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::Full)?;
        let answered = async {
            // Neither semaphore is ever closed, and the threads live as long as the pool does.
            let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| Refused::Panicked)?;
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |memory| {
                let busy = (place, thread);
                if answer.is_closed() {
                    return;
                }
                let outcome = work(memory);
                // First the place, then the answer: who has been answered may come back at once.
                drop(busy);
                answer.send(outcome).ok();
            });
            self.jobs.send(job).map_err(|_| Refused::Panicked)?;
            answered.await.map_err(|_| Refused::Panicked)
        };
        timeout(self.patience, answered).await.map_err(|_| Refused::TooSlow)?
    }
}

fn serve(queue: &Mutex<mpsc::Receiver<Job>>) {
    yield_to_others();
    let mut memory = Memory::new();
    loop {
        // The lock is held while this thread waits: the others wait for the lock instead.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
            memory = Memory::new();
        }
    }
}

/// Lets the threads that serve requests go first. Where that is not allowed, hashing is merely less polite.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    rustix::process::nice(15).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pool(threads: usize, waiting: usize) -> Arc<Pool> {
        Arc::new(Pool::start(Capacity { threads, waiting, patience: PATIENCE }).expect("threads start"))
    }

    /// Work that is begun when `begun` says so, and ends when `end` is dropped or sent to.
    struct Held {
        begun: oneshot::Receiver<()>,
        end: mpsc::Sender<()>,
        caller: tokio::task::JoinHandle<Result<(), Refused>>,
    }

    #[expect(clippy::disallowed_methods, reason = "each test awaits or aborts the task")]
    fn hold(pool: &Arc<Pool>) -> Held {
        let pool = Arc::clone(pool);
        let (started, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let caller = tokio::spawn(async move {
            pool.run(move |_| {
                started.send(()).ok();
                ended.recv().ok();
            })
            .await
        });
        Held { begun, end, caller }
    }

    impl Held {
        async fn begun(&mut self) {
            timeout(PATIENCE, &mut self.begun).await.expect("the work begins").expect("the work is done");
        }
    }

    /// Waits until as many places are free; tasks take and give theirs in their own time.
    async fn until_free(pool: &Pool, places: usize) {
        let free = async {
            while pool.places.available_permits() != places {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, free).await.expect("as many places are free");
    }

    #[tokio::test]
    async fn one_more_than_there_are_places_is_refused_at_once() {
        let pool = pool(2, 1);
        let mut busy = [hold(&pool), hold(&pool)];
        for held in &mut busy {
            held.begun().await;
        }
        let waiting = hold(&pool);
        until_free(&pool, 0).await;
        assert_eq!(pool.run(|_| ()).await, Err(Refused::Full));

        drop(busy);
        drop(waiting.end);
        assert_eq!(waiting.caller.await.expect("the task ends"), Ok(()));
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_frees_its_place_and_its_work_is_never_done() {
        let pool = pool(1, 1);
        let mut busy = hold(&pool);
        busy.begun().await;
        let mut waiting = hold(&pool);
        until_free(&pool, 0).await;

        waiting.caller.abort();
        until_free(&pool, 1).await;
        drop(busy.end);
        assert_eq!(pool.run(|_| ()).await, Ok(()), "the pool goes on");
        assert!(waiting.begun.try_recv().is_err(), "work that nobody waits for was begun");
    }

    #[tokio::test]
    async fn a_thread_at_work_keeps_its_place_when_the_caller_goes_away() {
        let pool = pool(1, 0);
        let mut busy = hold(&pool);
        busy.begun().await;
        busy.caller.abort();
        assert!((&mut busy.caller).await.is_err());
        assert_eq!(pool.run(|_| ()).await, Err(Refused::Full));

        drop(busy.end);
        until_free(&pool, 1).await;
        assert_eq!(pool.run(|_| ()).await, Ok(()));
    }

    #[tokio::test]
    async fn work_is_skipped_if_its_caller_left_before_the_thread_came_to_it() {
        let pool = pool(1, 1);
        // As if the one thread were two, one of which has not had its turn at the processor yet.
        pool.threads.add_permits(1);
        let mut busy = hold(&pool);
        busy.begun().await;
        let mut late = hold(&pool);
        until_free(&pool, 0).await;
        late.caller.abort();
        assert!((&mut late.caller).await.is_err());

        drop(busy.end);
        until_free(&pool, 2).await;
        assert!(late.begun.try_recv().is_err(), "work that nobody waits for was begun");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_patience() {
        let capacity = Capacity { threads: 1, waiting: 1, patience: Duration::from_millis(20) };
        let pool = Pool::start(capacity).expect("threads start");
        let (end, ended) = mpsc::channel::<()>();
        let at_work = pool.run(move |_| ended.recv().ok());
        assert_eq!(at_work.await, Err(Refused::TooSlow));
        drop(end);

        let _busy = pool.threads.acquire().await.expect("never closed");
        assert_eq!(pool.run(|_| ()).await, Err(Refused::TooSlow));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_thread_lives_on() {
        let pool = pool(1, 0);
        for _ in 0..3 {
            let outcome: Result<(), _> = pool.run(|_| panic!("a bug in the work")).await;
            assert_eq!(outcome, Err(Refused::Panicked));
            until_free(&pool, 1).await;
        }
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn memory_is_kept_from_one_work_to_the_next() {
        let pool = pool(1, 0);
        pool.run(|memory| memory.resize(3, Block::default())).await.expect("done");
        assert_eq!(pool.run(|memory| memory.len()).await, Ok(3));
    }

    #[tokio::test]
    async fn the_threads_end_with_the_pool() {
        let pool = pool(2, 0);
        let (ended, mut end) = tokio::sync::mpsc::channel::<()>(1);
        // What a thread holds in its own storage is dropped when the thread ends.
        thread_local! {
            static AT_END: std::cell::RefCell<Option<tokio::sync::mpsc::Sender<()>>> = const { std::cell::RefCell::new(None) };
        }
        pool.run(move |_| AT_END.set(Some(ended))).await.expect("done");
        assert!(end.try_recv().is_err_and(|error| error == tokio::sync::mpsc::error::TryRecvError::Empty));
        drop(pool);
        assert_eq!(timeout(PATIENCE, end.recv()).await, Ok(None), "the thread is still there");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_yields_to_the_threads_that_serve() {
        let own = rustix::process::getpriority_process(None).expect("a priority");
        let hashing = pool(1, 0).run(|_| rustix::process::getpriority_process(None)).await.expect("done");
        assert_eq!(hashing.expect("a priority"), (own + 15).min(19));
    }
}
