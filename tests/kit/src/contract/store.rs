//! What every [`Store`] promises, one file per kind of thing.
//!
//! A store may answer `Contended` wherever its port allows it; the checks start over then, as an application does.

mod idempotency;
mod lists;
mod outbox;
mod sessions;
mod transactions;
mod users;

use std::future::Future;
use std::pin::Pin;

use portwright_domain::ports::{CommitToken, Consistency, ReadView, Store, UnitOfWork};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};

use crate::contract::Fixture;

#[cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "the one list of all checks is below"))]
use self::{idempotency::*, lists::*, outbox::*, sessions::*, transactions::*, users::*};

contract! {
    /// Every promise of [`Store`](portwright_domain::ports::Store), as a test of its own, given an async function that
    /// makes a `Fixture<dyn Store>` whose store is empty.
    store_contract => store::PROMISES: Fixture<dyn Store> {
        // transactions
        a_strong_read_sees_the_newest_commit,
        a_read_after_a_commit_sees_it,
        a_read_after_what_a_view_has_seen_is_not_older,
        a_commit_token_is_short_visible_text,
        a_token_of_another_store_is_unsupported,
        nothing_is_visible_before_the_commit,
        a_unit_of_work_reads_its_own_writes,
        rolling_back_undoes_everything,
        dropping_a_unit_of_work_undoes_everything,
        dropping_a_begin_leaves_nothing_locked,
        a_unit_of_work_dropped_anywhere_happens_whole_or_not_at_all,
        two_admins_who_demote_each_other_at_once_do_not_both_succeed,
        no_update_of_many_at_once_is_lost,
        many_writers_at_once_all_come_through,
        // users
        every_field_of_a_user_is_stored_exactly,
        nobody_is_found_where_nobody_is,
        a_user_is_found_by_any_spelling_of_the_address,
        a_taken_address_is_a_conflict_in_any_spelling,
        a_taken_user_id_is_a_conflict,
        an_update_replaces_everything_but_id_creation_and_last_login,
        an_update_from_another_version_is_a_conflict,
        an_update_of_a_missing_user_is_a_conflict,
        an_update_to_a_taken_address_is_a_conflict,
        an_address_may_change_its_spelling,
        record_login_changes_nothing_but_the_last_login,
        rehash_replaces_the_hash_it_was_made_from_and_nothing_else,
        removing_a_user_removes_the_sessions_and_frees_the_address,
        removing_a_user_twice_finds_nothing,
        only_active_admins_besides_the_given_one_count,
        // lists
        every_numbered_page_is_what_the_model_says,
        every_walk_is_what_the_model_says,
        a_page_past_the_last_is_empty_and_knows_the_total,
        an_empty_store_has_an_empty_list,
        a_walk_meets_everyone_once_while_others_come_and_go,
        a_walk_goes_on_behind_a_row_that_is_gone,
        a_unit_of_work_lists_its_own_writes,
        // sessions
        a_session_is_found_with_its_user_as_both_are_now,
        of_many_who_look_sessions_up_at_once_each_gets_its_own,
        every_field_of_a_session_is_stored_exactly,
        a_session_without_a_user_is_a_conflict,
        rotating_replaces_generation_and_expiry,
        rotating_from_another_generation_changes_nothing,
        of_many_who_rotate_at_once_exactly_one_does,
        removing_a_session_twice_finds_nothing,
        removing_all_sessions_keeps_the_one_to_keep,
        sessions_expire_at_their_end_and_not_before,
        expired_sessions_are_forgotten_a_thousand_at_a_time,
        // idempotency keys
        every_field_of_an_idempotency_record_is_stored_exactly,
        a_key_belongs_to_its_scope,
        a_recorded_key_is_a_conflict,
        updating_a_key_replaces_progress_and_expiry,
        updating_an_unknown_key_finds_nothing,
        removing_a_key_twice_finds_nothing,
        keys_expire_at_their_end_and_not_before,
        expired_keys_are_forgotten_a_thousand_at_a_time,
        // the outbox
        every_field_of_a_job_is_stored_exactly,
        a_job_is_pending_if_and_only_if_its_transaction_commits,
        jobs_are_pending_in_the_order_of_their_recording,
        recording_one_job_twice_keeps_the_first,
        removed_jobs_are_no_longer_pending,
        jobs_that_were_handed_over_are_kept_and_not_pending,
        jobs_that_were_handed_over_are_listed_by_their_ids,
    }
}

impl Fixture<dyn Store> {
    async fn begin(&self) -> Box<dyn UnitOfWork> {
        loop {
            match self.port.begin().await {
                Err(error) if error.kind() == ErrorKind::Contended => tokio::task::yield_now().await,
                begun => return begun.expect("begin works"),
            }
        }
    }

    async fn view(&self) -> Box<dyn ReadView> {
        self.port.read(Consistency::Strong).await.expect("read works")
    }

    /// Stores these users, and commits.
    async fn add(&self, users: &[User]) {
        let mut unit = self.begin().await;
        for user in users {
            unit.users().insert(user).await.expect("insert works");
        }
        commit(unit).await;
    }

    async fn user(&self, id: UserId) -> Option<User> {
        let found = self.view().await.users().find(id).await.expect("find works");
        let alone = self.port.user(id, Consistency::Strong).await.expect("a look-up works");
        assert_eq!(alone.value, found, "a look-up shows what a view shows");
        found
    }
}

async fn commit(unit: Box<dyn UnitOfWork>) -> CommitToken {
    unit.commit().await.expect("commit works")
}

type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// Does the work in a unit of its own and commits, starting over for as long as somebody else wins.
async fn transact<T>(store: &dyn Store, work: impl Fn(&mut dyn UnitOfWork) -> Work<'_, T>) -> T {
    loop {
        let done = async {
            let mut unit = store.begin().await?;
            let done = work(&mut *unit).await?;
            unit.commit().await?;
            Ok::<_, PortError>(done)
        };
        match done.await {
            Ok(done) => return done,
            Err(error) if error.kind() == ErrorKind::Contended || error.conflicts_on("users.version") => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("neither done nor contended: {error}"),
        }
    }
}

fn assert_conflict(answer: Result<(), PortError>, rule: &str) {
    let error = answer.expect_err("a conflict");
    assert!(error.conflicts_on(rule), "a conflict on {rule}, not {error}");
}
