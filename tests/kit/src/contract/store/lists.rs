//! Lists of users: what [`UserFilter::matches`], in the order of [`UserSort::key_of`], whatever the store's collation.

use std::collections::HashMap;
use std::time::Duration;

use portwright_domain::access::Role;
use portwright_domain::page::{Direction, Limit, Page, PageRequest, Position, Rest};
use portwright_domain::ports::{ReadView, Store};
use portwright_domain::user::{User, UserFilter, UserId, UserSort};

use super::commit;
use crate::ManualClock;
use crate::builders::{UserBuilder, users};
use crate::contract::Fixture;

const SORTS: [UserSort; 5] =
    [UserSort::CreatedAt, UserSort::UpdatedAt, UserSort::Email, UserSort::FirstName, UserSort::LastName];

const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];

fn every_order() -> impl Iterator<Item = (UserSort, Direction)> {
    SORTS.into_iter().flat_map(|sort| DIRECTIONS.map(|direction| (sort, direction)))
}

fn limit(rows: u64) -> Limit {
    Limit::parse(rows).expect("a limit")
}

/// Names that order or match differently wherever a collation, a wildcard or a case rule interferes.
const NAMES: [&str; 18] = [
    "Ada",
    "ada",
    "ADA",
    "Ådal",
    "A\u{30a}dal",
    "adam",
    "Ada Maria",
    "Zoë",
    "zoe",
    "Straße",
    "STRASSE",
    "100%",
    "a_b",
    "aXb",
    "ﬁnn",
    "Finn",
    "İpek",
    "日本",
];

/// Sixty users, many of them equal in names and times.
fn crowd() -> Vec<User> {
    (1..=60_u32)
        .map(|n| {
            let name = |step: usize| NAMES[(n as usize * step) % NAMES.len()];
            let later =
                |modulus: u32| ManualClock::START.plus(Duration::from_secs(u64::from(n * 7 % modulus)));
            let local = ["%", "Under_score", "ÄRGER", "plain"][n as usize % 4];
            let user = UserBuilder::number(n)
                .with_email(&format!("{local}{}@Example{}.com", n * 37 % 61, n % 2))
                .named(name(5), name(7))
                .with_role(Role::ALL[n as usize % 3])
                .created_at(later(9))
                .updated_at(later(5));
            if n % 4 == 0 { user.inactive().build() } else { user.build() }
        })
        .collect()
}

fn filters() -> Vec<UserFilter> {
    let text = |text: &str| Some(text.to_owned());
    let all = UserFilter::default();
    let mut filters = vec![
        all.clone(),
        UserFilter { email: text("EXAMPLE1"), ..all.clone() },
        UserFilter { email: text("%"), ..all.clone() },
        UserFilter { email: text("_"), ..all.clone() },
        UserFilter { first_name: text("ada"), ..all.clone() },
        UserFilter { last_name: text("A\u{30a}D"), ..all.clone() },
        UserFilter { is_active: Some(false), role: Some(Role::Admin), ..all.clone() },
        UserFilter { is_active: Some(true), search: text("a"), first_name: text("d"), ..all.clone() },
    ];
    for wanted in [
        "", "ada", "STRASSE", "straße", "%", "a_b", "ﬁ", "fin", "i\u{307}", "ärger", "本", "nobody", "'",
        "\0",
    ] {
        filters.push(UserFilter { search: text(wanted), ..all.clone() });
    }
    filters.extend(Role::ALL.map(|role| UserFilter { role: Some(role), ..all.clone() }));
    filters
}

/// The ids that the pure model lists, in order.
fn model(users: &[User], filter: &UserFilter, sort: UserSort, direction: Direction) -> Vec<UserId> {
    let mut wanted: Vec<_> =
        users.iter().filter(|user| filter.matches(user)).map(|user| (sort.key_of(user), user.id)).collect();
    wanted.sort();
    if direction == Direction::Descending {
        wanted.reverse();
    }
    wanted.into_iter().map(|(_, id)| id).collect()
}

async fn numbered(
    view: &mut dyn ReadView,
    filter: &UserFilter,
    (sort, direction): (UserSort, Direction),
    page: u32,
) -> (Vec<UserId>, u64) {
    let request = PageRequest::Numbered { page, limit: limit(13) };
    let Page { rows, rest } = view.users().list(filter, sort, direction, &request).await.expect("list works");
    let Rest::Total(total) = rest else { panic!("a numbered page knows the total, not {rest:?}") };
    (rows.iter().map(|user| user.id).collect(), total)
}

async fn walk(
    view: &mut dyn ReadView,
    filter: &UserFilter,
    (sort, direction): (UserSort, Direction),
    after: Option<Position>,
    rows: u64,
) -> (Vec<UserId>, Option<Position>) {
    let request = PageRequest::Walk { after, limit: limit(rows) };
    let Page { rows, rest } = view.users().list(filter, sort, direction, &request).await.expect("list works");
    let Rest::Next(next) = rest else { panic!("a walk knows where it goes on, not {rest:?}") };
    (rows.iter().map(|user| user.id).collect(), next)
}

pub(super) async fn every_numbered_page_is_what_the_model_says(store: Fixture<dyn Store>) {
    let crowd = crowd();
    store.add(&crowd).await;
    let mut view = store.view().await;
    for filter in filters() {
        for (sort, direction) in every_order() {
            let wanted = model(&crowd, &filter, sort, direction);
            for (page, ids) in (1..).zip(wanted.chunks(13)) {
                let found = numbered(&mut *view, &filter, (sort, direction), page).await;
                assert_eq!(
                    found,
                    (ids.to_vec(), wanted.len() as u64),
                    "{filter:?} {sort:?} {direction:?} {page}"
                );
            }
        }
    }
}

