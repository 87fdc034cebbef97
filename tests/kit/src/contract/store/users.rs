//! Users: what is stored comes back as it was, and no two share an address.

use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::access::Role;
use portwright_domain::avatar::{Avatar, AvatarId, PictureKind};
use portwright_domain::ports::Store;
use portwright_domain::user::{Email, PasswordHash, PersonName, User, UserId, Version};
use uuid::Uuid;

use super::{assert_conflict, commit};
use crate::ManualClock;
use crate::builders::{SessionBuilder, UserBuilder, a_session_of, a_user, users};
use crate::contract::Fixture;

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

/// Users at the limits of every type. Each has a different address.
fn extreme_users() -> Vec<User> {
    let times = [i64::MIN, -1, 0, 1, 1_767_225_600_123_457, i64::MAX].map(Timestamp::from_unix_micros);
    let texts = [
        "x",
        "  kept as stored  ",
        "Ada",
        "O'Brien \"the\" 100%_\\",
        "Å A\u{30a} ﬁ İ ß \u{1e9e}",
        "日本語 العربية 👩‍👩‍👧",
        "\u{10ffff}\u{e000}",
        &"ä".repeat(100),
    ];
    let ids = [Uuid::nil(), Uuid::max(), Uuid::from_u128(0xff)];
    (0..48)
        .map(|n| User {
            id: UserId(
                ids.get(n).copied().unwrap_or_else(|| Uuid::from_u128(n as u128 * u128::from(u64::MAX))),
            ),
            email: Email::from_stored(format!("{n}.{}@Example.COM", texts[n % texts.len()])),
            first_name: PersonName::from_stored(texts[(n / 2) % texts.len()].to_owned()),
            last_name: PersonName::from_stored(texts[(n / 3) % texts.len()].to_owned()),
            role: Role::ALL[n % 3],
            is_active: n % 2 == 0,
            is_email_verified: n % 4 < 2,
            password: hash(&format!("$argon2id$v=19${}", "p".repeat(n * 20))),
            avatar: (n % 2 == 0)
                .then(|| Avatar { id: AvatarId(ids[n % 3]), kind: PictureKind::ALL[(n / 2) % 3] }),
            avatar_upload: (n % 5 < 2).then(|| AvatarId(ids[(n / 5) % 3])),
            last_login: (n % 3 > 0).then(|| times[(n / 3) % 6]),
            created_at: times[n % 6],
            updated_at: times[(n / 2) % 6],
            version: Version([0, 1, u32::MAX][n % 3]),
        })
        .collect()
}

/// Email compares by key, so its text is compared besides.
fn assert_same(found: Option<&User>, wanted: &User) {
    assert_eq!(found, Some(wanted));
    assert_eq!(found.map(|user| user.email.as_str()), Some(wanted.email.as_str()));
}

pub(super) async fn every_field_of_a_user_is_stored_exactly(store: Fixture<dyn Store>) {
    let users = extreme_users();
    store.add(&users).await;
    let mut view = store.view().await;
    for user in &users {
        let by_id = view.users().find(user.id).await.expect("find works");
        assert_same(by_id.as_ref(), user);
        let by_email = view.users().find_by_email(&user.email).await.expect("find works");
        assert_same(by_email.as_ref(), user);
    }
}

pub(super) async fn nobody_is_found_where_nobody_is(store: Fixture<dyn Store>) {
    let (here, elsewhere) = (a_user().build(), UserBuilder::number(2).build());
    store.add(&[here]).await;
    let mut view = store.view().await;
    assert_eq!(view.users().find(elsewhere.id).await.expect("find works"), None);
    assert_eq!(view.users().find_by_email(&elsewhere.email).await.expect("find works"), None);
}

/// Spellings of one address: case, composed and decomposed, full width.
const SPELLINGS: [&str; 4] =
    ["José@Example.com", "josé@example.com", "JOSE\u{301}@EXAMPLE.COM", "ｊｏｓé@ｅｘａｍｐｌｅ.com"];

pub(super) async fn a_user_is_found_by_any_spelling_of_the_address(store: Fixture<dyn Store>) {
    let user = a_user().with_email(SPELLINGS[0]).build();
    store.add(std::slice::from_ref(&user)).await;
    for spelling in SPELLINGS {
        let email = Email::parse(spelling).expect("an address");
        let found = store.view().await.users().find_by_email(&email).await.expect("find works");
        assert_same(found.as_ref(), &user);
    }
}

