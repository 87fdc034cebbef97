//! What a list shows.

use portwright_domain::ports::{ObjectKey, Storage};

use super::key;
use crate::contract::Fixture;

/// In byte order: `-` and `.` come before `/`, and capitals before small letters.
const IN_ORDER: [&str; 8] = ["A", "a", "a-b", "a.b", "a/b", "a/c/d", "aB", "ab"];

pub(super) async fn a_list_is_in_byte_order_of_keys(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER.iter().rev() {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("", None, 100).await, IN_ORDER);
}

pub(super) async fn a_list_shows_keys_that_start_with_the_prefix(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("a/", None, 100).await, ["a/b", "a/c/d"]);
    assert_eq!(storage.names("a", None, 100).await, IN_ORDER[1..]);
    assert_eq!(storage.names("a/c/d", None, 100).await, ["a/c/d"]);
    assert!(storage.names("x", None, 100).await.is_empty());
}

pub(super) async fn no_key_starts_with_what_no_key_can_start_with(storage: Fixture<dyn Storage>) {
    storage.put("a/b", "bytes").await;
    let long = "a".repeat(ObjectKey::MAX_BYTES + 1);
    for prefix in [
        "/", "/a", "//", "a//", "../", "a/../a", "./a", "a/b/", "a+", "a+/", "a\0", "a b", "%61", "\u{e4}",
        "*", &long,
    ] {
        assert!(storage.names(prefix, None, 10).await.is_empty(), "{prefix:?}");
    }
}

pub(super) async fn a_list_goes_on_behind_a_key(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    let mut walked = Vec::new();
    loop {
        let page = storage.names("", walked.last().map(String::as_str), 3).await;
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, IN_ORDER);
    storage.port.remove(&key("a/b")).await.expect("remove works");
    assert_eq!(storage.names("a", Some("a/b"), 1).await, ["a/c/d"], "the key itself may be gone");
    assert_eq!(storage.names("a/", Some("A"), 1).await, ["a/c/d"], "the key may be before the prefix");
}

pub(super) async fn a_list_is_no_longer_than_its_limit(storage: Fixture<dyn Storage>) {
    for name in IN_ORDER {
        storage.put(name, "bytes").await;
    }
    assert_eq!(storage.names("", None, 2).await, IN_ORDER[..2]);
    assert!(storage.names("", None, 0).await.is_empty());
}
