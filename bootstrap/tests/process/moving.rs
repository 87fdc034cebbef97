//! Moving up: from SQLite and files of the host to PostgreSQL and a bucket, with everything that is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::access::Role;
use portwright_domain::avatar::PictureKind;
use portwright_domain::idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyRecord, Progress, RecordedAnswer,
};
use portwright_domain::ports::Store;
use portwright_sqlite::{SqliteConfig, SqliteStore};
use portwright_testkit::builders::{JobBuilder, SessionBuilder, UserBuilder};
use portwright_testkit::pictures::picture;
use portwright_testkit::servers::{Postgres, Redis, S3};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::place::{PATIENCE, Place, Ran, ran};
use crate::server::{Server, send};

/// A database and a bucket to move to.
struct Target {
    server: Postgres,
    database: String,
    bucket: S3,
}

impl Target {
    fn new() -> Self {
        let server = Postgres::primary();
        let database = server.fresh_database();
        Self { server, database, bucket: S3::run() }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("STORAGE_ENDPOINT", self.bucket.endpoint())];
        variables.extend(
            [
                ("STORAGE_STRATEGY", "s3"),
                ("STORAGE_BUCKET_NAME", S3::BUCKET),
                ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
                ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        variables
    }

    fn url(&self) -> String {
        self.server.url(&self.database)
    }

    fn sql(&self, statement: &str) -> String {
        self.server.sql_in(&self.database, statement)
    }
}

/// Moves what is here there.
fn command(place: &Place, target: &Target) -> tokio::process::Command {
    let mut command =
        place.command(["migrate", "--from", "sqlite://data/portwright.db", "--to", &target.url()]);
    command.envs(target.variables());
    command
}

async fn moved(place: &Place, target: &Target) -> Ran {
    ran(&mut command(place, target), b"").await
}

/// Every file below a folder with its content, but for those that say who holds a lock.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() && !name.ends_with("-shm") && !path.ends_with("portwright.lock") {
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    // An empty log says nothing.
    found.retain(|name, bytes| !name.ends_with("-wal") || !bytes.is_empty());
    found
}

/// Writes so many users into the database, each with a session, and some of everything else.
async fn fill(place: &Place, count: u32) {
    let store = SqliteStore::init(&SqliteConfig::at(place.data("portwright.db"))).await.expect("a store");
    let mut unit = store.begin().await.expect("begun");
    let at = Timestamp::from_unix_micros(1_790_000_000_123_456);
    let later = at.plus(Duration::from_hours(24));
    for number in 1..=count {
        let user = UserBuilder::number(number).created_at(at.plus(Duration::from_micros(number.into())));
        let user = match number % 4 {
            0 => user.named("Łucja 🦀", "O'Brien\u{a0}ß").verified(),
            1 => user.with_role(Role::Moderator).last_seen(at),
            2 => user.inactive(),
            _ => user,
        };
        let user = user.build();
        unit.users().insert(&user).await.expect("a user");
        let session = SessionBuilder::number(number, &user).expires_at(later).build();
        unit.sessions().insert(&session).await.expect("a session");
    }
    for (number, progress) in [
        Progress::Running,
        Progress::Withheld,
        Progress::Answered(RecordedAnswer {
            status: 201,
            headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
            body: vec![0, 159, 146, 150].into(),
        }),
    ]
    .into_iter()
    .enumerate()
    {
        let key = IdempotencyKey { scope: format!("user/{number} POST /Users"), key: format!("K~{number}") };
        let (fingerprint, begun_at) = (Fingerprint([7; 32]), later.minus(Duration::from_mins(1)));
        let record = IdempotencyRecord { key, fingerprint, progress, begun_at, expires_at: later };
        unit.idempotency().insert(&record).await.expect("a key");
    }
    let job = JobBuilder::number(7).with_payload(vec![255, 0, 10]).scheduled_for(later).unique_by("one");
    unit.outbox().enqueue(&job.build()).await.expect("a job");
    unit.commit().await.expect("committed");
    store.close().await;
}

/// Waits until this is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn state_of(api: &Api, job: &str) -> Value {
    api.get(&format!("/jobs/{job}")).await.expect(200)["state"].clone()
}

