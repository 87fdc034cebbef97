//! One suite per port: each promise in the prose of a trait is a check of that name, and every adapter passes them all.
//!
//! An adapter runs a suite in one line, given an async function that makes a fresh [`Fixture`]:
//!
//! ```text
//! async fn fresh_cache() -> Fixture<dyn Cache> {
//!     let clock = Arc::new(ManualClock::default());
//!     Fixture::new(Arc::new(MemoryCache::new(1 << 20, clock.clone()))).with_clock(clock)
//! }
//!
//! portwright_testkit::cache_contract!(fresh_cache);
//! ```
//!
//! This becomes a module `cache_contract` with one `#[tokio::test]` per promise. The crate needs nothing but this one and
//! tokio among its dev-dependencies.
//!
//! # How to write a suite
//!
//! Write each check as a **private** `async fn name(fixture: Fixture<dyn Port>)` which panics if the promise is broken,
//! and list all of them once:
//!
//! ```text
//! contract! {
//!     /// Every promise of [`Cache`], as a test of its own.
//!     cache_contract => cache::PROMISES: Fixture<dyn Cache> {
//!         a_value_is_read_back_as_it_was_put,
//!         a_time_of_zero_removes,
//!     }
//! }
//!
//! async fn a_value_is_read_back_as_it_was_put(fixture: Fixture<dyn Cache>) { /* … */ }
//! ```
//!
//! From this one list come the exported macro `cache_contract!` and the constant `contract::cache::PROMISES`. A check
//! that is not listed is dead code, so the compiler finds it. A file with several suites gives each constant its own
//! name (`security::SEALER_PROMISES`); a suite in several files lists its checks as `file::{ one, another }`.
//!
//! [`broken_promises`] runs a list against an adapter and answers the names of those that it breaks, which is how the
//! suites themselves are tested.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::Clock;
use tokio::task::JoinSet;

use crate::clock::ManualClock;

/// Lists the promises of one port; see the module's documentation.
macro_rules! contract {
    ($(#[$doc:meta])* $contract:ident => $module:ident::$promises:ident: $fixture:ty {
        $($name:ident),+ $(,)?
    }) => {
        contract!(@define ($) $(#[$doc])* $contract => $module::$promises: $fixture { $([] $name)+ });
    };
    ($(#[$doc:meta])* $contract:ident => $module:ident::$promises:ident: $fixture:ty {
        $($group:ident::{ $($name:ident),+ $(,)? }),+ $(,)?
    }) => {
        contract!(@define ($) $(#[$doc])* $contract => $module::$promises: $fixture { $($([$group::] $name)+)+ });
    };
    // `$d` is a dollar sign, for the macro that this macro defines.
    (@define ($d:tt) $(#[$doc:meta])* $contract:ident => $module:ident::$promises:ident: $fixture:ty {
        $([$($group:tt)*] $name:ident)+
    }) => {
        /// Every promise by its name, for [`broken_promises`](crate::contract::broken_promises).
        pub const $promises: &[$crate::contract::Promise<$fixture>] = &[
            $($crate::contract::Promise::new(stringify!($name), |fixture| Box::pin($($group)* $name(fixture)))),+
        ];

        $(#[$doc])*
        #[macro_export]
        macro_rules! $contract {
            ($d fresh:ident) => {
                mod $contract {
                    $(
                        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                        async fn $name() {
                            let fixture = super::$d fresh().await;
                            $d crate::contract::uphold(
                                $d crate::contract::$module::$promises,
                                stringify!($name),
                                fixture,
                            )
                            .await;
                        }
                    )+
                }
            };
        }
    };
}

pub mod ambient;
pub mod cache;
pub mod health;
pub mod job_queue;
pub mod rate_limiter;
pub mod security;
pub mod storage;
pub mod store;

/// How long one check may take: long enough for the slowest machine, and not for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A boxed future, so that checks of different types stand in one list.
pub type Check = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise of a port, and the check that it is kept.
pub struct Promise<F> {
    name: &'static str,
    check: fn(F) -> Check,
}

impl<F> Promise<F> {
    /// A promise of this name; the check panics if it is broken.
    #[must_use]
    pub const fn new(name: &'static str, check: fn(F) -> Check) -> Self {
        Self { name, check }
    }

    /// The sentence, as the name of the test.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    async fn uphold(&self, fixture: F) {
        let kept = tokio::time::timeout(PATIENCE, (self.check)(fixture)).await;
        assert!(kept.is_ok(), "{} was still undecided after {PATIENCE:?}", self.name);
    }
}

/// Checks the one promise of this name; panics if it is broken, undecided after 30 s, or not in the list.
pub async fn uphold<F>(promises: &[Promise<F>], name: &str, fixture: F) {
    let promise = promises.iter().find(|promise| promise.name == name);
    promise.unwrap_or_else(|| panic!("{name} is not in the list")).uphold(fixture).await;
}

/// Checks every promise, each on a fresh fixture; the names of those that were broken, in the order of the list.
pub async fn broken_promises<F, Fresh, Made>(
    promises: &'static [Promise<F>],
    fresh: Fresh,
) -> Vec<&'static str>
where
    F: Send + 'static,
    Fresh: Fn() -> Made,
    Made: Future<Output = F>,
{
    let mut broken = Vec::new();
    for promise in promises {
        let fixture = fresh().await;
        // A task of its own turns a panic into an answer.
        let mut task = JoinSet::new();
        task.spawn(promise.uphold(fixture));
        if !matches!(task.join_next().await, Some(Ok(()))) {
            broken.push(promise.name);
        }
    }
    broken
}

/// The time that a port goes by.
struct Time {
    clock: Arc<dyn Clock>,
    advance: Box<dyn Fn(Duration) -> Check + Send + Sync>,
}

/// A fresh port, and the world around it: its time, and what must live as long as it does.
pub struct Fixture<P: ?Sized> {
    /// The port.
    pub port: Arc<P>,
    time: Option<Time>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<P: ?Sized> Fixture<P> {
    /// A port whose promises have nothing to do with time.
    #[must_use]
    pub fn new(port: Arc<P>) -> Self {
        Self { port, time: None, kept: Vec::new() }
    }

    /// A port that goes by this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<ManualClock>) -> Self {
        let hand = clock.clone();
        self.with_time(clock, move |by| {
            hand.advance(by);
            Box::pin(std::future::ready(()))
        })
    }

    /// A port that goes by a time which `clock` shows and `advance` moves: a server's, or the real one, by waiting.
    #[must_use]
    pub fn with_time(
        mut self,
        clock: Arc<dyn Clock>,
        advance: impl Fn(Duration) -> Check + Send + Sync + 'static,
    ) -> Self {
        self.time = Some(Time { clock, advance: Box::new(advance) });
        self
    }

    /// Keeps something until the check is over, such as a temporary directory.
    #[must_use]
    pub fn keeping(mut self, what: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(what));
        self
    }

    /// The time of the port. Panics if the fixture was made without a clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.time().clock.now()
    }

    /// Lets time pass for the port. Panics if the fixture was made without a clock.
    pub async fn advance(&self, by: Duration) {
        (self.time().advance)(by).await;
    }

    fn time(&self) -> &Time {
        self.time.as_ref().expect("a promise about time needs a fixture with a clock")
    }
}

impl<P: ?Sized> fmt::Debug for Fixture<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}
