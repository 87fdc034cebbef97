//! `GET /users?cursor=`: a walk that meets everybody once, and cursors that nobody makes but us.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use portwright_e2e::app::{ADMIN, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::{Value, json};

const SORTS: [&str; 5] = ["createdAt", "updatedAt", "email", "firstName", "lastName"];

async fn create(admin: &Caller, email: &str, first: &str, last: &str) -> String {
    let body = new_user(email, &json!({"firstName": first, "lastName": last}));
    let created = admin.post("/users", &body).await;
    created.expect(201);
    created.header("location").to_owned()
}

/// The paths of the users on a page, and the cursor of the next one. What a walk does not know is not there.
fn page(answer: &Answer) -> (Vec<String>, Option<String>) {
    let page = answer.expect(200);
    let rows = page["data"].as_array().expect("rows").iter();
    let paths = rows.map(|user| format!("/users/{}", user["id"].as_str().expect("an identity"))).collect();
    let pagination = page["pagination"].as_object().expect("pagination");
    let next = pagination.get("nextCursor").map(|cursor| cursor.as_str().expect("text").to_owned());
    let mut names: Vec<_> = pagination.keys().map(String::as_str).collect();
    names.retain(|name| *name != "nextCursor");
    assert_eq!(names, ["limit"]);
    (paths, next)
}

fn links(answer: &Answer) -> HashMap<&str, &str> {
    let parts = answer.header("link").split(", ").map(|part| part.split_once("; rel=").expect("a link"));
    parts.map(|(target, relation)| (relation.trim_matches('"'), target.trim_matches(['<', '>']))).collect()
}

#[tokio::test]
async fn a_walk_meets_everybody_once_in_every_order_while_others_come_and_go() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let mut stayers = BTreeSet::from([admin.path()]);
    // Some differ in everything, some only in their identity.
    for number in 0..14 {
        let (first, last) = if number % 2 == 0 { ("Ada", "Lovelace") } else { ("Bea", "Ärger") };
        if number % 4 == 0 {
            app.advance(Duration::from_millis(10));
        }
        stayers.insert(create(&admin, &format!("m{number:02}@example.com"), first, last).await);
    }
    let mut leavers: VecDeque<String> = VecDeque::new();
    for number in 0..4 {
        leavers.push_back(create(&admin, &format!("l{number}@example.com"), "Ada", "Lovelace").await);
    }
    let mut coming = 0;
    for sort in SORTS {
        for order in ["asc", "desc"] {
            let mut next = Some(String::new());
            let mut met = Vec::new();
            while let Some(cursor) = next {
                let query = format!("/users?limit=5&sortBy={sort}&sortOrder={order}&cursor={cursor}");
                let (paths, following) = page(&admin.get(&query).await);
                assert!(paths.len() == 5 || following.is_none());
                met.extend(paths);
                next = following;
                // One comes where the walk has been or where it is going to, and one leaves that it has met or not.
                coming += 1;
                app.advance(Duration::from_millis(1));
                let (initial, name) = if coming % 2 == 0 { ('a', "Aaron") } else { ('z', "Zoe") };
                let comer = create(&admin, &format!("{initial}{coming}@example.com"), name, name).await;
                leavers.push_back(comer);
                let leaver = leavers.pop_front().expect("somebody to leave");
                admin.delete(&leaver).await.expect(204);
            }
            let distinct: BTreeSet<_> = met.iter().cloned().collect();
            assert_eq!(distinct.len(), met.len(), "{sort} {order}: somebody was met twice");
            let missed: Vec<_> = stayers.difference(&distinct).collect();
            assert!(missed.is_empty(), "{sort} {order}: {missed:?} were missed");
        }
    }
}

