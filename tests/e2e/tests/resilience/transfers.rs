//! Transactions of many clients on the same rows, as use cases run them: who loses a race tries again, and nobody hears
//! of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portwright::config::{Database, Secret};
use portwright::open_store::OpenStore;
use portwright_application::transact;
use portwright_application::transact::{Committed, Transactions};
use portwright_domain::PortError;
use portwright_domain::ports::{Consistency, Event, Observer, Store, UnitOfWork};
use portwright_domain::user::{PersonName, User, UserId};
use portwright_testkit::builders::users;
use portwright_testkit::servers::Postgres;
use portwright_testkit::{Noise, sized};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
const PEOPLE: u32 = 100;
/// What everybody has at first.
const UNITS: i64 = 1_000;

/// Counts the races that were lost.
#[derive(Default)]
struct Races(AtomicU64);

impl Observer for Races {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::TransactionRetried { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many units a user has is its name.
fn units(user: &User) -> i64 {
    user.first_name.as_str().parse().expect("a number")
}

async fn transfer(unit: &mut dyn UnitOfWork, from: UserId, to: UserId) -> Result<(), PortError> {
    for (id, change) in [(from, -1), (to, 1)] {
        let before = unit.users().find(id).await?.expect("everybody is there");
        let first_name = PersonName::from_stored((units(&before) + change).to_string());
        unit.users().update(&User { first_name, version: before.version.next(), ..before }).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_transfers_that_get_in_each_others_way_none_fails_and_nothing_is_made_or_lost() {
    let server = Postgres::primary();
    let urls = vec![Secret::new(server.url(&server.fresh_database()))];
    let database = Database::Postgres { urls, connections: 16 };
    let races = Arc::new(Races::default());
    let opened = OpenStore::open(&database, true, races.clone()).await.expect("a store");
    let OpenStore::Postgres(postgres) = &opened else { panic!("it is on PostgreSQL") };
    let store: Arc<dyn Store> = Arc::new(postgres.clone());

    let people = users(PEOPLE);
    let mut unit = store.begin().await.expect("begin works");
    for user in &people {
        let user = User { first_name: PersonName::from_stored(UNITS.to_string()), ..user.clone() };
        unit.users().insert(&user).await.expect("insert works");
    }
    unit.commit().await.expect("commit works");

    let ids: Arc<Vec<UserId>> = Arc::new(people.iter().map(|user| user.id).collect());
    let transactions = Transactions::new(store.clone(), races.clone());
    let each = sized(1_280, 20_000) / CLIENTS;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (transactions, ids) = (transactions.clone(), ids.clone());
        clients.spawn(async move {
            let mut noise = Noise::new(client as u64 + 1);
            for _ in 0..each {
                let from = noise.below(ids.len());
                let to = (from + 1 + noise.below(ids.len() - 1)) % ids.len();
                let done: Result<Committed<()>, PortError> =
                    transact!(transactions, "test.transfer", |uow| transfer(uow, ids[from], ids[to]).await);
                done.expect("nobody hears of a lost race");
            }
        });
    }
    clients.join_all().await;

    let mut sum = 0;
    let mut view = store.read(Consistency::Strong).await.expect("read works");
    for id in &*ids {
        sum += units(&view.users().find(*id).await.expect("find works").expect("everybody is there"));
    }
    drop(view);
    opened.close().await;
    let lost = races.0.load(Ordering::Relaxed);
    assert_eq!(sum, UNITS * i64::from(PEOPLE), "after {lost} lost races");
    assert!(lost > 0, "nobody got in anybody's way");
}