#[tokio::test]
async fn everything_is_there_after_the_move_and_goes_on_where_it_was() {
    let (place, target) = (Place::empty(), Target::new());
    let workers = [("COMPUTE_AUTO_SPAWN", "true"), ("COMPUTE_MAX_WORKERS", "1")];
    let server = Server::start(place.command(["serve"]).envs(workers)).await;
    let admin = place.first_admin(&server).await;
    let id = admin.get("/auth/me").await.expect(200)["id"].as_str().expect("an id").to_owned();
    let avatar = format!("/users/{id}/avatar");
    admin.put_picture(&avatar, picture(PictureKind::Png, 300, 200), "wait=20").await.expect(200);
    let seen = admin.bytes(&avatar).await;
    // This one waits until after the move.
    place.run(["jobs", "pause", "cpu"]).await.expect(0);
    let job = admin.begin("/compute/primes", &json!({"below": 100})).await;
    assert_eq!(server.stop().await.code, Some(0));
    fill(&place, 1_200).await;

    let before = content(&place.data(""));
    let report = moved(&place, &target).await;
    let report = report.expect(0);
    for said in ["1201 users", "1201 sessions", "3 idempotency keys", "stay in", "was not changed"] {
        assert!(report.contains(said), "{said} is not in\n{report}");
    }
    assert_eq!(content(&place.data("")), before, "the source is only read");
    let again = moved(&place, &target).await;
    assert!(again.expect(0).contains("nothing was changed"), "{}", again.stdout);

    let mut command = place.command(["serve"]);
    command.envs(target.variables()).envs(workers).env("DATABASE_URL", target.url());
    let server = Server::start(&mut command).await;
    let admin = server.api().with_session(admin.session);
    let refresh = json!({"refreshToken": admin.session["refreshToken"]});
    let admin = admin.with_session(admin.post("/auth/refresh", &refresh).await.expect(200));
    assert_eq!(admin.count_users().await, 1_201);
    assert_eq!(admin.bytes(&avatar).await, seen);
    assert_eq!(state_of(&admin, &job).await, "ready");
    place.run(["jobs", "resume", "cpu"]).await.expect(0);
    until("the job is run", async || state_of(&admin, &job).await == "succeeded").await;
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_move_that_was_killed_goes_on_and_what_changed_meanwhile_is_found() {
    let (place, target) = (Place::empty(), Target::new());
    place.run(["migrate", "up"]).await.expect(0);
    fill(&place, 2_500).await;
    let mut child = command(&place, &target).spawn().expect("it runs");
    until("the first batch is there", async || {
        target.sql("SELECT to_regclass('users') IS NOT NULL") == "t"
            && target.sql("SELECT count(*) FROM users") != "0"
    })
    .await;
    send(child.id().expect("it runs"), Signal::KILL);
    child.wait().await.expect("it ended");
    assert_eq!(target.sql("SELECT done_at IS NULL FROM moves"), "t", "it was in the middle");

    // Somebody else's hand in it.
    let number = "email = 'user1@example.com'";
    target.sql(&format!("UPDATE users SET first_name = 'Eve' WHERE {number}"));
    let differs = moved(&place, &target).await;
    differs.expect_failure(1, &["the 2500 users that are there are not those that were carried"]);
    target.sql(&format!("UPDATE users SET first_name = 'Ada' WHERE {number}"));
    let report = moved(&place, &target).await;
    assert!(report.expect(0).contains("2500 users"), "{}", report.stdout);
    assert_eq!(target.sql("SELECT count(*) FROM sessions"), "2500");
    assert_eq!(target.sql("SELECT done_at IS NULL FROM moves"), "f");
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_before_anything_is_written() {
    let (place, target) = (Place::empty(), Target::new());
    moved(&place, &target).await.expect_failure(2, &["there is no database data/portwright.db"]);
    let server = place.serve().await;
    moved(&place, &target).await.expect_failure(75, &["another server"]);
    assert_eq!(server.stop().await.code, Some(0));
    let nowhere = place.run(["migrate", "--from", "sqlite://data/portwright.db"]).await;
    nowhere.expect_failure(2, &["no PostgreSQL database to move to", "--to"]);
    assert_eq!(target.sql("SELECT to_regclass('users') IS NULL"), "t");

    // Somebody lives there already.
    let other = Place::empty();
    let mut serve = other.command(["serve"]);
    let theirs = Server::start(serve.env("DATABASE_URL", target.url())).await;
    let refused = moved(&place, &target).await;
    refused.expect_failure(78, &["the database has something in it that is not from there"]);
    assert_eq!(theirs.stop().await.code, Some(0));
}

#[tokio::test]
async fn to_another_data_directory_the_queue_is_copied() {
    let (place, target) = (Place::empty(), Target::new());
    let server = place.serve().await;
    let admin = place.first_admin(&server).await;
    admin.begin("/compute/primes", &json!({"below": 100})).await;
    assert_eq!(server.stop().await.code, Some(0));
    let mut elsewhere = command(&place, &target);
    let report = ran(elsewhere.env("DATA_DIR", "elsewhere"), b"").await;
    assert!(report.expect(0).contains("1 jobs"), "{}", report.stdout);
    assert!(report.stdout.contains("JWT_PRIVATE_KEY_FILE="), "{}", report.stdout);
    let mut serve = place.command(["serve"]);
    serve.envs(target.variables()).env("DATABASE_URL", target.url()).env("DATA_DIR", "elsewhere");
    let server = Server::start(serve.env("JWT_PRIVATE_KEY_FILE", place.data("signing-key.pem"))).await;
    let admin = server.api().with_session(admin.session);
    let jobs = admin.get("/jobs").await.expect(200);
    assert_eq!(jobs["data"][0]["state"], "ready", "{jobs}");
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test]
async fn to_another_queue_jobs_go_that_have_not_ended() {
    let (place, target, redis) = (Place::empty(), Target::new(), Redis::new());
    let server = place.serve().await;
    let admin = place.first_admin(&server).await;
    let cancelled = admin.begin("/compute/primes", &json!({"below": 10})).await;
    place.run(["jobs", "cancel", "--yes", &cancelled]).await.expect(0);
    let job = admin.begin("/compute/primes", &json!({"below": 100})).await;
    place.run(["jobs", "pause", "cpu"]).await.expect(0);
    assert_eq!(server.stop().await.code, Some(0));

    let report = ran(command(&place, &target).env("REDIS_URL", redis.url()), b"").await;
    assert!(report.expect(0).contains("1 jobs"), "{}", report.stdout);
    assert!(report.stdout.contains("1 that have ended stay behind"), "{}", report.stdout);
    let mut serve = place.command(["serve"]);
    serve.envs(target.variables()).env("DATABASE_URL", target.url()).env("REDIS_URL", redis.url());
    let server = Server::start(serve.env("COMPUTE_AUTO_SPAWN", "true").env("COMPUTE_MAX_WORKERS", "1")).await;
    let admin = server.api().with_session(admin.session);
    assert_eq!(state_of(&admin, &job).await, "ready", "its queue is still paused");
    let mut resume = place.command(["jobs", "resume", "cpu"]);
    ran(resume.env("REDIS_URL", redis.url()), b"").await.expect(0);
    until("the job is run", async || state_of(&admin, &job).await == "succeeded").await;
    assert_eq!(server.stop().await.code, Some(0));
}
