//! Connections over TLS that do not come about, or must not: a start and `portwright doctor` say whose fault it is.

use portwright_testkit::servers::{Authority, Certificate, Postgres, Redis, S3};

use super::Services;
use crate::doctor::doctor;
use crate::place::Place;
use crate::unreachable::start;

/// What is in no message.
const SECRET: &str = "q3Yt0nR6dJ1v-canary";

/// A start with these variables is refused with all of this, and so is a look at this topic.
async fn refused(topic: &str, variables: &[(&str, &str)], said: &[&str]) {
    start(variables).await.expect_failure(78, said);
    let found = doctor(&Place::empty(), Some(topic), variables).await;
    let failed = found.with(&format!("{topic}.reach"), "fail");
    assert!(failed[0]["what"].as_str().expect("a text").contains(said[0]), "{:#?}", found.checks);
}

/// The variables of a bucket at this place.
fn bucket_at(endpoint: &str) -> [(&str, &str); 5] {
    [
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_ENDPOINT", endpoint),
        ("STORAGE_BUCKET_NAME", S3::BUCKET),
        ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
        ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
    ]
}

/// The variables of a database of this server.
fn database_at<'a>(port: &'a str, mode: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", port),
        ("DB_NAME", "postgres"),
        ("DB_PASSWORD", SECRET),
        ("DB_SSLMODE", mode),
    ]
}

#[tokio::test]
async fn an_authority_that_nobody_here_knows_is_told_with_the_file_to_name_it_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let services = Services::run(&stranger);
    let file = authority.file().to_str().expect("UTF-8");
    let trusting = ("SSL_CERT_FILE", file);
    let said = "its certificate is signed by an authority that is not trusted here";
    let port = services.postgres.port().to_string();
    for mode in ["verify-ca", "verify-full"] {
        let variables = [&database_at(&port, mode)[..], &[trusting]].concat();
        let from = format!("DB_SSLMODE={mode} (environment)");
        refused(
            "db",
            &variables,
            &[said, &from, "in DB_SSLROOTCERT, or in the environment in SSL_CERT_FILE"],
        )
        .await;
    }
    let url = format!("postgres://postgres:{SECRET}@127.0.0.1:{port}/postgres?sslmode=verify-full");
    let variables = [("DATABASE_URL", url.as_str()), trusting];
    refused("db", &variables, &[said, "DATABASE_URL=***", "sslrootcert="]).await;

    let url = services.redis.url().replace("//", &format!("//:{SECRET}@"));
    let variables = [("REDIS_URL", url.as_str()), trusting];
    refused("redis", &variables, &[said, "REDIS_URL=***", "SSL_CERT_FILE in the environment"]).await;

    let endpoint = services.bucket.endpoint();
    let variables = [&bucket_at(&endpoint)[..], &[trusting]].concat();
    let from = format!("STORAGE_ENDPOINT={endpoint} (environment)");
    refused("storage", &variables, &[said, &from, "SSL_CERT_FILE in the environment"]).await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_told_with_the_names_that_it_has() {
    let authority = Authority::new();
    let certificate = authority.certify_host("db.elsewhere.example");
    let trusting = ("SSL_CERT_FILE", authority.file().to_str().expect("UTF-8"));
    let said = "its certificate is not for \"127.0.0.1\"";
    let name = "db.elsewhere.example";

    let server = Postgres::over_tls(&certificate);
    let port = server.port().to_string();
    let variables = [&database_at(&port, "verify-full")[..], &[trusting]].concat();
    refused("db", &variables, &[said, name, "DB_HOST=127.0.0.1", "a name that the certificate has"]).await;
    let redis = Redis::over_tls(&certificate);
    let url = redis.url();
    refused("redis", &[("REDIS_URL", url.as_str()), trusting], &[said, name, "set REDIS_URL to a name"])
        .await;
    let bucket = S3::over_tls(&certificate);
    let endpoint = bucket.endpoint();
    let variables = [&bucket_at(&endpoint)[..], &[trusting]].concat();
    refused("storage", &variables, &[said, name, "set STORAGE_ENDPOINT to a name"]).await;

    // As libpq documents it.
    for mode in ["allow", "prefer", "require", "verify-ca"] {
        let variables = [&database_at(&port, mode)[..], &[trusting]].concat();
        let found = doctor(&Place::empty(), Some("db"), &variables).await;
        assert_eq!(found.with("db.primary", "pass").len(), 1, "{mode}: {:#?}", found.checks);
    }
}

