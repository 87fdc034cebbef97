//! `portwright users` beside a running server: what an operator does takes effect at once.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::{Api, PASSWORD};
use crate::place::{PATIENCE, Place};
use crate::server::Server;
use crate::terminal::Terminal;

const ADA: &str = "ada@example.com";
const OTHER_PASSWORD: &str = "another-good-password-7";

async fn serving() -> (Place, Server, Api) {
    let place = Place::empty();
    let server = place.serve().await;
    let ada = server.api().registered(ADA).await;
    (place, server, ada)
}

fn refresh(api: &Api) -> Value {
    json!({"refreshToken": api.session["refreshToken"]})
}

/// A session that has ended has ended in both its tokens.
async fn expect_signed_out(api: &Api) {
    api.get("/auth/me").await.expect(401);
    api.post("/auth/refresh", &refresh(api)).await.expect(401);
}

#[tokio::test]
async fn an_administrator_can_sign_in_as_soon_as_there_is_one() {
    let (place, server, _ada) = serving().await;
    let create = ["users", "create-admin", "--email", "Root@example.com", "--json"];
    let created = place.run(create).await;
    let user: Value = serde_json::from_str(created.expect(0)).expect("JSON");
    assert_eq!((user["email"].as_str(), user["role"].as_str()), (Some("Root@example.com"), Some("admin")));
    assert_eq!(user["isActive"], true);
    let session = server.api().sign_in("root@example.com", user["password"].as_str().expect("told")).await;
    assert_eq!(session.expect(200)["user"]["id"], user["id"]);

    place.run(create).await.expect_failure(1, &["error: the e-mail address is taken"]);
    let other = place.run(["users", "create-admin", "--email", "root2@example.com"]).await;
    let lines: Vec<&str> = other.expect(0).lines().collect();
    assert_eq!(lines[0], "root2@example.com created");
    let password =
        lines[1].trim().strip_prefix("password  ").and_then(|text| text.strip_suffix(" (shown once)"));
    server.api().sign_in("root2@example.com", password.expect("told")).await.expect(200);
}

#[tokio::test]
async fn a_new_password_ends_all_sessions() {
    let (place, server, ada) = serving().await;
    let set = ["users", "set-password", "--email", ADA, "--password-stdin"];
    let answer = place.run_with_input(set, format!("{OTHER_PASSWORD}\n")).await;
    assert_eq!(answer.expect(0), "ada@example.com has a new password, and no session any more\n");
    expect_signed_out(&ada).await;
    ada.sign_in(ADA, PASSWORD).await.expect(401);
    ada.sign_in(ADA, OTHER_PASSWORD).await.expect(200);

    let made_up = place.run(["users", "set-password", "--email", ADA, "--json"]).await;
    let user: Value = serde_json::from_str(made_up.expect(0)).expect("JSON");
    server.api().sign_in(ADA, user["password"].as_str().expect("told")).await.expect(200);
}

#[tokio::test]
async fn a_password_is_taken_from_the_standard_input_as_it_is() {
    let (place, _server, ada) = serving().await;
    let set = ["users", "set-password", "--email", ADA, "--password-stdin"];
    for (input, password) in [
        ("no line break 7", "no line break 7"),
        ("from windows 7\r\n", "from windows 7"),
        ("  spaces count 7 \n", "  spaces count 7 "),
        ("two\nlines 77\n", "two\nlines 77"),
        ("пароль-из-слов-7\n", "пароль-из-слов-7"),
    ] {
        place.run_with_input(set, input).await.expect(0);
        ada.sign_in(ADA, password).await.expect(200);
    }
    for (input, why) in [
        (&b""[..], "the password is refused"),
        (b"\n", "the password is refused"),
        (b"seven-7\n", "the password is refused"),
        (b"password1\n", "the password is refused"),
        (b"\xff\xfe not text \xff\n", "cannot read the password"),
        (&b"x".repeat(100_000), "the password is refused"),
    ] {
        place.run_with_input(set, input).await.expect_failure(2, &[why]);
    }
    ada.sign_in(ADA, "пароль-из-слов-7").await.expect(200);
}

#[tokio::test]
async fn another_role_counts_at_once_and_ends_all_sessions() {
    let (place, server, ada) = serving().await;
    ada.get("/users").await.expect(403);
    let set = async |role| place.run(["users", "set-role", "--email", ADA, "--role", role]).await;
    assert_eq!(set("moderator").await.expect(0), "ada@example.com has the role moderator\n");
    expect_signed_out(&ada).await;
    let ada = server.api().with_session(ada.sign_in(ADA, PASSWORD).await.expect(200));
    ada.get("/users").await.expect(200);
    set("emperor").await.expect_failure(2, &["emperor"]);
}

