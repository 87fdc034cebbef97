//! Idempotency keys: the first use is recorded once, with its answer.

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::Timestamp;
use portwright_domain::idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyRecord, Progress, RecordedAnswer,
};
use portwright_domain::ports::Store;

use super::{assert_conflict, commit};
use crate::ManualClock;
use crate::contract::Fixture;

fn key(scope: &str, key: &str) -> IdempotencyKey {
    IdempotencyKey { scope: scope.to_owned(), key: key.to_owned() }
}

fn running(key: IdempotencyKey) -> IdempotencyRecord {
    let begun_at = ManualClock::START;
    let expires_at = begun_at.plus(Duration::from_hours(24));
    IdempotencyRecord {
        key,
        fingerprint: Fingerprint([1; 32]),
        progress: Progress::Running,
        begun_at,
        expires_at,
    }
}

fn answered(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Progress {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Progress::Answered(RecordedAnswer { status, headers, body: body.into() })
}

impl Fixture<dyn Store> {
    /// Stores these records, and commits.
    async fn add_records(&self, records: &[IdempotencyRecord]) {
        let mut unit = self.begin().await;
        for record in records {
            unit.idempotency().insert(record).await.expect("insert works");
        }
        commit(unit).await;
    }

    async fn record(&self, key: &IdempotencyKey) -> Option<IdempotencyRecord> {
        self.begin().await.idempotency().find(key).await.expect("find works")
    }
}

pub(super) async fn every_field_of_an_idempotency_record_is_stored_exactly(store: Fixture<dyn Store>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let progress = [
        Progress::Running,
        Progress::Withheld,
        answered(204, &[], ""),
        answered(u16::MAX, &[("Set", "1"), ("Set", "2"), ("", ""), ("q\"\\", "ä\r\n\u{0}😀")], every_byte),
        answered(0, &[("Location", "/users/1")], vec![0; 1 << 20]),
    ];
    let ends = [i64::MIN, -1, 0, 1_767_225_600_000_001, i64::MAX].map(Timestamp::from_unix_micros);
    let records: Vec<_> = (0..5_u8)
        .zip(progress)
        .map(|(n, progress)| IdempotencyRecord {
            key: key("user 1 \u{1f600} POST /jobs", &format!("!~{}", "k".repeat(50 * usize::from(n)))),
            fingerprint: Fingerprint([n * 63; 32]),
            progress,
            begun_at: ends[4 - usize::from(n)],
            expires_at: ends[usize::from(n)],
        })
        .collect();
    store.add_records(&records).await;
    for record in records {
        assert_eq!(store.record(&record.key).await.as_ref(), Some(&record), "expired or not");
    }
}

pub(super) async fn a_key_belongs_to_its_scope(store: Fixture<dyn Store>) {
    let mine = running(key("a", "bc"));
    let theirs = IdempotencyRecord { fingerprint: Fingerprint([2; 32]), ..running(key("ab", "c")) };
    store.add_records(&[mine.clone(), theirs.clone()]).await;
    assert_eq!(store.record(&mine.key).await, Some(mine));
    assert_eq!(store.record(&theirs.key).await, Some(theirs));
    for unknown in [key("A", "bc"), key("a", "BC"), key("", "abc"), key("abc", "")] {
        assert_eq!(store.record(&unknown).await, None, "{unknown:?}");
    }
}

pub(super) async fn a_recorded_key_is_a_conflict(store: Fixture<dyn Store>) {
    let first = running(key("s", "k"));
    store.add_records(std::slice::from_ref(&first)).await;
    let mut unit = store.begin().await;
    let second = IdempotencyRecord { progress: Progress::Withheld, ..first.clone() };
    assert_conflict(unit.idempotency().insert(&second).await, "idempotency.key");
    let third = running(key("s", "k3"));
    unit.idempotency().insert(&third).await.expect("the transaction stays usable");
    commit(unit).await;
    assert_eq!(store.record(&first.key).await, Some(first));
    assert_eq!(store.record(&third.key).await, Some(third));
}

pub(super) async fn updating_a_key_replaces_progress_and_expiry(store: Fixture<dyn Store>) {
    let first = running(key("s", "k"));
    let other = running(key("s", "other"));
    store.add_records(&[first.clone(), other.clone()]).await;
    let later = first.expires_at.plus(Duration::from_secs(1));
    for progress in [answered(201, &[("ETag", "\"1\"")], "{}"), Progress::Withheld, Progress::Running] {
        let mut unit = store.begin().await;
        assert!(unit.idempotency().update(&first.key, &progress, later).await.expect("update works"));
        commit(unit).await;
        let wanted = IdempotencyRecord { progress, expires_at: later, ..first.clone() };
        assert_eq!(store.record(&first.key).await, Some(wanted));
    }
    assert_eq!(store.record(&other.key).await, Some(other));
}

pub(super) async fn updating_an_unknown_key_finds_nothing(store: Fixture<dyn Store>) {
    let unknown = key("s", "k");
    let mut unit = store.begin().await;
    let updated = unit.idempotency().update(&unknown, &Progress::Withheld, ManualClock::START).await;
    assert!(!updated.expect("update works"));
    commit(unit).await;
    assert_eq!(store.record(&unknown).await, None);
}

pub(super) async fn removing_a_key_twice_finds_nothing(store: Fixture<dyn Store>) {
    let record = running(key("s", "k"));
    store.add_records(std::slice::from_ref(&record)).await;
    let mut unit = store.begin().await;
    assert!(unit.idempotency().remove(&record.key).await.expect("remove works"));
    assert!(!unit.idempotency().remove(&record.key).await.expect("remove works"));
    unit.idempotency().insert(&record).await.expect("a forgotten key is free");
    commit(unit).await;
    assert_eq!(store.record(&record.key).await, Some(record));
}

pub(super) async fn keys_expire_at_their_end_and_not_before(store: Fixture<dyn Store>) {
    let now = ManualClock::START;
    let tick = Duration::from_micros(1);
    let [before, at, after] = [("1", now.minus(tick)), ("2", now), ("3", now.plus(tick))]
        .map(|(k, expires_at)| IdempotencyRecord { expires_at, ..running(key("s", k)) });
    store.add_records(&[before.clone(), at.clone(), after.clone()]).await;
    let mut unit = store.begin().await;
    assert_eq!(unit.idempotency().remove_expired(now).await.expect("remove_expired works"), 2);
    commit(unit).await;
    assert_eq!(store.record(&before.key).await, None);
    assert_eq!(store.record(&at.key).await, None);
    assert_eq!(store.record(&after.key).await, Some(after));
}

pub(super) async fn expired_keys_are_forgotten_a_thousand_at_a_time(store: Fixture<dyn Store>) {
    let expired = |n: u32| {
        let record = running(key("s", &n.to_string()));
        IdempotencyRecord { expires_at: ManualClock::START, ..record }
    };
    store.add_records(&(1..=1_001).map(expired).collect::<Vec<_>>()).await;
    let mut unit = store.begin().await;
    for left in [1_000, 1, 0] {
        let removed = unit.idempotency().remove_expired(ManualClock::START).await;
        assert_eq!(removed.expect("remove_expired works"), left);
    }
}
