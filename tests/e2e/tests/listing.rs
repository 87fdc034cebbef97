//! `GET /users`: numbered pages, order, filters, and what is wrong with a query.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::HashMap;
use std::time::Duration;

use portwright_e2e::app::{ADMIN, new_user};
use portwright_e2e::{Answer, Caller, TestApp};
use serde_json::json;

/// E-mail addresses, in the order of the page.
fn emails(page: &Answer) -> Vec<String> {
    let page = page.expect(200);
    let rows = page["data"].as_array().expect("rows").iter();
    rows.map(|user| user["email"].as_str().expect("text").to_owned()).collect()
}

/// The targets of a `Link` header by relation.
fn links(answer: &Answer) -> HashMap<String, String> {
    let link = |part: &str| {
        let (target, relation) = part.split_once(">; rel=\"").expect("a link");
        (relation.trim_end_matches(['"', ',', ' ']).to_owned(), target.to_owned())
    };
    answer.header("link").split('<').skip(1).map(link).collect()
}

/// Percent-encodes what is not a letter or digit.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

/// Users besides the administrator, a second apart, `(email, firstName, lastName)`.
async fn people(app: &TestApp, admin: &Caller, people: &[(&str, &str, &str)]) {
    for (email, first, last) in people {
        app.advance(Duration::from_secs(1));
        let body = new_user(email, &json!({"firstName": first, "lastName": last}));
        admin.post("/users", &body).await.expect(201);
    }
}

/// `00@example.com` and so on.
async fn numbered(app: &TestApp, admin: &Caller, count: usize) {
    for number in 0..count {
        let email = format!("{number:02}@example.com");
        people(app, admin, &[(&email, "Ada", "Lovelace")]).await;
    }
}

#[tokio::test]
async fn pages_add_up_to_everybody() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    numbered(&app, &admin, 24).await;
    let mut everybody: Vec<_> = (0..24).rev().map(|number| format!("{number:02}@example.com")).collect();
    everybody.push(ADMIN.to_owned());
    for (query, page, limit, pages) in [
        ("", 1, 10, 3),
        ("?page=2", 2, 10, 3),
        ("?page=3", 3, 10, 3),
        ("?limit=25", 1, 25, 1),
        ("?limit=24&page=2", 2, 24, 2),
        ("?limit=1&page=25", 25, 1, 25),
        ("?limit=100", 1, 100, 1),
        ("?page=4", 4, 10, 3),
        ("?page=1000000000&limit=100", 1_000_000_000, 100, 1),
    ] {
        let answer = admin.get(&format!("/users{query}")).await;
        let expected: Vec<_> = everybody.iter().skip((page - 1) * limit).take(limit).cloned().collect();
        assert_eq!(emails(&answer), expected, "{query}");
        let pagination = json!({"page": page, "limit": limit, "total": 25, "totalPages": pages});
        assert_eq!(answer.json()["pagination"], pagination, "{query}");
        assert_eq!(answer.json().as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let nobody = admin.get("/users?search=nobody-is-called-that").await.expect(200);
    assert_eq!(
        nobody,
        json!({"data": [], "pagination": {"page": 1, "limit": 10, "total": 0, "totalPages": 0}})
    );
}

#[tokio::test]
async fn a_row_is_the_user_as_it_is_read_alone() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let listed = admin.get("/users").await.expect(200);
    assert_eq!(listed["data"][1], admin.get(&admin.path()).await.expect(200));
    assert_eq!(listed["data"][0], admin.get(&user.path()).await.expect(200));
}

#[tokio::test]
async fn page_and_limit_are_whole_numbers_within_their_bounds() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for value in ["1", "100"] {
        admin.get(&format!("/users?limit={value}")).await.expect(200);
        admin.get(&format!("/users?page={value}")).await.expect(200);
    }
    let both = [
        "0", "-1", "-0", "1.5", "1e2", "1.0", "abc", "", "%20", "1%20", "%2B1", "+1", "0x1", "٣", "null",
        "1,2",
    ];
    let huge = ["4294967297", "18446744073709551617", "99999999999999999999999999999999"];
    for (name, more) in
        [("limit", ["101", "1000", "4294967295"]), ("page", ["1000000001", "4294967296", "1_0"])]
    {
        for value in both.iter().chain(&huge).chain(&more) {
            let answer = admin.get(&format!("/users?{name}={value}")).await;
            assert_eq!(answer.status, 422, "{name}={value}");
            answer.expect_invalid(&[(name, "out-of-range")]);
        }
    }
}

