//! A disk that is really full.

use std::time::Duration;

use portwright_domain::ErrorKind;
use portwright_domain::ports::{Consistency, Store};
use portwright_testkit::builders::users;
use portwright_testkit::servers::Postgres;
use tokio::time::Instant;

use super::{insert, store_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_is_new_answers_what_is_asked_and_takes_more_once_there_is_room() {
    let server = Postgres::on_a_small_disk();
    let store = store_at(server.port(), &server.fresh_database_on_the_small_disk()).await;
    let mut people = users(2_000).into_iter();
    let mut taken = vec![people.next().expect("a user")];
    insert(&store, &taken[0]).await.expect("there is room");

    server.fill_disk();
    // The last pages of the tables have some room left.
    let refused = loop {
        let user = people.next().expect("it gets full soon");
        match insert(&store, &user).await {
            Ok(_) => taken.push(user),
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        (refused.kind(), refused.detail()),
        (ErrorKind::Unavailable, "the disk of the database is full")
    );
    for user in &taken {
        let mut view = store.read(Consistency::Strong).await.expect("a view");
        assert_eq!(view.users().find(user.id).await.expect("an answer").as_ref(), Some(user));
    }

    server.empty_disk();
    let emptied = Instant::now();
    for user in people.by_ref().take(50) {
        insert(&store, &user).await.expect("there is room again");
        taken.push(user);
    }
    assert!(emptied.elapsed() < Duration::from_secs(2), "{:?}", emptied.elapsed());
    let mut view = store.read(Consistency::Strong).await.expect("a view");
    for user in &taken {
        assert_eq!(view.users().find(user.id).await.expect("an answer").as_ref(), Some(user));
    }
}