#[tokio::test]
async fn a_locked_user_is_out_at_once_and_comes_back_when_it_is_undone() {
    let (place, _server, ada) = serving().await;
    let lock = place.run(["users", "lock", "--email", ADA, "--yes", "--json"]).await;
    let user: Value = serde_json::from_str(lock.expect(0)).expect("JSON");
    assert_eq!((user["email"].as_str(), user["isActive"].as_bool()), (Some(ADA), Some(false)));
    expect_signed_out(&ada).await;
    ada.sign_in(ADA, PASSWORD).await.expect(401);

    let undo = place.run(["users", "lock", "--email", ADA, "--undo"]).await;
    assert_eq!(undo.expect(0), "ada@example.com may sign in again\n");
    expect_signed_out(&ada).await;
    ada.sign_in(ADA, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn to_lock_asks_a_person_and_needs_yes_where_nobody_is() {
    let (place, _server, ada) = serving().await;
    let lock = ["users", "lock", "--email", ADA];
    // Whatever a program writes there, it was not asked.
    place.run_with_input(lock, "y\n").await.expect_failure(2, &["nobody is there to ask", "add --yes"]);
    for (answer, code, status) in [("", 1, 200), ("n", 1, 200), ("y", 0, 401)] {
        let (mut terminal, mut child) = Terminal::run(place.command(lock));
        terminal.shows("Lock ada@example.com and end all sessions? [y/N] ").await;
        terminal.type_line(answer);
        let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
        assert_eq!(ended.code(), Some(code), "{}", terminal.left().await);
        ada.get("/auth/me").await.expect(status);
    }
}

#[tokio::test]
async fn the_last_active_administrator_stays() {
    let (place, server, _ada) = serving().await;
    let last = place.first_run("email");
    let demote = ["users", "set-role", "--email", &last, "--role", "user"];
    let lock = ["users", "lock", "--email", &last, "--yes"];
    for command in [&demote[..], &lock] {
        place.run(command).await.expect_failure(1, &["error: the last active admin must stay"]);
    }
    place.first_admin(&server).await.get("/auth/me").await.expect(200);

    place.run(["users", "set-role", "--email", ADA, "--role", "admin"]).await.expect(0);
    place.run(lock).await.expect(0);
    let demote_ada = ["users", "set-role", "--email", ADA, "--role", "user"];
    place.run(demote_ada).await.expect_failure(1, &["error: the last active admin must stay"]);
}

#[tokio::test]
async fn the_list_is_one_line_for_each_user_the_oldest_first() {
    let (place, server, _ada) = serving().await;
    // More than one page of the store.
    let admin = place.first_admin(&server).await;
    for number in 0..100 {
        let name = format!("u{number}@example.com");
        admin.post("/users", &crate::api::new_user(&name)).await.expect(201);
    }
    place.run(["users", "lock", "--email", ADA, "--yes"]).await.expect(0);

    let listed = place.run(["users", "list", "--json"]).await;
    let users = listed.expect(0).lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let users: Vec<Value> = users.collect();
    assert_eq!(users.len(), 102);
    let emails: Vec<&str> = users.iter().filter_map(|user| user["email"].as_str()).collect();
    assert_eq!((emails[0], emails[1], emails[101]), ("admin@localhost", ADA, "u99@example.com"));
    assert_eq!(users[1]["isActive"], false);
    assert!(!listed.stdout.contains("assword"), "{}", listed.stdout);

    let listed = place.run(["users", "list"]).await;
    let words: Vec<&str> = listed.expect(0).lines().nth(1).expect("a line").split_whitespace().collect();
    assert_eq!(words[1..], ["user", "locked", ADA]);
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let (place, _server, _ada) = serving().await;
    for arguments in [
        &["users", "set-password", "--email", "nobody@example.com"][..],
        &["users", "set-role", "--email", "nobody@example.com", "--role", "user"],
        &["users", "lock", "--email", "nobody@example.com", "--yes"],
    ] {
        place.run(arguments).await.expect_failure(1, &["error: no such user"]);
    }
    place.run(["users", "create-admin", "--email", "nobody"]).await.expect_failure(2, &["nobody"]);

    let empty = Place::empty();
    empty
        .run(["users", "list"])
        .await
        .expect_failure(78, &["is without migration 0001 (users_and_sessions)", "`portwright migrate up`"]);
    assert!(!empty.data("").exists());
}