pub(super) async fn a_taken_address_is_a_conflict_in_any_spelling(store: Fixture<dyn Store>) {
    store.add(&[a_user().with_email(SPELLINGS[0]).build()]).await;
    let mut unit = store.begin().await;
    for spelling in SPELLINGS {
        let second = UserBuilder::number(2).with_email(spelling).build();
        assert_conflict(unit.users().insert(&second).await, "users.email");
    }
    let third = UserBuilder::number(3).build();
    unit.users().insert(&third).await.expect("the transaction stays usable");
    commit(unit).await;
    assert_eq!(store.user(third.id).await, Some(third));
    assert_eq!(store.user(UserBuilder::number(2).build().id).await, None);
}

pub(super) async fn a_taken_user_id_is_a_conflict(store: Fixture<dyn Store>) {
    let first = a_user().build();
    store.add(std::slice::from_ref(&first)).await;
    let mut unit = store.begin().await;
    let second = UserBuilder::number(2).with_id(first.id).build();
    assert_conflict(unit.users().insert(&second).await, "users.id");
    let third = UserBuilder::number(3).build();
    unit.users().insert(&third).await.expect("the transaction stays usable");
    commit(unit).await;
    assert_eq!(store.user(first.id).await, Some(first));
    assert_eq!(store.user(third.id).await, Some(third));
}

pub(super) async fn an_update_replaces_everything_but_id_creation_and_last_login(store: Fixture<dyn Store>) {
    let login = ManualClock::START.plus(Duration::from_secs(5));
    let old = a_user().last_seen(login).build();
    store.add(std::slice::from_ref(&old)).await;
    let later = ManualClock::START.plus(Duration::from_hours(1));
    let new = User {
        id: old.id,
        email: Email::parse("new@example.com").expect("an address"),
        first_name: PersonName::parse("Grace").expect("a name"),
        last_name: PersonName::parse("Hopper").expect("a name"),
        role: Role::Moderator,
        is_active: false,
        is_email_verified: true,
        password: hash("new"),
        avatar: Some(Avatar { id: AvatarId(Uuid::max()), kind: PictureKind::WebP }),
        avatar_upload: Some(AvatarId(Uuid::nil())),
        last_login: None,
        created_at: later,
        updated_at: later,
        version: old.version.next(),
    };
    let mut unit = store.begin().await;
    unit.users().update(&new).await.expect("update works");
    commit(unit).await;
    let wanted = User { created_at: old.created_at, last_login: Some(login), ..new };
    assert_same(store.user(old.id).await.as_ref(), &wanted);
    assert_eq!(store.view().await.users().find_by_email(&old.email).await.expect("find works"), None);
}

pub(super) async fn an_update_from_another_version_is_a_conflict(store: Fixture<dyn Store>) {
    let stored = a_user().at_version(Version(5)).build();
    store.add(std::slice::from_ref(&stored)).await;
    let mut unit = store.begin().await;
    for version in [0, 1, 4, 5, 7, u32::MAX] {
        let stale = a_user().named("Not", "Stored").at_version(Version(version)).build();
        assert_conflict(unit.users().update(&stale).await, "users.version");
    }
    let next = a_user().named("Grace", "Hopper").at_version(Version(6)).build();
    unit.users().update(&next).await.expect("the transaction stays usable");
    commit(unit).await;
    assert_eq!(store.user(stored.id).await, Some(next));
}

pub(super) async fn an_update_of_a_missing_user_is_a_conflict(store: Fixture<dyn Store>) {
    let mut unit = store.begin().await;
    let missing = a_user().at_version(Version(2)).build();
    assert_conflict(unit.users().update(&missing).await, "users.version");
    unit.users().insert(&missing).await.expect("the transaction stays usable");
}

pub(super) async fn an_update_to_a_taken_address_is_a_conflict(store: Fixture<dyn Store>) {
    let two = users(2);
    store.add(&two).await;
    let mut unit = store.begin().await;
    let mut second = two[1].clone();
    second.version = second.version.next();
    second.email = Email::parse("USER1@example.com").expect("an address");
    assert_conflict(unit.users().update(&second).await, "users.email");
    second.email = Email::parse("free@example.com").expect("an address");
    unit.users().update(&second).await.expect("the transaction stays usable");
    commit(unit).await;
    assert_same(store.user(second.id).await.as_ref(), &second);
}

