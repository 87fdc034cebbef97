//! Lists of users, and reads as fresh as the caller asks.

use std::time::Duration;

use portwright_application::users::UserListing;
use portwright_domain::access::Role;
use portwright_domain::page::{Direction, Limit, Page, PageRequest, Rest};
use portwright_domain::ports::{CommitToken, Consistency};
use portwright_domain::user::{User, UserFilter, UserSort};

use crate::world::{Person, World};

fn addresses(page: &Page<User>) -> Vec<&str> {
    page.rows.iter().map(|user| user.email.as_str()).collect()
}

async fn world_of_five() -> (World, Person) {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    for name in ["ada", "bob", "cleo", "dan"] {
        world.clock.advance(Duration::from_secs(1));
        world.user(name, Role::User).await;
    }
    (world, admin)
}

fn listing(page: PageRequest) -> UserListing {
    UserListing {
        filter: UserFilter::default(),
        sort: UserSort::default(),
        direction: Direction::default(),
        page,
    }
}

#[tokio::test]
async fn a_numbered_page_shows_the_newest_first_and_the_total() {
    let (world, admin) = world_of_five().await;
    let limit = Limit::parse(2).expect("in bounds");
    let second = listing(PageRequest::Numbered { page: 2, limit });
    let page = world.services.users.list(admin.principal(), &second, Consistency::Eventual).await;
    let page = page.expect("listing works").value;
    assert_eq!(addresses(&page), ["bob@example.com", "ada@example.com"]);
    assert_eq!(page.rest, Rest::Total(5));
}

#[tokio::test]
async fn a_walk_in_the_order_asked_for_meets_everybody_who_matches_once() {
    let (world, admin) = world_of_five().await;
    let limit = Limit::parse(2).expect("in bounds");
    let mut listing = UserListing {
        filter: UserFilter { role: Some(Role::User), ..UserFilter::default() },
        sort: UserSort::Email,
        direction: Direction::Ascending,
        page: PageRequest::Walk { after: None, limit },
    };
    let mut met = Vec::new();
    loop {
        let page = world.services.users.list(admin.principal(), &listing, Consistency::Strong).await;
        let page = page.expect("listing works").value;
        met.extend(addresses(&page).into_iter().map(str::to_owned));
        let Rest::Next(next) = page.rest else { panic!("a walk has no total") };
        let Some(next) = next else { break };
        listing.page = PageRequest::Walk { after: Some(next), limit };
    }
    assert_eq!(met, ["ada@example.com", "bob@example.com", "cleo@example.com", "dan@example.com"]);
}

#[tokio::test]
async fn the_proof_of_a_commit_in_another_store_is_met_by_the_newest_state() {
    let (world, admin) = world_of_five().await;
    let foreign = || Consistency::After(CommitToken::new("from-before-the-move".to_owned()));
    let all = listing(PageRequest::Numbered { page: 1, limit: Limit::MAX });
    let page = world.services.users.list(admin.principal(), &all, foreign()).await;
    assert_eq!(page.expect("listing works").value.rows.len(), 5);
    let read = world.services.users.get(admin.principal(), admin.id(), foreign()).await;
    assert_eq!(read.expect("reading works").value, Some(admin.caller.user));
}
