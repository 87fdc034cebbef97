//! What an object is, and what its key says.

use portwright_domain::ports::{ObjectKey, Storage};

use super::{key, whole};
use crate::contract::Fixture;

pub(super) async fn an_object_is_read_as_it_was_put(storage: Fixture<dyn Storage>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    storage.put("folder/a.bin", every_byte.clone()).await;
    assert_eq!(storage.get("folder/a.bin").await, Some(every_byte));
}

pub(super) async fn an_empty_object_is_an_object(storage: Fixture<dyn Storage>) {
    assert_eq!(storage.put("a", "").await.size, 0);
    assert_eq!(storage.get("a").await, Some(Vec::new()));
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

pub(super) async fn nothing_is_read_where_nothing_was_put(storage: Fixture<dyn Storage>) {
    storage.put("folder/a", "bytes").await;
    for name in ["folder", "folder/b", "a"] {
        assert_eq!(storage.get(name).await, None, "{name}");
    }
}

pub(super) async fn put_replaces_an_older_object(storage: Fixture<dyn Storage>) {
    storage.put("a", "old and longer").await;
    storage.put("a", "new").await;
    assert_eq!(storage.get("a").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(storage.names("", None, 10).await, ["a"]);
}

pub(super) async fn the_etag_changes_whenever_the_bytes_do(storage: Fixture<dyn Storage>) {
    let mut etags = std::collections::HashSet::new();
    // Of one length, and as fast as can be, so that neither size nor time tells them apart.
    for number in 0..50 {
        let put = storage.put("a", format!("{number:03}")).await;
        assert!(!put.etag.is_empty());
        assert!(etags.insert(put.etag), "object {number} has the etag of an older one");
    }
}

pub(super) async fn what_put_answers_is_what_get_and_list_answer(storage: Fixture<dyn Storage>) {
    let put = storage.put("a", "bytes").await;
    assert_eq!((put.key.as_str(), put.size), ("a", 5));
    let got = storage.port.get(&key("a")).await.expect("get works").expect("it is there");
    assert_eq!(got.info, put);
    assert_eq!(storage.port.list("", None, 10).await.expect("list works"), [put]);
}

pub(super) async fn an_opened_object_reads_as_it_was_whatever_happens_meanwhile(
    storage: Fixture<dyn Storage>,
) {
    storage.put("replaced", "before").await;
    storage.put("removed", "before").await;
    let open = async |name| storage.port.get(&key(name)).await.expect("get works").expect("it is there");
    let (replaced, removed) = (open("replaced").await, open("removed").await);
    storage.put("replaced", "after").await;
    storage.port.remove(&key("removed")).await.expect("remove works");
    assert_eq!(whole(replaced.body).await, b"before");
    assert_eq!(whole(removed.body).await, b"before");
}

pub(super) async fn a_removed_object_is_gone(storage: Fixture<dyn Storage>) {
    storage.put("a", "bytes").await;
    storage.put("b", "bytes").await;
    storage.port.remove(&key("a")).await.expect("remove works");
    assert_eq!(storage.get("a").await, None);
    assert_eq!(storage.names("", None, 10).await, ["b"]);
}

pub(super) async fn removing_a_missing_object_is_fine(storage: Fixture<dyn Storage>) {
    storage.put("folder/a", "bytes").await;
    for name in ["missing", "folder", "folder/a/b"] {
        storage.port.remove(&key(name)).await.expect("a missing object is fine");
    }
    assert!(storage.get("folder/a").await.is_some());
}

pub(super) async fn keys_differ_in_every_byte(storage: Fixture<dyn Storage>) {
    let long = "x".repeat(ObjectKey::MAX_SEGMENT_BYTES);
    let longest = [&*long, &long, &long[..ObjectKey::MAX_BYTES - 2 * long.len() - 2]].join("/");
    let names = ["a", "A", "a.tmp", ".a", "a_", "a-", &long, &long[1..], &longest, &longest[1..]];
    for name in names {
        storage.put(name, name.to_owned()).await;
    }
    for name in names {
        assert_eq!(storage.get(name).await.as_deref(), Some(name.as_bytes()), "{name}");
    }
}

pub(super) async fn a_key_may_go_on_where_another_ends(storage: Fixture<dyn Storage>) {
    let names = ["a", "a/b", "a/b/c"];
    for name in names {
        storage.put(name, name).await;
    }
    for name in names {
        assert_eq!(storage.get(name).await.as_deref(), Some(name.as_bytes()), "{name}");
    }
    assert_eq!(storage.names("", None, 10).await, names);
    storage.port.remove(&key("a/b")).await.expect("remove works");
    assert_eq!(storage.names("", None, 10).await, ["a", "a/b/c"]);
    storage.port.remove(&key("a")).await.expect("remove works");
    assert_eq!(storage.names("", None, 10).await, ["a/b/c"]);
}