#[tokio::test]
async fn a_walk_goes_on_behind_a_row_that_is_gone() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for name in ["a", "b", "c", "d"] {
        create(&admin, &format!("{name}@x"), "Ada", "Lovelace").await;
    }
    let query = "/users?sortBy=email&sortOrder=asc&limit=2&search=@x";
    let (first, next) = page(&admin.get(&format!("{query}&cursor=")).await);
    for path in &first {
        admin.delete(path).await.expect(204);
    }
    let (second, end) = page(&admin.get(&format!("{query}&cursor={}", next.expect("a next page"))).await);
    assert_eq!((second.len(), end), (2, None));
}

#[tokio::test]
async fn links_lead_through_the_walk_and_keep_all_parameters() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for number in 0..7 {
        create(&admin, &format!("{number}@example.com"), "Ada", "Lovelace").await;
    }
    let kept = "search=%40%65xample&sortBy=email&sortOrder=ASC&limit=3&role=user";
    let mut answer = admin.get(&format!("/users?{kept}&cursor=")).await;
    let mut met = 0;
    loop {
        let (paths, next) = page(&answer);
        met += paths.len();
        let links = links(&answer);
        assert_eq!(links.get("first"), Some(&&*format!("/users?{kept}&cursor=")));
        let expected = next.map(|next| format!("/users?{kept}&cursor={next}"));
        assert_eq!(links.get("next").copied(), expected.as_deref());
        assert_eq!(links.len(), 1 + usize::from(expected.is_some()));
        let Some(next) = expected else { break };
        answer = admin.get(&next).await;
    }
    assert_eq!(met, 7);
}

#[tokio::test]
async fn the_end_is_known_also_where_the_last_page_is_full_or_empty() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for number in 0..5 {
        create(&admin, &format!("{number}@example.com"), "Ada", "Lovelace").await;
    }
    let (everybody, end) = page(&admin.get("/users?cursor=&limit=6").await);
    assert_eq!((everybody.len(), end), (6, None));
    let (half, next) = page(&admin.get("/users?cursor=&limit=3").await);
    let next = next.expect("a next page");
    let (other_half, end) = page(&admin.get(&format!("/users?cursor={next}&limit=3")).await);
    assert_eq!((half.len(), other_half.len(), end), (3, 3, None));
    assert_eq!([half, other_half].concat(), everybody);
    // The limit may change on the way.
    assert_eq!(page(&admin.get(&format!("/users?cursor={next}&limit=100")).await).0.len(), 3);
    for path in &everybody[3..5] {
        admin.delete(path).await.expect(204);
    }
    let (rest, _) = page(&admin.get(&format!("/users?cursor={next}")).await);
    assert_eq!(rest, [admin.path()]);
    assert_eq!(page(&admin.get("/users?cursor=&search=nobody").await), (vec![], None));
}

/// The cursor of the second page of somebody who asked for one row.
async fn cursor(admin: &Caller, query: &str) -> String {
    let answer = admin.get(&format!("/users?limit=1&{query}&cursor=")).await;
    page(&answer).1.expect("a next page")
}

