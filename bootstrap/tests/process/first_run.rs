//! From an empty directory to somebody who can sign in.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::api::PASSWORD;
use crate::place::{PATIENCE, Place};
use crate::server::{Server, send};
use crate::terminal::Terminal;

#[tokio::test]
async fn an_empty_directory_becomes_a_service_with_an_administrator() {
    let place = Place::empty();
    let server = place.serve().await;
    assert_eq!(place.mode(""), 0o700);
    for name in ["portwright.db", "signing-key.pem", "portwright.lock", "first-run.txt"] {
        assert_eq!(place.mode(name), 0o600, "{name}");
    }
    assert_eq!(place.first_run("email"), "admin@localhost");
    let admin = place.first_admin(&server).await;
    let me = admin.get("/auth/me").await.expect(200);
    assert_eq!((me["email"].as_str(), me["role"].as_str()), (Some("admin@localhost"), Some("admin")));

    let started = server.logged("started").await;
    assert_eq!(started["first_run_file"], "./data/first-run.txt");
    assert!(started["database"].as_str().is_some_and(|text| text.contains("(created, ")), "{started}");
}

#[tokio::test]
async fn no_password_and_no_token_is_ever_logged() {
    let place = Place::empty();
    let server = Server::start(place.command(["serve"]).env("RUST_LOG", "trace")).await;
    let admin = place.first_admin(&server).await;
    admin.post("/users", &crate::api::new_user("ada@example.com")).await.expect(201);
    admin.sign_in("ada@example.com", "another-wrong-password").await.expect(401);
    let refresh = json!({"refreshToken": admin.session["refreshToken"]});
    let renewed = admin.post("/auth/refresh", &refresh).await.expect(200);
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.log.contains("answered"), "there is a log");
    let tokens = [&admin.session, &renewed].map(|it| [&it["accessToken"], &it["refreshToken"]]);
    let mut secrets = vec![place.first_run("password"), PASSWORD.into(), "another-wrong-password".into()];
    secrets.extend(tokens.iter().flatten().map(|token| token.as_str().expect("a token").to_owned()));
    for secret in secrets {
        let line = ended.log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn a_restart_keeps_users_and_sessions_and_makes_no_second_administrator() {
    let place = Place::empty();
    let server = place.serve().await;
    let admin = place.first_admin(&server).await;
    let ada = server.api().registered("ada@example.com").await;
    assert_eq!(server.stop().await.code, Some(0));

    let server = place.serve().await;
    let (admin, ada) = (server.api().with_session(admin.session), server.api().with_session(ada.session));
    assert_eq!(admin.count_users().await, 2);
    assert_eq!(ada.get("/auth/me").await.expect(200)["email"], "ada@example.com");
    let refresh = json!({"refreshToken": ada.session["refreshToken"]});
    ada.post("/auth/refresh", &refresh).await.expect(200);
    assert_eq!(server.logged("started").await["first_run_file"], json!(null));
    assert!(!place.data("first-run.1.txt").exists());
}

#[tokio::test]
async fn a_person_at_a_terminal_is_shown_where_to_go_and_the_password_once() {
    let place = Place::empty();
    let mut command = place.command(["serve"]);
    command.env("APP_ENV", "development");
    let (terminal, mut child) = Terminal::run(command);
    let page = terminal.shows("Ctrl-C drains and stops").await;
    let password = place.first_run("password");
    for expected in [
        " · development · ready in ",
        "  API        http://127.0.0.1:",
        "  database   sqlite ./data/portwright.db (created, ",
        "  First run: created admin\n    email     admin@localhost\n",
        &format!("    password  {password}"),
        "(shown once; also in ./data/first-run.txt, mode 0600)",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    send(child.id().expect("it runs"), Signal::INT);
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
    assert_eq!(status.code(), Some(0));
    assert_eq!(terminal.left().await.matches(&password).count(), 1);

    let (terminal, _child) = Terminal::run(place.command(["serve"]));
    let page = terminal.shows("Ctrl-C drains and stops").await;
    assert!(!page.contains("First run") && !page.contains(&password), "{page}");
}

#[tokio::test]
async fn the_administrator_can_be_chosen() {
    let place = Place::empty();
    let mut command = place.command(["serve"]);
    command.env("ADMIN_EMAIL", "root@example.com").env("ADMIN_PASSWORD", PASSWORD);
    let server = Server::start(&mut command).await;
    let session = server.api().sign_in("root@example.com", PASSWORD).await.expect(200);
    assert_eq!(session["user"]["role"], "admin");
    assert!(!place.data("first-run.txt").exists(), "who gave the password knows it");
    assert_eq!(server.stop().await.code, Some(0));

    let server = Server::start(command.env("ADMIN_PASSWORD", "another-good-password-7")).await;
    server.api().sign_in("root@example.com", PASSWORD).await.expect(200);
    server.api().sign_in("root@example.com", "another-good-password-7").await.expect(401);
}

#[tokio::test]
async fn production_names_everything_that_it_misses_and_makes_nothing() {
    let place = Place::empty();
    let mut command = place.command(["serve"]);
    command.env("APP_ENV", "production").env("ADMIN_EMAIL", "root@example.com");
    let ran = crate::place::ran(&mut command, b"").await;
    ran.expect_failure(
        78,
        &[
            "error: JWT_PRIVATE_KEY_FILE is not set, and production does not make up a key\n",
            "error: only one of ADMIN_EMAIL and ADMIN_PASSWORD is set\n",
            "2 problems, nothing was started (exit 78)",
        ],
    );
    assert!(!place.data("").exists());
}

#[tokio::test]
async fn production_starts_with_a_secret_and_gets_its_administrator_from_the_operator() {
    let place = Place::empty();
    let production = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command
            .env("APP_ENV", "production")
            .env("HOST", "127.0.0.1")
            .env("SHUTDOWN_READY_DELAY", "0")
            .env("JWT_SECRET", "q3Yt0nR6dJ1vXw8Zb7sKf2uM5hLpA9eC");
        command
    };
    let server = Server::start(&mut production(&["serve"])).await;
    assert!(!place.data("first-run.txt").exists() && !place.data("signing-key.pem").exists());
    server.api().sign_in("admin@localhost", PASSWORD).await.expect(401);

    let create = ["users", "create-admin", "--email", "root@example.com", "--password-stdin"];
    crate::place::ran(&mut production(&create), format!("{PASSWORD}\n").as_bytes()).await.expect(0);
    let session = server.api().sign_in("root@example.com", PASSWORD).await.expect(200);
    let root = server.api().with_session(session);
    assert_eq!(root.count_users().await, 1);
    assert_eq!(server.stop().await.code, Some(0));
}