#[tokio::test]
async fn links_lead_to_every_page_and_keep_all_parameters() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    numbered(&app, &admin, 7).await;
    let kept =
        "search=%40%65xample&sortBy=email&sortOrder=ASC&limit=3&role=user&isActive=true&firstName=A%64a";
    let first = format!("/users?{kept}");
    let mut met = Vec::new();
    let (mut next, mut number) = (Some(first), 0);
    while let Some(path) = next {
        let page = admin.get(&path).await;
        met.extend(emails(&page));
        number += 1;
        let links = links(&page);
        let to = |page: u32| Some(format!("/users?{kept}&page={page}"));
        assert_eq!(links.get("first").cloned(), to(1));
        assert_eq!(links.get("last").cloned(), to(3));
        assert_eq!(links.get("prev").cloned(), if number > 1 { to(number - 1) } else { None });
        assert_eq!(links.get("next").cloned(), if number < 3 { to(number + 1) } else { None });
        next = links.get("next").cloned();
    }
    assert_eq!(met, (0..7).map(|number| format!("{number:02}@example.com")).collect::<Vec<_>>());

    // Past the end the way leads back, and where there is nobody the only page is the first.
    let past = links(&admin.get("/users?limit=3&page=99").await);
    assert_eq!((past.get("prev"), past.get("next")), (Some(&"/users?limit=3&page=3".to_owned()), None));
    let empty = links(&admin.get("/users?search=nobody").await);
    assert_eq!(empty.len(), 2);
    assert_eq!(empty.get("last"), Some(&"/users?search=nobody&page=1".to_owned()));
}

#[tokio::test]
async fn every_order_is_by_the_folded_text_or_the_time_and_then_by_identity() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    // Each has another place in every order.
    people(&app, &admin, &[("b@x", "étienne", "Zoe"), ("C@x", "Eve", "anna"), ("a@x", "ÉMILE", "Ärger")])
        .await;
    people(&app, &admin, &[("d@x", "ｆｕｌｌ", "Zoe"), ("E@x", "zed", "zoe")]).await;
    let last = admin.get("/users?email=c@x").await.expect(200)["data"][0]["id"].clone();
    app.advance(Duration::from_secs(1));
    let path = format!("/users/{}", last.as_str().expect("an identity"));
    admin.patch(&path, &json!({"firstName": "EVE"})).await.expect(200);
    for (sort, ascending) in [
        ("createdAt", ["b@x", "C@x", "a@x", "d@x", "E@x"]),
        ("updatedAt", ["b@x", "a@x", "d@x", "E@x", "C@x"]),
        ("email", ["a@x", "b@x", "C@x", "d@x", "E@x"]),
        ("firstName", ["C@x", "d@x", "E@x", "a@x", "b@x"]),
        ("lastName", ["C@x", "b@x", "d@x", "E@x", "a@x"]),
    ] {
        let descending: Vec<_> = ascending.into_iter().rev().collect();
        for (orders, expected) in
            [(["asc", "ASC", "Asc"], ascending.to_vec()), (["desc", "DESC", "dEsC"], descending)]
        {
            for order in orders {
                let page = admin.get(&format!("/users?role=user&sortBy={sort}&sortOrder={order}")).await;
                assert_eq!(emails(&page), expected, "{sort} {order}");
            }
        }
    }
    // Newest first, unless it is said otherwise.
    let usual = emails(&admin.get("/users").await);
    assert_eq!(usual, ["E@x", "d@x", "a@x", "C@x", "b@x", ADMIN]);
    assert_eq!(emails(&admin.get("/users?sortOrder=asc").await), [ADMIN, "b@x", "C@x", "a@x", "d@x", "E@x"]);
}