#[tokio::test]
async fn an_authority_may_be_named_for_the_database_alone() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Postgres::over_tls(&authority.certify());
    let port = server.port().to_string();
    let file = |authority: &Authority| authority.file().to_str().expect("UTF-8").to_owned();
    let (right, wrong) = (file(&authority), file(&stranger));
    let url = |query: &str| format!("postgres://postgres@127.0.0.1:{port}/postgres?{query}");
    for (query, is_trusted) in [
        (format!("sslmode=verify-full&sslrootcert={right}"), true),
        (format!("sslrootcert={right}"), true),
        // Alone it would take any certificate.
        (format!("sslmode=require&sslrootcert={wrong}"), false),
        ("sslmode=require".to_owned(), true),
        ("sslmode=require&sslrootcert=system".to_owned(), false),
    ] {
        let found = doctor(&Place::empty(), Some("db"), &[("DATABASE_URL", &url(&query))]).await;
        assert_eq!(found.with("db.primary", "pass").len() == 1, is_trusted, "{query}: {:#?}", found.checks);
    }
    let variables = [&database_at(&port, "prefer")[..], &[("DB_SSLROOTCERT", wrong.as_str())]].concat();
    let said = "signed by an authority that is not trusted here";
    refused(
        "db",
        &variables,
        &[said, "name a file with the certificate of that authority in DB_SSLROOTCERT"],
    )
    .await;
}

#[tokio::test]
async fn servers_without_tls_are_told_from_servers_that_are_away() {
    let (postgres, redis, bucket) = (Postgres::primary(), Redis::new(), S3::run());
    let said = "it does not offer TLS";
    let port = postgres.port().to_string();
    refused("db", &database_at(&port, "verify-full"), &[said, "from: DB_SSLMODE=verify-full"]).await;
    let url = redis.url().replace("redis://", &format!("rediss://:{SECRET}@"));
    refused("redis", &[("REDIS_URL", &url)], &[said, "from: REDIS_URL=***"]).await;
    let endpoint = bucket.endpoint().replace("http://", "https://");
    refused("storage", &bucket_at(&endpoint), &[said, "from: STORAGE_ENDPOINT=https://"]).await;
}

#[tokio::test]
async fn servers_that_take_nobody_without_tls_are_told_with_how_to_ask_for_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    // Also where their certificate would not be trusted.
    for trusted in [&authority, &stranger] {
        only_tls(&authority.certify(), ("SSL_CERT_FILE", trusted.file().to_str().expect("UTF-8"))).await;
    }
}

async fn only_tls(certificate: &Certificate, authorities: (&str, &str)) {
    let said = "it takes nobody without TLS";
    let postgres = Postgres::over_tls(certificate);
    let port = postgres.port().to_string();
    let variables = [&database_at(&port, "disable")[..], &[authorities]].concat();
    refused("db", &variables, &[said, "from: DB_SSLMODE=disable", "set DB_SSLMODE to verify-full"]).await;
    let redis = Redis::over_tls(certificate);
    let url = redis.url().replace("rediss://", &format!("redis://:{SECRET}@"));
    refused("redis", &[("REDIS_URL", &url), authorities], &[said, "set REDIS_URL to rediss://"]).await;
    let port = redis.port().to_string();
    let parts = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", port.as_str()), authorities];
    refused("redis", &parts, &[said, "set REDIS_URL to rediss://"]).await;
    let bucket = S3::over_tls(certificate);
    let endpoint = bucket.endpoint().replace("https://", "http://");
    let variables = [&bucket_at(&endpoint)[..], &[authorities]].concat();
    refused("storage", &variables, &[said, "begins with https://"]).await;
}
