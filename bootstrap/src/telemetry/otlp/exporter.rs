//! [`Exporter`]: a bounded queue of spans, and the thread that empties it.
//!
//! Invariants
//! - To hand over a span never waits.
//! - The thread ends when it is told to; nobody waits for it longer than they said.
//! - Each span is exported, or counted as dropped.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// The most spans that wait: those of a second or two under load.
const WAITING: usize = 2_048;
/// The most spans of one export.
const TOGETHER: usize = 512;
/// How long a span waits for company.
const EVERY: Duration = Duration::from_secs(1);
/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Where finished spans are handed over. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    spans: SyncSender<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    ended: AtomicBool,
}

/// Exports what is handed over until it is told to end.
#[derive(Debug)]
pub(super) struct Exporter {
    inbox: Inbox,
    thread: Option<JoinHandle<()>>,
}

impl Inbox {
    /// Hands it over, or drops it if too many wait.
    pub(super) fn take(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(exporter: impl SpanExporter + 'static) -> io::Result<Self> {
        let (spans, waiting) = sync_channel(WAITING);
        let counts = Arc::new(Counts::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = Work { exporter, runtime, waiting, counts: counts.clone(), is_away: false, lost: 0 };
        let thread = thread::Builder::new().name("traces".to_owned()).spawn(move || work.go_on())?;
        Ok(Self { inbox: Inbox { spans, counts }, thread: Some(thread) })
    }

    pub(super) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Exports what is left, as far as that is possible within this time.
    pub(super) fn end(&mut self, within: Duration) {
        self.inbox.counts.ended.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + within;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(LOOK / 10);
        }
    }
}

struct Work<E> {
    exporter: E,
    runtime: Runtime,
    waiting: Receiver<SpanData>,
    counts: Arc<Counts>,
    /// Whether the last export failed.
    is_away: bool,
    /// Spans that are gone, and of which nobody was told.
    lost: u64,
}

impl<E: SpanExporter> Work<E> {
    fn go_on(mut self) {
        loop {
            let ends = self.counts.ended.load(Ordering::Acquire);
            let batch = self.batch(ends);
            if batch.is_empty() && ends {
                return self.say_what_was_lost();
            }
            if !batch.is_empty() {
                self.export(batch);
            }
        }
    }

    /// What there is after a while, or at once if there is enough or the end has come.
    fn batch(&self, ends: bool) -> Vec<SpanData> {
        let until = Instant::now() + if ends { Duration::ZERO } else { EVERY };
        let mut batch = Vec::new();
        while batch.len() < TOGETHER {
            let wait = until.saturating_duration_since(Instant::now()).min(LOOK);
            match self.waiting.recv_timeout(wait) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout) if until <= Instant::now() => break,
                Err(RecvTimeoutError::Timeout) if self.counts.ended.load(Ordering::Acquire) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        batch
    }

    fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let exported = self.runtime.block_on(self.exporter.export(batch));
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        self.lost += dropped;
        let was_away = mem::replace(&mut self.is_away, exported.is_err());
        match exported {
            Ok(()) if dropped == 0 => self.say_what_was_lost(),
            // There is more than can be exported: it is said when that is over.
            Ok(()) => {}
            Err(error) => {
                if !was_away {
                    tracing::warn!(%error, "traces are not exported, and are dropped");
                }
                self.lost += count;
            }
        }
    }

    fn say_what_was_lost(&mut self) {
        if self.lost > 0 {
            tracing::warn!(spans = self.lost, "traces were dropped");
            self.lost = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn span() -> SpanData {
        SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "span".into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links: opentelemetry_sdk::trace::SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    /// A collector that a test opens and closes.
    #[derive(Debug, Clone, Default)]
    struct Collector(Arc<(Mutex<State>, Condvar)>);

    #[derive(Debug, Default)]
    struct State {
        refuses: bool,
        hangs: bool,
        asked: usize,
        taken: usize,
    }

    impl Collector {
        fn set(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock().expect("whole"));
            self.0.1.notify_all();
        }

        #[track_caller]
        fn wait_for(&self, is_true: impl Fn(&State) -> bool) {
            let guard = self.0.0.lock().expect("whole");
            let waited = self.0.1.wait_timeout_while(guard, PATIENCE, |state| !is_true(state));
            let waited = waited.expect("whole").1;
            assert!(!waited.timed_out());
        }
    }

    impl SpanExporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let mut hangs = false;
            let mut answer = Ok(());
            // At once: whoever has seen that it was asked may change what the next one is told, not this one.
            self.set(|state| {
                state.asked += 1;
                hangs = state.hangs;
                if state.refuses {
                    answer = Err(OTelSdkError::InternalFailure("503".to_owned()));
                } else if !hangs {
                    state.taken += batch.len();
                }
            });
            if hangs {
                std::future::pending::<()>().await;
            }
            answer
        }
    }

    #[test]
    fn what_is_left_is_exported_at_the_end() {
        let collector = Collector::default();
        let mut exporter = Exporter::start(collector.clone()).expect("a thread");
        for _ in 0..=TOGETHER * 2 {
            exporter.inbox().take(span());
        }
        exporter.end(PATIENCE);
        collector.wait_for(|state| state.taken == TOGETHER * 2 + 1);
    }

    #[test]
    fn a_collector_that_hangs_holds_up_nobody() {
        let collector = Collector::default();
        collector.set(|state| state.hangs = true);
        let mut exporter = Exporter::start(collector.clone()).expect("a thread");
        let began = Instant::now();
        for _ in 0..10 * WAITING {
            exporter.inbox().take(span());
        }
        collector.wait_for(|state| state.asked == 1);
        exporter.end(Duration::from_millis(50));
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        let dropped = exporter.inbox.counts.dropped.load(Ordering::Relaxed);
        let kept = (WAITING + TOGETHER) as u64;
        assert!(dropped >= 10 * WAITING as u64 - kept, "{dropped}");
    }

    #[test]
    fn a_collector_that_is_back_gets_what_comes_then() {
        let collector = Collector::default();
        collector.set(|state| state.refuses = true);
        let mut exporter = Exporter::start(collector.clone()).expect("a thread");
        exporter.inbox().take(span());
        collector.wait_for(|state| state.asked == 1);
        collector.set(|state| state.refuses = false);
        exporter.inbox().take(span());
        collector.wait_for(|state| state.taken == 1);
        exporter.end(PATIENCE);
        assert_eq!(collector.0.0.lock().expect("whole").taken, 1, "the first is gone");
    }
}