pub(super) async fn every_walk_is_what_the_model_says(store: Fixture<dyn Store>) {
    let crowd = crowd();
    store.add(&crowd).await;
    let mut view = store.view().await;
    for filter in filters() {
        for (sort, direction) in every_order() {
            let wanted = model(&crowd, &filter, sort, direction);
            let (mut met, mut position) = (Vec::new(), None);
            loop {
                // 12 divides the number of all users, so the last page may be full.
                let (ids, next) = walk(&mut *view, &filter, (sort, direction), position, 12).await;
                met.extend(ids);
                let Some(next) = next else { break };
                assert!(met.len() < wanted.len(), "the last page has no next position");
                position = Some(next);
            }
            assert_eq!(met, wanted, "{filter:?} {sort:?} {direction:?}");
        }
    }
}

pub(super) async fn a_page_past_the_last_is_empty_and_knows_the_total(store: Fixture<dyn Store>) {
    store.add(&users(13)).await;
    let (order, mut view) = ((UserSort::Email, Direction::Ascending), store.view().await);
    for page in [2, 3, u32::MAX] {
        let found = numbered(&mut *view, &UserFilter::default(), order, page).await;
        assert_eq!(found, (vec![], 13), "page {page}");
    }
}

pub(super) async fn an_empty_store_has_an_empty_list(store: Fixture<dyn Store>) {
    let mut view = store.view().await;
    for order in every_order() {
        assert_eq!(numbered(&mut *view, &UserFilter::default(), order, 1).await, (vec![], 0));
        assert_eq!(walk(&mut *view, &UserFilter::default(), order, None, 5).await, (vec![], None));
    }
}

pub(super) async fn a_walk_meets_everyone_once_while_others_come_and_go(store: Fixture<dyn Store>) {
    let (steady, transient): (Vec<_>, Vec<_>) = crowd().into_iter().partition(|user| user.is_active);
    store.add(&steady).await;
    store.add(&transient).await;
    let mut new_number = 1_000;
    for order in every_order() {
        let mut met = HashMap::<_, u32>::new();
        let (mut position, mut leaving, mut came) = (None, transient.iter(), Vec::new());
        loop {
            let (ids, next) =
                walk(&mut *store.view().await, &UserFilter::default(), order, position, 7).await;
            for id in ids {
                *met.entry(id).or_default() += 1;
            }
            let Some(next) = next else { break };
            position = Some(next);

            let mut unit = store.begin().await;
            for user in leaving.by_ref().take(2) {
                unit.users().remove(user.id).await.expect("remove works");
            }
            for name in ["ada", "zzz"] {
                new_number += 1;
                let newcomer = UserBuilder::number(new_number)
                    .with_email(&format!("{name}{new_number}@example.com"))
                    .named(name, name)
                    .created_at(ManualClock::START.plus(Duration::from_secs(u64::from(new_number) % 9)))
                    .build();
                unit.users().insert(&newcomer).await.expect("insert works");
                came.push(newcomer.id);
            }
            commit(unit).await;
        }
        for user in &steady {
            assert_eq!(met.get(&user.id), Some(&1), "{order:?}: who was there all the time is met once");
        }
        assert!(met.values().all(|times| *times == 1), "{order:?}: nobody is met twice");

        // As it was, for the next order.
        let mut unit = store.begin().await;
        for id in came.into_iter().chain(transient.iter().map(|user| user.id)) {
            unit.users().remove(id).await.expect("remove works");
        }
        for user in &transient {
            unit.users().insert(user).await.expect("insert works");
        }
        commit(unit).await;
    }
}

pub(super) async fn a_walk_goes_on_behind_a_row_that_is_gone(store: Fixture<dyn Store>) {
    for (round, order) in (0..).zip(every_order()) {
        let people: Vec<_> =
            (1..=6).map(|n| UserBuilder::number(100 * round + n).named("Equal", "Equal").build()).collect();
        store.add(&people).await;
        let all = UserFilter::default();
        let (first, next) = walk(&mut *store.view().await, &all, order, None, 3).await;
        let mut unit = store.begin().await;
        for id in &first {
            unit.users().remove(*id).await.expect("remove works");
        }
        commit(unit).await;

        let (second, end) = walk(&mut *store.view().await, &all, order, next, 3).await;
        assert_eq!(end, None);
        let mut met = [first, second.clone()].concat();
        met.sort_unstable();
        assert_eq!(met, people.iter().map(|user| user.id).collect::<Vec<_>>(), "{order:?}");

        let mut unit = store.begin().await;
        for id in second {
            unit.users().remove(id).await.expect("remove works");
        }
        commit(unit).await;
    }
}

pub(super) async fn a_unit_of_work_lists_its_own_writes(store: Fixture<dyn Store>) {
    let three = users(3);
    store.add(&three[..2]).await;
    let mut unit = store.begin().await;
    unit.users().insert(&three[2]).await.expect("insert works");
    unit.users().remove(three[0].id).await.expect("remove works");
    let request = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
    let listed =
        unit.users().list(&UserFilter::default(), UserSort::CreatedAt, Direction::Ascending, &request).await;
    let wanted = Page { rows: three[1..].to_vec(), rest: Rest::Total(2) };
    assert_eq!(listed.expect("list works"), wanted);
}
