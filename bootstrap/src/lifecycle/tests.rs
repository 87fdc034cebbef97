//! Time is paused: it moves only while everything waits, so the figures are exact.

use std::future::pending;

use tokio::time::advance;

use super::*;

const PLAN: Shutdown = Shutdown { ready_delay: Duration::from_secs(5), timeout: Duration::from_secs(25) };

/// A life that is serving, and the order in which its hooks ran.
fn serving() -> (Lifecycle, Arc<Mutex<Vec<&'static str>>>) {
    let life = Lifecycle::new(PLAN);
    life.mark_ready();
    (life, Arc::default())
}

fn note(
    order: &Arc<Mutex<Vec<&'static str>>>,
    name: &'static str,
) -> impl Future<Output = ()> + Send + 'static {
    let order = order.clone();
    async move { order.lock().expect("whole").push(name) }
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_names_itself() {
    let life = Lifecycle::new(PLAN);
    let refused = async { Err::<(), _>(Failure::new(Exit::CannotCreate, Problem::new("disk full"))) };
    let failure = life.step("open the database", Duration::from_secs(1), refused).await.expect_err("fails");
    assert_eq!(failure.exit(), Exit::CannotCreate);
    assert!(failure.to_string().starts_with("error: open the database: disk full\n"), "{failure}");
    assert_eq!(life.step("count", Duration::from_secs(1), async { Ok(42) }).await, Ok(42));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_is_exit_69_and_names_itself() {
    let life = Lifecycle::new(PLAN);
    let began = Instant::now();
    let failure = life.step("wait for nobody", Duration::from_secs(10), pending::<Result<(), _>>()).await;
    let failure = failure.expect_err("too long");
    assert_eq!((failure.exit(), began.elapsed()), (Exit::Unavailable, Duration::from_secs(10)));
    assert!(failure.to_string().contains("wait for nobody: not done within 10 s"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_start_ends_it_without_complaint_and_without_delay() {
    let life = Lifecycle::new(PLAN);
    life.signalled("SIGTERM");
    let failure =
        life.step("wait", Duration::from_secs(10), pending::<Result<(), _>>()).await.expect_err("stopped");
    assert_eq!(failure, Failure::silent(Exit::Done));
    let began = Instant::now();
    assert_eq!(life.run().await, Exit::Done);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_goes_through_its_phases_in_order_and_backwards_within_one() {
    let (life, order) = serving();
    for (phase, name) in [
        (Phase::CloseStores, "database"),
        (Phase::CloseStores, "queue"),
        (Phase::FinishRequests, "requests"),
        (Phase::BackgroundTasks, "worker"),
        (Phase::StopAccepting, "listener"),
    ] {
        life.on_stop(phase, name, note(&order, name));
    }
    let (soft, noted) = (life.soft(), order.clone());
    life.spawn("sweeper", async move {
        soft.cancelled().await;
        sleep(Duration::from_secs(7)).await;
        noted.lock().expect("whole").push("sweeper");
    });
    assert!(life.is_ready());
    let began = Instant::now();
    life.stop(Exit::Done);
    assert!(!life.is_ready());
    assert_eq!(life.run().await, Exit::Done);
    assert_eq!(
        *order.lock().expect("whole"),
        ["listener", "requests", "worker", "sweeper", "queue", "database"]
    );
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    assert!(!life.hard().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn requests_are_still_taken_for_the_ready_delay() {
    let (life, _) = serving();
    let (told, accepting) = tokio::sync::oneshot::channel();
    life.on_stop(Phase::StopAccepting, "listener", async move {
        let _ = told.send(Instant::now());
    });
    let began = Instant::now();
    life.stop(Exit::Done);
    assert_eq!(life.run().await, Exit::Done);
    assert_eq!(accepting.await.expect("told") - began, PLAN.ready_delay);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_everything_is_cut_off_and_the_stores_are_still_closed() {
    let (life, order) = serving();
    life.on_stop(Phase::FinishRequests, "a request without end", pending());
    life.on_stop(Phase::CloseStores, "database", note(&order, "database"));
    let task = life.spawn("stubborn", pending::<()>());
    let began = Instant::now();
    life.stop(Exit::Done);
    assert_eq!(life.run().await, Exit::Failed);
    assert!(life.hard().is_cancelled());
    assert_eq!(task.await.expect("no panic"), None);
    assert_eq!(*order.lock().expect("whole"), ["database"]);
    assert_eq!(began.elapsed(), PLAN.ready_delay + PLAN.timeout);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_bounded_whatever_its_hooks_do() {
    let (life, _) = serving();
    for phase in Phase::ALL {
        life.on_stop(phase, "never", pending());
        life.on_stop(phase, "never either", pending());
    }
    let began = Instant::now();
    life.stop(Exit::Done);
    assert_eq!(life.run().await, Exit::Failed);
    assert_eq!(began.elapsed(), PLAN.ready_delay + PLAN.timeout + LAST_GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait() {
    let (life, order) = serving();
    life.on_stop(Phase::CloseStores, "database", note(&order, "database"));
    let task = life.spawn("stubborn", pending::<()>());
    life.signalled("SIGINT");
    advance(SAME_SIGNAL).await;
    let began = Instant::now();
    life.signalled("SIGINT");
    assert_eq!(life.run().await, Exit::Failed);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(task.await.expect("no panic"), None);
    assert_eq!(*order.lock().expect("whole"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_arrives_twice_is_one_signal() {
    let (life, order) = serving();
    life.on_stop(Phase::CloseStores, "database", note(&order, "database"));
    life.signalled("SIGINT");
    life.signalled("SIGTERM");
    advance(Duration::from_millis(299)).await;
    life.signalled("SIGINT");
    assert_eq!(life.run().await, Exit::Done);
    assert_eq!(*order.lock().expect("whole"), ["database"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_to_stop_is_the_status() {
    let (life, _) = serving();
    life.stop(Exit::Bug);
    life.stop(Exit::Done);
    assert_eq!(life.run().await, Exit::Bug);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_holds_nobody_up() {
    let (life, _) = serving();
    let task = life.spawn("clumsy", async { panic!("oops") });
    assert!(task.await.is_err());
    life.stop(Exit::Done);
    assert_eq!(life.run().await, Exit::Done);
}

#[tokio::test]
async fn the_operating_systems_signal_stops_the_process() {
    let life = Lifecycle::new(Shutdown { ready_delay: Duration::ZERO, timeout: Duration::from_secs(5) });
    life.listen_for_signals().expect("handlers");
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).expect("sent");
    let exit = timeout(Duration::from_secs(10), life.run()).await;
    assert_eq!(exit, Ok(Exit::Done));
}
