//! [`Cached`]: what is computed once and remembered for a time.
//!
//! Invariants
//! - Of all calls of this process that miss one key at one time, one computes and the others get its value.
//! - The cache can only make things faster: whatever it does wrong is a miss. It gets a quarter of a second for its
//!   answer.
//! - Only values are remembered, never errors. When a computation fails, its caller gets the error, and the next of
//!   those who wait computes; so of many that fail, one runs at a time.
//! - What is invalidated while it is being computed is not remembered. Another process that shares the cache and began
//!   to compute before may still put an old value, until its time is over.
//! - What is invalidated while the cache is away is invalidated before anything is read from it again here. Other
//!   processes may read it until then.

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ports::{Cache, CacheKey, Event, Observer};
use portwright_domain::{ErrorKind, PortError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// What a cache may take for one answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// So many values that could not be invalidated are kept in mind.
const MOST_OWED: usize = 4096;

/// A cache with the computations that fill it. Clones are the same.
#[derive(Clone)]
pub struct Cached(Arc<Inner>);

struct Inner {
    cache: Arc<dyn Cache>,
    observer: Arc<dyn Observer>,
    flights: Mutex<HashMap<CacheKey, Arc<Flight>>>,
    /// What could not be invalidated yet, each with a number of its own.
    owed: Mutex<HashMap<CacheKey, u64>>,
    owings: AtomicU64,
}

/// One computation that several wait for: whoever holds the lock computes, and those behind find its value.
#[derive(Default)]
struct Flight {
    value: tokio::sync::Mutex<Option<Bytes>>,
    invalidated: AtomicBool,
}

impl Cached {
    /// Remembers in this cache.
    pub fn new(cache: Arc<dyn Cache>, observer: Arc<dyn Observer>) -> Self {
        Self(Arc::new(Inner {
            cache,
            observer,
            flights: Mutex::default(),
            owed: Mutex::default(),
            owings: AtomicU64::new(0),
        }))
    }

    /// The remembered value, or else the one that `compute` returns, which is remembered for `ttl`.
    ///
    /// `name` is what metrics call this kind of value, such as `reports.summary`. The key includes the version of the
    /// value's shape; what does not parse is computed anew.
    ///
    /// # Errors
    /// What `compute` returns.
    pub async fn get_or_compute<T, E>(
        &self,
        name: &str,
        key: &CacheKey,
        ttl: Duration,
        compute: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let known = self.0.get(key).await.and_then(|bytes| parsed(key, &bytes));
        self.0.observer.observe(&Event::CacheRead { cache: name, hit: known.is_some() });
        if let Some(value) = known {
            return Ok(value);
        }
        let seat = self.0.board(key);
        let mut landed = seat.flight.value.lock().await;
        if landed.is_none() {
            // An earlier flight may have landed between the look above and boarding this one.
            *landed = self.0.get(key).await;
        }
        if let Some(value) = landed.as_ref().and_then(|bytes| parsed(key, bytes)) {
            return Ok(value);
        }
        let value = compute.await?;
        match serde_json::to_vec(&value) {
            Ok(json) => {
                let bytes = Bytes::from(json);
                self.0.remember(&seat, &bytes, ttl).await;
                *landed = Some(bytes);
            }
            Err(error) => tracing::error!(%error, %key, "a value has no form in JSON, so it is not cached"),
        }
        Ok(value)
    }

    /// Forgets the value of this key, also one that is being computed right now.
    ///
    /// # Errors
    /// If the cache could not be told: other processes may find the value there until this one has told it, which it does
    /// before it reads anything, or until its time is over.
    pub async fn invalidate(&self, key: &CacheKey) -> Result<(), PortError> {
        if let Some(flight) = self.0.flights().remove(key) {
            flight.invalidated.store(true, Ordering::SeqCst);
        }
        self.0.remove(key).await
    }
}

impl Inner {
    async fn get(&self, key: &CacheKey) -> Option<Bytes> {
        self.pay().await.ok()?;
        self.asked("get", self.cache.get(key)).await.ok().flatten()
    }

    async fn remove(&self, key: &CacheKey) -> Result<(), PortError> {
        let removed = self.asked("remove", self.cache.remove(std::slice::from_ref(key))).await;
        if removed.is_err() {
            let mut owed = self.owed();
            if owed.len() < MOST_OWED || owed.contains_key(key) {
                owed.insert(key.clone(), self.owings.fetch_add(1, Ordering::Relaxed));
            } else {
                tracing::warn!(%key, "a cached value may be found until its time is over");
            }
        }
        removed
    }

    /// Invalidates what could not be invalidated before.
    async fn pay(&self) -> Result<(), PortError> {
        let owed = self.owed().clone();
        if owed.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = owed.keys().cloned().collect();
        self.asked("remove", self.cache.remove(&keys)).await?;
        // What has come to be owed since is owed still.
        self.owed().retain(|key, number| owed.get(key) != Some(number));
        Ok(())
    }

    /// Puts a value that was just computed, unless it was invalidated since the computation began.
    async fn remember(&self, seat: &Seat<'_>, bytes: &Bytes, ttl: Duration) {
        let invalidated = || seat.flight.invalidated.load(Ordering::SeqCst);
        if invalidated() {
            return;
        }
        // What fails here costs another computation later.
        let _: Result<(), PortError> = self.asked("put", self.cache.put(seat.key, bytes.clone(), ttl)).await;
        if invalidated() {
            let _: Result<(), PortError> = self.remove(seat.key).await;
        }
        // Whoever comes from now on asks the cache, which knows when the time of the value is over.
        seat.leave();
    }

    /// The answer of the cache within its time.
    async fn asked<T>(
        &self,
        operation: &str,
        answer: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let answer = timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            Err(PortError::new(ErrorKind::Unavailable, "cache", format!("no answer in {PATIENCE:?}")))
        });
        if let Err(error) = &answer {
            tracing::debug!(%error, operation, "the cache failed");
        }
        answer
    }

    fn owed(&self) -> MutexGuard<'_, HashMap<CacheKey, u64>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board<'a>(&'a self, key: &'a CacheKey) -> Seat<'a> {
        let flight = self.flights().entry(key.clone()).or_default().clone();
        Seat { inner: self, key, flight }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<CacheKey, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a flight. The last one to leave takes the flight off the list.
