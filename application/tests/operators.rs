//! What an operator does at the command line.

use std::time::Duration;

use portwright_application::{SessionError, UserError};
use portwright_domain::access::Role;
use portwright_domain::ports::Clock;
use portwright_domain::user::{Email, User};

use crate::world::{PASSWORD, World, chosen, email, email_of, newcomer};

const NEW: &str = "lemon-quartz-anchor-27";

#[tokio::test]
async fn whether_there_is_any_user_is_known() {
    let world = World::new();
    let operators = &world.services.operators;
    assert!(!operators.has_users().await.expect("asking works"));
    world.user("ada", Role::User).await;
    assert!(operators.has_users().await.expect("asking works"));
}

#[tokio::test]
async fn an_operator_creates_an_admin_whose_address_counts_as_verified() {
    let world = World::new();
    let admin = world.user("root", Role::Admin).await;
    assert!(admin.is_active_admin() && admin.is_email_verified);
    assert_eq!(world.stored_user(admin.id).await, Some(admin));
    world.try_sign_in("root", PASSWORD).await.expect("signing in works");
}

#[tokio::test]
async fn an_operator_creates_nobody_at_an_address_that_is_taken() {
    let world = World::new();
    world.user("ada", Role::User).await;
    let refused = world.services.operators.create(newcomer("ADA", Role::Admin)).await;
    assert!(matches!(refused, Err(UserError::EmailTaken)), "{refused:?}");
}

#[tokio::test]
async fn another_password_ends_all_sessions_and_is_a_change() {
    let world = World::new();
    let (phone, laptop) = (world.person("ada", Role::User).await, world.sign_in("ada").await);
    let before = world.stored_user(phone.id()).await.expect("ada is there");
    world.clock.advance(Duration::from_secs(1));
    let set = world.services.operators.set_password(&email("ADA@example.com"), &chosen(NEW)).await;
    let after = set.expect("setting works");
    assert_eq!((after.version, after.updated_at), (before.version.next(), world.clock.now()));
    assert_eq!(world.stored_user(phone.id()).await, Some(after));

    world.assert_signed_out(&phone).await;
    world.assert_signed_out(&laptop).await;
    let refused = world.try_sign_in("ada", PASSWORD).await;
    assert!(matches!(refused, Err(SessionError::InvalidCredentials)), "{refused:?}");
    world.try_sign_in("ada", NEW).await.expect("the new one signs in");
}

#[tokio::test]
async fn another_role_and_deactivation_end_all_sessions() {
    let world = World::new();
    let operators = &world.services.operators;
    let (ada, bob) = (world.person("ada", Role::User).await, world.person("bob", Role::User).await);
    let ada_now = operators.set_role(&email_of("ada"), Role::Moderator).await.expect("changing works");
    let bob_now = operators.set_active(&email_of("bob"), false).await.expect("changing works");
    assert_eq!((ada_now.role, bob_now.is_active), (Role::Moderator, false));
    world.assert_signed_out(&ada).await;
    world.assert_signed_out(&bob).await;
}

#[tokio::test]
async fn an_operator_cannot_dismiss_the_last_admin_either() {
    let world = World::new();
    let operators = &world.services.operators;
    world.user("root", Role::Admin).await;
    let root = email_of("root");
    let demoted = operators.set_role(&root, Role::User).await;
    assert!(matches!(demoted, Err(UserError::LastAdmin)), "{demoted:?}");
    let deactivated = operators.set_active(&root, false).await;
    assert!(matches!(deactivated, Err(UserError::LastAdmin)), "{deactivated:?}");
}

#[tokio::test]
async fn who_does_not_exist_is_not_found() {
    let world = World::new();
    let operators = &world.services.operators;
    let nobody: Email = email_of("nobody");
    let answers = [
        operators.set_password(&nobody, &chosen(NEW)).await,
        operators.set_role(&nobody, Role::Admin).await,
        operators.set_active(&nobody, true).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(UserError::NotFound)), "{answer:?}");
    }
}

#[tokio::test]
async fn the_list_shows_everybody_oldest_first_a_hundred_at_a_time() {
    let world = World::new();
    let mut created = Vec::new();
    for number in 0..201 {
        created.push(world.user(&format!("user{number}"), Role::User).await);
        world.clock.advance(Duration::from_secs(1));
    }
    let mut listed: Vec<User> = Vec::new();
    let mut pages = Vec::new();
    let mut more = true;
    while more {
        let page = world.services.operators.list(listed.last()).await.expect("listing works");
        pages.push(page.0.len());
        listed.extend(page.0);
        more = page.1;
    }
    assert_eq!(pages, [100, 100, 1]);
    assert_eq!(listed, created);
}

#[tokio::test]
async fn a_list_that_ends_with_a_full_page_says_that_there_is_no_more() {
    let world = World::new();
    for number in 0..100 {
        world.user(&format!("user{number}"), Role::User).await;
    }
    let (users, more) = world.services.operators.list(None).await.expect("listing works");
    assert_eq!((users.len(), more), (100, false));
}
