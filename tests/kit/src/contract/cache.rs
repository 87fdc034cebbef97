//! What every [`Cache`] promises.
//!
//! That any value may be gone before its time cannot be checked; the checks assume an adapter with room for a few
//! kilobytes, which forgets nothing without a reason.

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::ports::{Cache, CacheKey};

use crate::contract::Fixture;

contract! {
    /// Every promise of [`Cache`](portwright_domain::ports::Cache), as a test of its own, given an async function that
    /// makes a `Fixture<dyn Cache>` with a clock.
    cache_contract => cache::PROMISES: Fixture<dyn Cache> {
        a_value_is_read_as_it_was_put,
        nothing_is_read_where_nothing_was_put,
        no_value_outlives_its_time,
        a_value_is_there_until_its_time_is_over,
        put_replaces_the_value,
        put_replaces_the_time,
        a_time_of_zero_removes,
        a_time_beyond_all_measure_is_kept,
        an_empty_value_is_a_value,
        keys_differ_in_every_byte,
        removed_values_are_forgotten,
        removing_missing_keys_is_fine,
        removing_no_keys_is_fine,
    }
}

const MINUTE: Duration = Duration::from_mins(1);

fn key(text: &str) -> CacheKey {
    CacheKey::parse(text).expect("a valid key")
}

impl Fixture<dyn Cache> {
    async fn get(&self, name: &str) -> Option<Bytes> {
        self.port.get(&key(name)).await.expect("get works")
    }

    async fn put(&self, name: &str, value: impl Into<Bytes>, ttl: Duration) {
        self.port.put(&key(name), value.into(), ttl).await.expect("put works");
    }
}

async fn a_value_is_read_as_it_was_put(cache: Fixture<dyn Cache>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    cache.put("a", every_byte.clone(), MINUTE).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&every_byte[..]));
}

async fn nothing_is_read_where_nothing_was_put(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", MINUTE).await;
    assert_eq!(cache.get("b").await, None);
}

async fn no_value_outlives_its_time(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", MINUTE).await;
    cache.advance(MINUTE).await;
    assert_eq!(cache.get("a").await, None);
}

async fn a_value_is_there_until_its_time_is_over(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", 2 * MINUTE).await;
    cache.advance(MINUTE).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"value"[..]));
}

async fn put_replaces_the_value(cache: Fixture<dyn Cache>) {
    cache.put("a", "old", MINUTE).await;
    cache.put("a", "new", MINUTE).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"new"[..]));
}

async fn put_replaces_the_time(cache: Fixture<dyn Cache>) {
    cache.put("longer", "value", MINUTE).await;
    cache.put("longer", "value", 3 * MINUTE).await;
    cache.put("shorter", "value", 3 * MINUTE).await;
    cache.put("shorter", "value", MINUTE).await;
    cache.advance(2 * MINUTE).await;
    assert!(cache.get("longer").await.is_some());
    assert_eq!(cache.get("shorter").await, None);
}

async fn a_time_of_zero_removes(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", MINUTE).await;
    cache.put("a", "value", Duration::ZERO).await;
    assert_eq!(cache.get("a").await, None);
}

async fn a_time_beyond_all_measure_is_kept(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", Duration::MAX).await;
    cache.advance(MINUTE).await;
    assert!(cache.get("a").await.is_some());
}

async fn an_empty_value_is_a_value(cache: Fixture<dyn Cache>) {
    cache.put("a", "", MINUTE).await;
    assert_eq!(cache.get("a").await, Some(Bytes::new()));
}

async fn keys_differ_in_every_byte(cache: Fixture<dyn Cache>) {
    let (long, longer) = ("x".repeat(255), "x".repeat(256));
    let names = ["a", "A", "a:", "a:*", "a*", "a?", "[a]", "{a}", &long, &longer];
    for name in names {
        cache.put(name, name.to_owned(), MINUTE).await;
    }
    for name in names {
        assert_eq!(cache.get(name).await.as_deref(), Some(name.as_bytes()), "{name}");
    }
    cache.port.remove(&[key("a*")]).await.expect("remove works");
    assert!(cache.get("a").await.is_some(), "a key is a name, not a pattern");
}

async fn removed_values_are_forgotten(cache: Fixture<dyn Cache>) {
    for name in ["a", "b", "c"] {
        cache.put(name, "value", MINUTE).await;
    }
    cache.port.remove(&[key("a"), key("b")]).await.expect("remove works");
    assert_eq!(cache.get("a").await, None);
    assert_eq!(cache.get("b").await, None);
    assert!(cache.get("c").await.is_some());
}

async fn removing_missing_keys_is_fine(cache: Fixture<dyn Cache>) {
    cache.put("a", "value", MINUTE).await;
    cache.port.remove(&[key("missing"), key("a"), key("a")]).await.expect("missing keys are fine");
    assert_eq!(cache.get("a").await, None);
}

async fn removing_no_keys_is_fine(cache: Fixture<dyn Cache>) {
    cache.port.remove(&[]).await.expect("no keys are fine");
}