#[tokio::test]
async fn an_altered_or_truncated_cursor_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    app.user("user").await;
    let real = cursor(&admin, "sortBy=email").await;
    let refuse = async |cursor: &str| {
        let answer = admin.get(&format!("/users?sortBy=email&cursor={cursor}")).await;
        assert_eq!(answer.status, 422, "{cursor} instead of {real}");
        answer.expect_invalid(&[("cursor", "invalid-cursor")]);
    };
    for at in 0..real.len() {
        let replacement = if &real[at..=at] == "A" { "B" } else { "A" };
        refuse(&format!("{}{replacement}{}", &real[..at], &real[at + 1..])).await;
        if at > 0 {
            refuse(&real[..at]).await;
        }
    }
    // A different spelling of the same bits is not the same cursor either.
    let last = real.as_bytes()[real.len() - 1];
    for other in [last - 1, last + 1].into_iter().filter(u8::is_ascii_alphanumeric) {
        refuse(&format!("{}{}", &real[..real.len() - 1], char::from(other))).await;
    }
    let long = "A".repeat(7_000);
    let made_up =
        ["x", "0", "null", "eyJpZCI6MX0", "%00", "%20", &format!("{real}A"), &format!("{real}%3D"), &long];
    for cursor in made_up {
        refuse(cursor).await;
    }
    refuse(&format!("%20{real}")).await;
    admin.get(&format!("/users?sortBy=email&cursor={real}")).await.expect(200);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    app.user("user").await;
    let lists = [
        "",
        "sortBy=updatedAt",
        "sortBy=email",
        "sortBy=firstName",
        "sortBy=lastName",
        "sortOrder=asc",
        "search=e",
        "email=e",
        "firstName=e",
        "lastName=e",
        "isActive=true",
        "search=@example",
        "sortBy=email&sortOrder=asc",
    ];
    app.admin().await.patch(&admin.path(), &json!({"firstName": "Eve", "lastName": "Eve"})).await.expect(200);
    let users = admin.get("/users?role=user").await.expect(200);
    let user = format!("/users/{}", users["data"][0]["id"].as_str().expect("an identity"));
    admin.patch(&user, &json!({"firstName": "Eve", "lastName": "Eve"})).await.expect(200);
    for made_for in lists {
        let cursor = cursor(&admin, made_for).await;
        for used_for in lists {
            let answer = admin.get(&format!("/users?{used_for}&cursor={cursor}")).await;
            if made_for == used_for {
                assert_eq!(page(&answer).0.len(), 1, "{made_for}");
            } else {
                assert_eq!(answer.status, 422, "made for {made_for}, used for {used_for}");
                answer.expect_invalid(&[("cursor", "foreign-cursor")]);
            }
        }
    }
    // What is said in so many words is the same list.
    let usual = cursor(&admin, "").await;
    admin.get(&format!("/users?sortBy=createdAt&sortOrder=DESC&cursor={usual}")).await.expect(200);
    let in_role = cursor(&admin, "isActive=true").await;
    let other = admin.get(&format!("/users?isActive=true&role=user&cursor={in_role}")).await;
    other.expect_invalid(&[("cursor", "foreign-cursor")]);
}

#[tokio::test]
async fn what_was_sealed_for_something_else_or_by_somebody_else_is_no_cursor() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let changed = admin.patch(&admin.path(), &json!({})).await;
    let other = TestApp::embedded().await;
    other.user("user").await;
    let foreign = cursor(&other.admin().await, "").await;
    for sealed in [changed.header("consistency-token"), admin.refresh_token(), admin.token(), &foreign] {
        assert!(!sealed.is_empty());
        let answer = admin.get(&format!("/users?cursor={sealed}")).await;
        answer.expect_invalid(&[("cursor", "invalid-cursor")]);
    }
}

#[tokio::test]
async fn a_cursor_does_not_go_with_a_page() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    app.user("user").await;
    let real = cursor(&admin, "").await;
    for query in ["page=1&cursor=", &format!("cursor={real}&page=2"), "page=1&cursor=nonsense"] {
        let answer = admin.get(&format!("/users?{query}")).await;
        answer.expect_invalid(&[("cursor", "conflicting-parameters")]);
    }
}

#[tokio::test]
async fn a_cursor_shows_nothing_and_is_good_for_whoever_may_list() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let (moderator, user) = (app.user("moderator").await, app.user("user").await);
    let real = cursor(&admin, "sortBy=email&sortOrder=asc").await;
    for known in [ADMIN, "admin", admin.id()] {
        assert!(!real.contains(known));
    }
    let query = format!("/users?sortBy=email&sortOrder=asc&cursor={real}");
    let as_moderator: Value = moderator.get(&query).await.expect(200);
    assert_eq!(as_moderator["data"], admin.get(&query).await.expect(200)["data"]);
    user.get(&query).await.expect_problem(403, "forbidden");
    app.nobody().get(&query).await.expect_problem(401, "unauthorized");
}
