//! Files in a bucket: the same binary, told where it is.

use portwright_testkit::servers::S3;

use crate::place::Place;
use crate::server::Server;

const BUCKET: [(&str, &str); 4] = [
    ("STORAGE_STRATEGY", "s3"),
    ("STORAGE_BUCKET_NAME", S3::BUCKET),
    ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
    ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
];

#[tokio::test]
async fn a_server_with_a_bucket_is_healthy_as_long_as_the_bucket_is_and_serves_without_it() {
    let (place, bucket) = (Place::empty(), S3::run());
    let endpoint = bucket.endpoint();
    let server =
        Server::start(place.command(["serve"]).envs(BUCKET).env("STORAGE_ENDPOINT", &endpoint)).await;
    let started = server.logged("started").await;
    assert_eq!(started["storage"], format!("s3 files at {endpoint}"));
    assert!(!place.data("storage").exists(), "nothing is kept here");
    let api = server.api();
    let health = api.get("/health").await.expect(200);
    assert_eq!(health["checks"]["storage"]["status"], "pass");
    assert_eq!(health["checks"]["breakers"]["details"]["storage"], "closed");
    bucket.stop();
    assert_eq!(api.get("/health").await.expect(200)["checks"]["storage"]["status"], "warn");
    assert_eq!(api.get("/health/ready").await.expect(200)["status"], "warn");
    bucket.start();
    assert_eq!(api.get("/health").await.expect(200)["checks"]["storage"]["status"], "pass");
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.log.contains(S3::SECRET_KEY));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_start() {
    let (place, bucket) = (Place::empty(), S3::run());
    let mut command = place.command(["serve"]);
    command.envs(BUCKET).env("STORAGE_ENDPOINT", bucket.endpoint()).env("STORAGE_BUCKET_NAME", "elsewhere");
    let ran = crate::place::ran(&mut command, b"").await;
    ran.expect_failure(78, &["there is no such bucket", "elsewhere"]);
}