#[tokio::test]
async fn a_text_is_searched_for_as_it_is_and_in_any_case() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    people(
        &app,
        &admin,
        &[
            ("percent@x", "100% Ada", "Lovelace"),
            ("under_score@x", "Under", "Score"),
            ("slash@x", "Back\\slash", "For/ward"),
            ("quote@x", "O'Brien", "\"Quoted\" [a-z]*?"),
            ("accent@x", "Éclair", "straße"),
            ("wide@x", "ｆｕｌｌ", "Οδόστρωμα"),
            ("crab@x", "🦀 \u{4e2d}\u{6587}", "Amp&er=sand+plus#hash;"),
        ],
    )
    .await;
    let nobody: [&str; 0] = [];
    let cases: [(&str, &str, &[&str]); 39] = [
        ("search", "%", &["percent@x"]),
        ("search", "0% a", &["percent@x"]),
        ("search", "%%", &nobody),
        ("search", "_", &["under_score@x"]),
        ("search", "under_", &["under_score@x"]),
        ("search", "under-score", &nobody),
        ("search", "\\", &["slash@x"]),
        ("search", "\\%", &nobody),
        ("search", "/", &["slash@x"]),
        ("search", "'", &["quote@x"]),
        ("search", "' OR '1'='1", &nobody),
        ("search", "'; DROP TABLE users; --", &nobody),
        ("search", "\"", &["quote@x"]),
        ("search", "*", &["quote@x"]),
        ("search", "[a-z]", &["quote@x"]),
        ("search", "?", &["quote@x"]),
        ("search", "é", &["accent@x"]),
        ("search", "É", &["accent@x"]),
        ("search", "e\u{301}CLAIR", &["accent@x"]),
        ("search", "ecl", &nobody),
        ("search", "STRAẞE", &["accent@x"]),
        ("search", "FULL", &["wide@x"]),
        ("search", "ＦＵＬＬ", &["wide@x"]),
        ("search", "ΟΔΌΣ", &["wide@x"]),
        ("search", "🦀", &["crab@x"]),
        ("search", "中文", &["crab@x"]),
        ("search", "&er=sand+plus#hash;", &["crab@x"]),
        ("search", "\u{0}", &nobody),
        ("search", "score@x", &["under_score@x"]),
        ("search", "LOVELACE", &["percent@x"]),
        ("email", "UNDER_", &["under_score@x"]),
        ("email", "éclair", &nobody),
        ("firstName", "o'b", &["quote@x"]),
        ("firstName", "love", &nobody),
        ("lastName", "love", &["percent@x"]),
        ("lastName", "ada", &nobody),
        ("role", "admin", &[ADMIN]),
        ("role", "moderator", &nobody),
        ("isActive", "false", &nobody),
    ];
    for (name, text, expected) in cases {
        let page = admin.get(&format!("/users?{name}={}", encoded(text))).await;
        assert_eq!(emails(&page), expected, "{name}={text}");
        assert_eq!(page.json()["pagination"]["total"], expected.len(), "{name}={text}");
    }
    // What everybody has is no condition.
    for query in ["search=", "email=", "firstName=", "isActive=true", "search=a&search="] {
        let page = admin.get(&format!("/users?{query}")).await;
        match query {
            "search=a&search=" => page.expect_invalid(&[("search", "repeated-parameter")]),
            _ => assert_eq!(page.expect(200)["pagination"]["total"], 8, "{query}"),
        }
    }
    // A plus sign is a space in a query.
    assert_eq!(emails(&admin.get("/users?search=100%25+ada").await), ["percent@x"]);
    let page = admin.get("/users?search=e&firstName=a&role=user&isActive=true").await;
    assert_eq!(emails(&page), ["accent@x", "percent@x"]);
}

