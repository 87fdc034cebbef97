//! Servers of somebody else's that cannot be used: a start says which, why, which variable led there, and all at once.

use portwright_testkit::servers::{Postgres, Redis, S3};

use crate::place::{Place, Ran, ran};

/// What is in no message, whatever goes wrong.
const SECRET: &str = "q3Yt0nR6dJ1v-canary";

/// What a start with these variables says; nothing of it is secret, and nothing was started.
pub(crate) async fn start(variables: &[(&str, &str)]) -> Ran {
    let place = Place::empty();
    let ran = ran(place.command(["serve"]).envs(variables.iter().copied()), b"").await;
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    assert!(!place.data("queue.db").exists(), "nothing is begun before everything can be reached");
    ran
}

/// A port where nobody listens.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port().to_string()
}

#[tokio::test]
async fn a_wrong_port_is_a_refused_connection_and_not_an_empty_pool() {
    let port = closed_port();
    let refused = start(&[("DB_HOST", "127.0.0.1"), ("DB_PORT", &port), ("DB_PASSWORD", SECRET)]).await;
    let expected = format!(
        "error: cannot reach PostgreSQL at 127.0.0.1:{port} (connection refused)\n  \
         from: DB_HOST=127.0.0.1 (environment), DB_PORT={port} (environment)\n  \
         fix:  is it 5432? `portwright doctor db` tries it\n\
         1 problem, nothing was started (exit 69)\n"
    );
    refused.expect(69);
    assert!(refused.stderr.ends_with(&expected), "{}", refused.stderr);
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_named() {
    let unknown = start(&[("DB_HOST", "nowhere.invalid")]).await;
    unknown.expect_failure(
        69,
        &["cannot reach PostgreSQL at nowhere.invalid:5432 (no such host)", "DB_HOST=nowhere.invalid"],
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_told_from_one_that_refuses() {
    // It takes connections, which is the kernel's doing, and never answers.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let silent = start(&[("DB_HOST", "127.0.0.1"), ("DB_PORT", &port)]).await;
    silent.expect_failure(69, &[&format!("PostgreSQL at 127.0.0.1:{port} (no answer in time)"), "firewall"]);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() {
    let server = Postgres::primary();
    server.user_with_password("app", "right");
    let port = server.port().to_string();
    let place = [("DB_HOST", "127.0.0.1"), ("DB_PORT", port.as_str())];
    for (more, said) in [
        (
            &[("DB_USER", "app"), ("DB_PASSWORD", SECRET)][..],
            &[
                "cannot sign in to PostgreSQL at 127.0.0.1",
                "password authentication failed for user \"app\"",
                "from: DB_USER=app (environment), DB_PASSWORD=*** (environment)",
            ][..],
        ),
        (
            &[("DB_NAME", "nope")],
            &[
                "cannot use PostgreSQL at",
                "database \"nope\" does not exist",
                "from: DB_NAME=nope (environment)",
            ],
        ),
        (
            &[("DB_SSLMODE", "require"), ("DB_NAME", "postgres")],
            &[
                "cannot reach PostgreSQL at",
                "it does not offer TLS",
                "from: DB_SSLMODE=require (environment)",
            ],
        ),
    ] {
        start(&[&place[..], more].concat()).await.expect_failure(78, said);
    }
}

#[tokio::test]
async fn a_url_is_named_and_its_password_is_not_shown() {
    let url = format!("postgres://me:{SECRET}@127.0.0.1:{}/app", closed_port());
    let refused = start(&[("DATABASE_URL", &url)]).await;
    refused.expect_failure(69, &["(connection refused)", "from: DATABASE_URL=*** (environment)"]);
}

#[tokio::test]
async fn a_bucket_tells_whether_the_keys_or_its_name_are_wrong() {
    let server = S3::run();
    let endpoint = server.endpoint();
    let right = [
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_ENDPOINT", endpoint.as_str()),
        ("STORAGE_BUCKET_NAME", S3::BUCKET),
        ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
        ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
    ];
    for (name, value, said) in [
        ("STORAGE_BUCKET_NAME", "elsewhere", &["cannot use S3 at", "there is no such bucket"][..]),
        ("STORAGE_SECRET_KEY", SECRET, &["cannot sign in to S3 at", "STORAGE_SECRET_KEY=***"]),
        ("STORAGE_ACCESS_KEY", "nobody", &["cannot sign in to S3 at", "STORAGE_ACCESS_KEY=nobody"]),
    ] {
        let variables = right.map(|(known, usual)| (known, if known == name { value } else { usual }));
        let refused = start(&variables).await;
        refused.expect_failure(78, said);
        assert!(refused.stderr.contains(&endpoint), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn a_redis_tells_whether_it_is_away_or_refuses_the_password() {
    let redis = Redis::with_options(&["--requirepass", "right"]);
    let port = redis.port().to_string();
    let place = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", port.as_str())];
    let at = format!("sign in to Redis at 127.0.0.1:{port}");
    let wrong = start(&[&place[..], &[("REDIS_PASSWORD", SECRET)]].concat()).await;
    wrong.expect_failure(78, &[&at, "from: REDIS_PASSWORD=*** (environment)"]);
    start(&place).await.expect_failure(78, &[&at, "NOAUTH", "set REDIS_PASSWORD"]);
    let url = format!("redis://:{SECRET}@127.0.0.1:{port}");
    start(&[("REDIS_URL", &url)]).await.expect_failure(78, &[&at, "from: REDIS_URL=*** (environment)"]);
    let number = [&place[..], &[("REDIS_PASSWORD", "right"), ("REDIS_DB", "999")]].concat();
    start(&number).await.expect_failure(78, &["cannot use Redis at", "DB index", "REDIS_DB=999"]);

    let closed = closed_port();
    let away = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", closed.as_str()), ("DB_HOST", "nowhere.invalid")];
    let said = format!("cannot reach Redis at 127.0.0.1:{closed} (connection refused)");
    start(&away).await.expect_failure(69, &[&said, "is it 6379?", "(no such host)", "2 problems"]);
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_in_one_run() {
    let (database, storage) = (closed_port(), closed_port());
    let endpoint = format!("http://127.0.0.1:{storage}");
    let down = [
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", database.as_str()),
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_ENDPOINT", &endpoint),
        ("STORAGE_BUCKET_NAME", "files"),
        ("STORAGE_ACCESS_KEY", "somebody"),
        ("STORAGE_SECRET_KEY", SECRET),
    ];
    let said = [
        format!("127.0.0.1:{database} (connection refused)"),
        format!("{endpoint}, bucket files (connection refused)"),
    ];
    let refused = start(&down).await;
    refused.expect_failure(69, &[&said[0], &said[1], "2 problems"]);
    // So it is where the configuration has problems of its own.
    let misspelt = start(&[&down[..], &[("COMPUTE_MIN_WORKER", "1")]].concat()).await;
    misspelt.expect_failure(78, &[&said[0], &said[1], "did you mean COMPUTE_MIN_WORKERS?", "3 problems"]);
}

#[tokio::test]
async fn commands_beside_a_server_say_the_same() {
    let place = Place::empty();
    let port = closed_port();
    for arguments in [&["migrate", "up"][..], &["migrate", "status"], &["users", "list"]] {
        let mut command = place.command(arguments);
        let said = ran(command.env("DB_HOST", "127.0.0.1").env("DB_PORT", &port), b"").await;
        said.expect_failure(69, &["(connection refused)", "DB_PORT="]);
    }
}
