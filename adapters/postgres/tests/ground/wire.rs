//! Connections that are reset in the middle of a row.

use portwright_domain::ErrorKind;
use portwright_domain::ports::{Consistency, Store};
use portwright_testkit::builders::{a_user, users};
use portwright_testkit::proxy::{Proxy, Trouble};
use portwright_testkit::servers::Postgres;

use super::{insert, store_at};

/// What arrives of an answer, in bytes: less than its head, and more and more of its only row.
const ARRIVES: [usize; 4] = [1, 40, 120, 200];
/// So often it is tried, because a look at the server may be hit instead.
const TRIES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_within_a_row_is_not_noticed_by_who_reads() {
    let server = Postgres::primary();
    let proxy = Proxy::to(server.port()).await;
    let store = store_at(proxy.port(), &server.fresh_database()).await;
    let user = a_user().build();
    insert(&store, &user).await.expect("inserted");
    for (number, bytes) in (1..).zip(ARRIVES) {
        let mut view = store.read(Consistency::Strong).await.expect("a view");
        for _ in 0..TRIES {
            proxy.trouble(Trouble::ResetWithin { bytes });
            let found = view.users().find(user.id).await.expect("somebody answers");
            assert_eq!(found.as_ref(), Some(&user), "after {bytes} bytes");
            proxy.heal();
            if proxy.cuts() >= number {
                break;
            }
        }
        assert!(proxy.cuts() >= number, "no answer was longer than {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_of_work_whose_connection_is_reset_within_a_row_has_not_happened() {
    let server = Postgres::primary();
    let proxy = Proxy::to(server.port()).await;
    let store = store_at(proxy.port(), &server.fresh_database()).await;
    let user = a_user().build();
    insert(&store, &user).await.expect("inserted");
    for (bytes, another) in ARRIVES.into_iter().zip(users(5).split_off(1)) {
        let mut refused = None;
        for _ in 0..TRIES {
            let mut unit = store.begin().await.expect("it begins");
            unit.users().insert(&another).await.expect("inserted");
            proxy.trouble(Trouble::ResetWithin { bytes });
            let asked = unit.users().find(user.id).await;
            proxy.heal();
            if asked.is_err() {
                refused = asked.err();
                break;
            }
            unit.rollback().await.expect("rolled back");
        }
        let refused = refused.expect("one answer was longer than that");
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        let mut view = store.read(Consistency::Strong).await.expect("a view");
        assert_eq!(view.users().find(another.id).await.expect("an answer"), None);
    }
}
