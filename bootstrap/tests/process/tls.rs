//! Servers as managed services have them, which take nobody without TLS: the whole product on them, also after each was
//! restarted.

use std::fs;
use std::path::Path;

use portwright_domain::avatar::PictureKind;
use portwright_testkit::pictures::picture;
use portwright_testkit::servers::{Authority, Postgres, Redis, S3, Stop};
use reqwest::Method;
use serde_json::json;

use crate::api::Api;
use crate::doctor::doctor;
use crate::place::Place;
use crate::server::Server;
use crate::workers::until;

mod refused;

/// Everything that a server needs, over TLS alone.
struct Services {
    postgres: Postgres,
    redis: Redis,
    bucket: S3,
}

impl Services {
    fn run(authority: &Authority) -> Self {
        let certificate = authority.certify();
        Self {
            postgres: Postgres::over_tls(&certificate),
            redis: Redis::over_tls(&certificate),
            bucket: S3::over_tls(&certificate),
        }
    }

    /// The variables that lead to them, and to whom they may be trusted.
    fn variables(&self, authorities: &Path) -> Vec<(&'static str, String)> {
        let authorities = authorities.to_str().expect("UTF-8");
        let (port, endpoint) = (self.postgres.port().to_string(), self.bucket.endpoint());
        [
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", &port),
            ("DB_NAME", "postgres"),
            ("DB_SSLMODE", "verify-full"),
            ("REDIS_URL", &self.redis.url()),
            ("STORAGE_STRATEGY", "s3"),
            ("STORAGE_ENDPOINT", &endpoint),
            ("STORAGE_BUCKET_NAME", S3::BUCKET),
            ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
            ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
            ("SSL_CERT_FILE", authorities),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    /// Our sessions at the database: those over TLS, and others.
    fn sessions(&self) -> (u32, u32) {
        const OURS: &str = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl \
             JOIN pg_stat_activity USING (pid) WHERE application_name = 'portwright'";
        let answer = self.postgres.sql(OURS);
        let (encrypted, plain) = answer.split_once('|').expect("two columns");
        (encrypted.parse().expect("a number"), plain.parse().expect("a number"))
    }
}

/// A picture of the user, which a worker makes from what was sent: its bytes.
async fn pictured(api: &Api, avatar: &str, width: u32) -> Vec<u8> {
    let png = picture(PictureKind::Png, width, 200);
    api.put_picture(avatar, png, "wait=25").await.expect(200);
    api.bytes(&format!("{avatar}?size=64")).await
}

#[tokio::test]
async fn everything_works_over_tls_and_again_after_each_server_was_restarted() {
    let (place, authority) = (Place::empty(), Authority::new());
    let services = Services::run(&authority);
    let variables = services.variables(authority.file());
    let mut command = place.command(["serve"]);
    command.envs(variables).env("COMPUTE_AUTO_SPAWN", "true").env("COMPUTE_MAX_WORKERS", "1");
    let server = Server::start(&mut command).await;
    let api = server.api();
    until("it is ready", async || api.get("/health/ready").await.status == 200).await;
    let admin = place.first_admin(&server).await;
    let id = admin.get("/auth/me").await.expect(200)["id"].as_str().expect("an id").to_owned();
    let (user, avatar) = (format!("/users/{id}"), format!("/users/{id}/avatar"));
    let renamed = json!({"firstName": "Grace"});
    admin.send(Method::PATCH, &user, Some(&renamed)).await.expect("an answer").expect(200);
    let first = pictured(&admin, &avatar, 300).await;
    let (encrypted, plain) = services.sessions();
    assert!(encrypted > 0 && plain == 0, "{encrypted} sessions with TLS, {plain} without");
    // There is no port without TLS, and no other way to both.
    assert_eq!(services.redis.command("CONFIG GET port"), "port 0");
    assert!(!services.bucket.keys("").is_empty());

    // Whoever has authorities of several kinds names a file and a folder.
    let (stranger, folder) = (Authority::new(), place.path().join("authorities"));
    fs::create_dir(&folder).expect("a folder");
    fs::copy(authority.file(), folder.join("ours.pem")).expect("copied");
    let variables = services.variables(stranger.file());
    let mut told: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    told.push(("SSL_CERT_DIR", folder.to_str().expect("UTF-8")));
    let found = doctor(&place, None, &told).await;
    found.expect_health();
    for check in ["db.primary", "redis.reach", "redis.primary", "storage.write"] {
        assert_eq!(found.with(check, "pass").len(), 1, "{check}: {:#?}", found.checks);
    }

    services.postgres.stop(Stop::Fast);
    services.redis.stop(Stop::Fast);
    services.bucket.stop();
    services.postgres.start();
    services.redis.start();
    services.bucket.start();
    until("the database answers", async || admin.get(&user).await.status == 200).await;
    until("Redis answers", async || admin.get("/health/ready").await.body["status"] == "pass").await;
    assert_eq!(admin.get(&user).await.expect(200)["firstName"], "Grace");
    assert_ne!(pictured(&admin, &avatar, 900).await, first);
    let (encrypted, plain) = services.sessions();
    assert!(encrypted > 0 && plain == 0, "{encrypted} sessions with TLS, {plain} without");
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.log.contains(S3::SECRET_KEY));
}