#[tokio::test]
async fn role_and_activity_are_exact() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (email, more) in [
        ("m@x", json!({"role": "moderator"})),
        ("off@x", json!({"isActive": false})),
        ("moff@x", json!({"role": "moderator", "isActive": false})),
    ] {
        app.advance(Duration::from_secs(1));
        admin.post("/users", &new_user(email, &more)).await.expect(201);
    }
    for (query, expected) in [
        ("role=moderator", vec!["moff@x", "m@x"]),
        ("role=user", vec!["off@x"]),
        ("isActive=false", vec!["moff@x", "off@x"]),
        ("isActive=true", vec!["m@x", ADMIN]),
        ("role=moderator&isActive=false", vec!["moff@x"]),
    ] {
        assert_eq!(emails(&admin.get(&format!("/users?{query}")).await), expected, "{query}");
    }
    for wrong in ["Admin", "root", "", "admin,user", "%20admin"] {
        admin.get(&format!("/users?role={wrong}")).await.expect_invalid(&[("role", "unknown-role")]);
    }
    for wrong in ["1", "TRUE", "yes", "", "null"] {
        admin.get(&format!("/users?isActive={wrong}")).await.expect_invalid(&[("isActive", "invalid-type")]);
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_query_is_told_at_once() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let long = "x".repeat(255);
    let query = format!(
        "page=0&limit=101&role=root&isActive=maybe&sortBy=password&sortOrder=up&search={long}&email=a&email=b&cursor=x&\
         offset=3&passwordHash=%24argon2&Page=1"
    );
    admin.get(&format!("/users?{query}")).await.expect_invalid(&[
        ("page", "out-of-range"),
        ("limit", "out-of-range"),
        ("role", "unknown-role"),
        ("isActive", "invalid-type"),
        ("sortBy", "unknown-value"),
        ("sortOrder", "unknown-value"),
        ("search", "too-long"),
        ("email", "repeated-parameter"),
        ("cursor", "conflicting-parameters"),
        ("offset", "unknown-parameter"),
        ("passwordHash", "unknown-parameter"),
        ("Page", "unknown-parameter"),
    ]);
    admin.get(&format!("/users?search={}", &long[1..])).await.expect(200);
    // Characters are counted, not bytes.
    admin.get(&format!("/users?search={}", encoded(&"é".repeat(254)))).await.expect(200);
    for name in [
        "page",
        "limit",
        "role",
        "isActive",
        "sortBy",
        "sortOrder",
        "search",
        "firstName",
        "lastName",
        "cursor",
    ] {
        let value = if name == "role" { "user" } else { "1" };
        let repeated = admin.get(&format!("/users?{name}={value}&{name}={value}")).await;
        repeated.expect_invalid(&[(name, "repeated-parameter")]);
    }
    for sort in ["password", "id", "lastLogin", "createdat", "created_at", "", "email;--", "email,firstName"]
    {
        admin.get(&format!("/users?sortBy={sort}")).await.expect_invalid(&[("sortBy", "unknown-value")]);
    }
    for order in ["", "ascending", "1", "asc%20", "аsc"] {
        admin
            .get(&format!("/users?sortOrder={order}"))
            .await
            .expect_invalid(&[("sortOrder", "unknown-value")]);
    }
    for empty in ["?", "?&", "?&&limit=5&"] {
        admin.get(&format!("/users{empty}")).await.expect(200);
    }
    admin.get("/users?=x").await.expect_invalid(&[("", "unknown-parameter")]);
    admin.get("/users?search[]=x").await.expect_invalid(&[("search[]", "unknown-parameter")]);
}

#[tokio::test]
async fn a_query_that_is_not_utf8_is_refused() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for bytes in ["%ff", "%c3%28", "%e2%82", "%ed%a0%80", "%c0%af", "a%80b"] {
        admin.get(&format!("/users?search={bytes}")).await.expect_invalid(&[("", "invalid-encoding")]);
        admin.get(&format!("/users?{bytes}=x")).await.expect_invalid(&[("", "invalid-encoding")]);
    }
    // What is no escape stands for itself.
    for text in ["%", "%2", "%zz", "%%25"] {
        admin.get(&format!("/users?search={text}")).await.expect(200);
    }
}

#[tokio::test]
async fn admins_and_moderators_list_and_nobody_else() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let moderator = app.user("moderator").await;
    let user = app.user("user").await;
    assert_eq!(moderator.get("/users").await.expect(200), admin.get("/users").await.expect(200));
    for query in ["", "?page=2", "?cursor=", "?search=x"] {
        user.get(&format!("/users{query}")).await.expect_problem(403, "forbidden");
        app.nobody().get(&format!("/users{query}")).await.expect_problem(401, "unauthorized");
    }
    let answer = admin.get("/users").await.text;
    for secret in ["argon2", "password", "version"] {
        assert!(!answer.contains(secret), "{secret}");
    }
}