pub(super) async fn an_address_may_change_its_spelling(store: Fixture<dyn Store>) {
    store.add(&[a_user().with_email("ada@example.com").build()]).await;
    let mut unit = store.begin().await;
    let shouted = a_user().with_email("ADA@example.com").at_version(Version(2)).build();
    unit.users().update(&shouted).await.expect("it is the same address");
    commit(unit).await;
    assert_same(store.user(shouted.id).await.as_ref(), &shouted);
}

pub(super) async fn record_login_changes_nothing_but_the_last_login(store: Fixture<dyn Store>) {
    let two = users(2);
    store.add(&two).await;
    let at = ManualClock::START.plus(Duration::from_hours(7));
    let mut unit = store.begin().await;
    unit.users().record_login(two[0].id, at).await.expect("record_login works");
    unit.users()
        .record_login(UserBuilder::number(9).build().id, at)
        .await
        .expect("whoever is gone is left alone");
    commit(unit).await;
    assert_eq!(store.user(two[0].id).await, Some(User { last_login: Some(at), ..two[0].clone() }));
    assert_eq!(store.user(two[1].id).await.as_ref(), Some(&two[1]));
}

pub(super) async fn rehash_replaces_the_hash_it_was_made_from_and_nothing_else(store: Fixture<dyn Store>) {
    let user = a_user().with_password(hash("old")).build();
    store.add(std::slice::from_ref(&user)).await;
    let mut unit = store.begin().await;
    unit.users().rehash(user.id, &hash("another"), &hash("lost")).await.expect("rehash works");
    unit.users()
        .rehash(UserBuilder::number(9).build().id, &hash("old"), &hash("lost"))
        .await
        .expect("rehash works");
    assert_eq!(unit.users().find(user.id).await.expect("find works").as_ref(), Some(&user));
    unit.users().rehash(user.id, &hash("old"), &hash("new")).await.expect("rehash works");
    commit(unit).await;
    assert_eq!(store.user(user.id).await, Some(User { password: hash("new"), ..user }));
}

pub(super) async fn removing_a_user_removes_the_sessions_and_frees_the_address(store: Fixture<dyn Store>) {
    let two = users(2);
    store.add(&two).await;
    let (gone, stays) = (a_session_of(&two[0]).build(), SessionBuilder::number(2, &two[1]).build());
    let mut unit = store.begin().await;
    unit.sessions().insert(&gone).await.expect("insert works");
    unit.sessions().insert(&stays).await.expect("insert works");
    assert!(unit.users().remove(two[0].id).await.expect("remove works"));
    // Finding joins with the user, so only this tells whether an orphan stayed behind.
    assert!(!unit.sessions().remove(gone.id).await.expect("remove works"), "the session outlived its user");
    commit(unit).await;

    let mut view = store.view().await;
    assert_eq!(view.sessions().find_with_user(gone.id).await.expect("find works"), None);
    assert!(view.sessions().find_with_user(stays.id).await.expect("find works").is_some());
    drop(view);
    store.add(&[UserBuilder::number(3).with_email(two[0].email.as_str()).build()]).await;
}

pub(super) async fn removing_a_user_twice_finds_nothing(store: Fixture<dyn Store>) {
    let user = a_user().build();
    store.add(std::slice::from_ref(&user)).await;
    let mut unit = store.begin().await;
    assert!(unit.users().remove(user.id).await.expect("remove works"));
    assert!(!unit.users().remove(user.id).await.expect("remove works"));
    commit(unit).await;
    assert_eq!(store.user(user.id).await, None);
}

pub(super) async fn only_active_admins_besides_the_given_one_count(store: Fixture<dyn Store>) {
    let admin = |n| UserBuilder::number(n).with_role(Role::Admin);
    let (first, second) = (admin(1).build(), admin(2).build());
    let moderator = UserBuilder::number(4).with_role(Role::Moderator).build();
    store.add(&[first.clone(), second, admin(3).inactive().build(), moderator.clone()]).await;
    let mut unit = store.begin().await;
    assert_eq!(unit.users().active_admins_besides(first.id).await.expect("count works"), 1);
    assert_eq!(unit.users().active_admins_besides(moderator.id).await.expect("count works"), 2);
}
