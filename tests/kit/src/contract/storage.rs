//! What every [`Storage`] promises, one file per kind of promise.

mod lists;
mod objects;
mod puts;

use bytes::Bytes;
use portwright_domain::ports::{ObjectBody, ObjectInfo, ObjectKey, Storage};

use crate::contract::Fixture;

contract! {
    /// Every promise of [`Storage`](portwright_domain::ports::Storage), as a test of its own, given an async function
    /// that makes a `Fixture<dyn Storage>` whose storage is empty.
    storage_contract => storage::PROMISES: Fixture<dyn Storage> {
        objects::{
            an_object_is_read_as_it_was_put,
            an_empty_object_is_an_object,
            nothing_is_read_where_nothing_was_put,
            put_replaces_an_older_object,
            the_etag_changes_whenever_the_bytes_do,
            what_put_answers_is_what_get_and_list_answer,
            an_opened_object_reads_as_it_was_whatever_happens_meanwhile,
            a_removed_object_is_gone,
            removing_a_missing_object_is_fine,
            keys_differ_in_every_byte,
            a_key_may_go_on_where_another_ends,
        },
        puts::{
            an_object_of_many_parts_is_read_whole,
            a_body_that_errs_leaves_what_was_there_before,
            a_put_that_is_dropped_leaves_what_was_there_before,
            of_many_puts_at_once_one_is_found_whole,
            a_reader_finds_the_old_object_or_the_new_one,
            a_put_beside_a_removal_is_not_lost,
            a_large_object_passes_part_by_part,
        },
        lists::{
            a_list_is_in_byte_order_of_keys,
            a_list_shows_keys_that_start_with_the_prefix,
            no_key_starts_with_what_no_key_can_start_with,
            a_list_goes_on_behind_a_key,
            a_list_is_no_longer_than_its_limit,
        },
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a valid key")
}

fn body(bytes: impl Into<Bytes>) -> Box<dyn ObjectBody> {
    Box::new(Some(bytes.into()))
}

impl Fixture<dyn Storage> {
    async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> ObjectInfo {
        self.port.put(&key(name), body(bytes)).await.expect("put works")
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self.port.get(&key(name)).await.expect("get works") {
            Some(object) => Some(whole(object.body).await),
            None => None,
        }
    }

    async fn names(&self, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let after = after.map(key);
        let infos = self.port.list(prefix, after.as_ref(), limit).await.expect("list works");
        infos.into_iter().map(|info| info.key.as_str().to_owned()).collect()
    }
}

async fn whole(mut body: Box<dyn ObjectBody>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await.expect("the body goes on") {
        bytes.extend_from_slice(&part);
    }
    bytes
}