struct Seat<'a> {
    inner: &'a Inner,
    key: &'a CacheKey,
    flight: Arc<Flight>,
}

impl Seat<'_> {
    fn leave(&self) {
        let mut flights = self.inner.flights();
        if flights.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(self.key);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // The list's and this one: nobody else is on board, and nobody boards while the list is locked.
        let mut flights = self.inner.flights();
        let last = Arc::strong_count(&self.flight) == 2;
        if last && flights.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(self.key);
        }
    }
}

fn parsed<T: DeserializeOwned>(key: &CacheKey, bytes: &[u8]) -> Option<T> {
    let parsed = serde_json::from_slice(bytes);
    parsed.inspect_err(|error| tracing::warn!(%error, %key, "a cached value does not parse")).ok()
}

/// A part of a cache key: whatever is not a letter, digit, `.`, `_` or `-` of ASCII is written as `%XX`, so that two
/// lists of parts never make one key.
pub fn escaped<'a>(part: impl Display + 'a) -> impl Display + 'a {
    struct Escaped<T>(T);
    struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

    impl<T: Display> Display for Escaped<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(Escaper(f), "{}", self.0)
        }
    }

    impl Write for Escaper<'_, '_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().try_for_each(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                    self.0.write_char(char::from(byte))
                }
                _ => write!(self.0, "%{byte:02X}"),
            })
        }
    }

    Escaped(part)
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("flights", &self.0.flights().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_never_make_one_key() {
        let key = |a: &str, b: &str| format!("k:{}:{}", escaped(a), escaped(b));
        assert_eq!(key("2026-01", "a_b.c"), "k:2026-01:a_b.c");
        assert_eq!(key("ä b", ""), "k:%C3%A4%20b:");
        assert_ne!(key("1:2", "3"), key("1", "2:3"));
        assert_ne!(key("%3A", ""), key(":", ""));
        assert!(CacheKey::parse(&key("ä \n\u{0}", "€")).is_ok());
    }
}
