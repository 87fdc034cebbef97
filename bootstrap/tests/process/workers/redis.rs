//! Jobs in Redis: servers and workers that share them, wherever they run, and what becomes of them without it.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::avatar::PictureKind;
use portwright_domain::job::JobState;
use portwright_domain::ports::job_queue::Limits;
use portwright_redis::{RedisConfig, RedisJobQueue};
use portwright_testkit::pictures::picture;
use portwright_testkit::servers::{Redis, Stop};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Jobs, LEASE, by_hand, children, is_alive, ready_workers, until};
use crate::api::{Answer, Api};
use crate::common::Common;
use crate::place::{Place, ran};
use crate::server::{Server, send};

/// Starts a server with these many workers on nothing but a Redis.
async fn serve_with_workers(place: &Place, redis: &Redis, count: usize) -> Server {
    let mut command = place.server_with_workers(count, count);
    let server = Server::start(command.env("REDIS_URL", redis.url()).env_remove("SHUTDOWN_TIMEOUT")).await;
    ready_workers(&server, count).await;
    server
}

async fn ask_for_primes(api: &Api) -> Answer {
    api.post("/compute/primes", &json!({"below": 100})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_redis_keeps_no_queue_and_its_workers_and_commands_ask_redis() {
    let (place, redis) = (Place::empty(), Redis::new());
    let server = serve_with_workers(&place, &redis, 1).await;
    let queue = server.logged("started").await["queue"].clone();
    assert_eq!(queue, format!("redis 127.0.0.1:{}", redis.port()));
    assert!(!place.data("queue.db").exists() && !place.data("queue.sock").exists());
    let user = server.api().registered("ada@example.com").await;
    let body = ask_for_primes(&user).await.expect(200);
    assert_eq!(body["result"]["count"], 25);
    let health = server.api().get("/health").await.expect(200);
    for check in ["redis", "queues", "workers", "breakers"] {
        assert_eq!(health["checks"][check]["status"], "pass", "{health}");
    }

    let list = ran(place.command(["jobs", "ls"]).env("REDIS_URL", redis.url()), b"").await;
    assert!(list.expect(0).contains(body["job"]["id"].as_str().expect("an id")), "{}", list.stdout);
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let list = ran(place.command(["jobs", "ls", "--json"]).env("REDIS_URL", redis.url()), b"").await;
    assert_eq!(list.expect(0).lines().count(), 1, "no server is needed for that");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_and_workers_elsewhere_share_jobs_sessions_and_what_was_counted() {
    let common = Common::new();
    let [here, there, elsewhere, farther] = std::array::from_fn(|_| Place::empty());
    let one = Server::start(&mut common.on(&here, "serve")).await;
    let two = Server::start(&mut common.on(&there, "serve")).await;
    let worker = by_hand::start(common.on(&elsewhere, "worker").env("COMPUTE_CONCURRENCY", "1"));

    let ada = one.api().registered("ada@example.com").await;
    let job = ask_for_primes(&ada).await.expect(200)["job"].clone();
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    let seen = two.api().with_session(ada.session.clone()).get(&path).await.expect(200);
    assert_eq!((&seen["state"], &seen["attempts"]), (&json!("succeeded"), &json!(1)));

    // Whoever dies holding a job is replaced by whoever is there.
    let jobs = common.jobs(&here).await;
    let long = jobs.take_time("long", Duration::from_secs(4)).await;
    let begun = jobs.traced("long", "begin", 1).await;
    assert_eq!(Some(begun.pid), worker.id());
    let other = by_hand::start(&mut common.on(&farther, "worker"));
    jobs.take_time("meanwhile", Duration::ZERO).await;
    assert_eq!(Some(jobs.traced("meanwhile", "begin", 1).await.pid), other.id());
    let died = Instant::now();
    send(begun.pid, Signal::KILL);
    let again = jobs.traced("long", "begin", 2).await;
    assert_eq!(Some(again.pid), other.id());
    assert!(died.elapsed() < LEASE + Duration::from_millis(1_500), "{:?}", died.elapsed());
    assert!(again.run > begun.run);
    jobs.until_state(long, JobState::Succeeded).await;

    // What one of them counted, the other shows; and a pause of one is seen by the other.
    let admin = here.first_admin(&one).await;
    let admin_there = two.api().with_session(admin.session.clone());
    let key = "{portwright}:cache:queues:all";
    until("the counts are kept for longer than a second", async || {
        admin.get("/queues").await.expect(200);
        let found = common.redis.command(&format!("KEYS {key}*"));
        !found.is_empty() && common.redis.command(&format!("PERSIST {found}")) == "1"
    })
    .await;
    let counted = admin.get("/queues").await.expect(200);
    jobs.take_time("later", Duration::from_secs(3)).await;
    assert_eq!(admin_there.get("/queues").await.expect(200), counted);
    admin_there.post("/queues/cpu/pause", &Value::Null).await.expect(204);
    let told = admin.get("/queues").await.expect(200);
    assert!(told["data"].as_array().expect("queues").iter().any(|queue| queue["paused"] == true), "{told}");

    assert_eq!(by_hand::stopped(other, Signal::INT).await, Some(0));
    assert_eq!(one.stop().await.code, Some(0));
    assert_eq!(two.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_calls_are_refused_at_once_and_two_seconds_after_its_return_they_work() {
    let (place, redis) = (Place::empty(), Redis::new());
    let server = serve_with_workers(&place, &redis, 1).await;
    let user = server.api().registered("ada@example.com").await;
    let workers = children(server.pid());
    redis.stop(Stop::Kill);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let asked = Instant::now();
        let answer = ask_for_primes(&user).await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
        assert_eq!(answer.expect(503)["code"], "queue-unavailable");
        fastest = fastest.min(took);
    }
    assert!(fastest < Duration::from_millis(100), "nobody waits before an open breaker: {fastest:?}");
    let asked = Instant::now();
    user.get("/auth/me").await.expect(200);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    assert_eq!(server.api().get("/health/ready").await.expect(200)["status"], "warn");
    let checks = server.api().get("/health").await.expect(200)["checks"].clone();
    assert_eq!((&checks["redis"]["status"], &checks["queues"]["status"]), (&json!("warn"), &json!("warn")));

    redis.start();
    let back = Instant::now();
    until("calls work again", async || ask_for_primes(&user).await.status == 200).await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    until("everything is well again", async || {
        server.api().get("/health/ready").await.expect(200)["status"] == "pass"
    })
    .await;
    assert_eq!(children(server.pid()), workers, "they waited");
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_transaction_outlives_a_redis_that_loses_everything() {
    let (place, redis) = (Place::empty(), Redis::new());
    let server = serve_with_workers(&place, &redis, 1).await;
    let admin = place.first_admin(&server).await;
    admin.post("/queues/cpu/pause", &Value::Null).await.expect(204);
    let id = admin.get("/auth/me").await.expect(200)["id"].clone();
    let avatar = format!("/users/{}/avatar", id.as_str().expect("an id"));
    let png = picture(PictureKind::Png, 300, 200);
    let job = admin.put_picture(&avatar, png, "respond-async").await.expect(202)["id"].clone();
    let job = format!("/jobs/{}", job.as_str().expect("an id"));
    until("the queue has it", async || admin.get(&job).await.status == 200).await;

    // What was paused is forgotten, too.
    redis.command("FLUSHALL");
    admin.get(&job).await.expect(404);
    until("it is there again, and done", async || {
        let answer = admin.get(&job).await;
        answer.status == 200 && answer.body["state"] == "succeeded"
    })
    .await;
    assert!(!admin.bytes(&avatar).await.is_empty());
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_server_and_its_workers_stop_within_ten_seconds() {
    let (place, redis) = (Place::empty(), Redis::new());
    let server = serve_with_workers(&place, &redis, 2).await;
    let config = RedisConfig::at([redis.url()]).expect("a URL");
    let queue = RedisJobQueue::init(&config, Limits::default()).await.expect("it opens");
    let jobs = Jobs::of(Arc::new(queue), &place);
    let job = jobs.take_time("job", Duration::from_secs(1)).await;
    jobs.traced("job", "begin", 1).await;
    let workers = children(server.pid());
    redis.stop(Stop::Kill);
    // Its end is known to nobody.
    jobs.traced("job", "end", 1).await;

    let told = Instant::now();
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert!(!workers.iter().any(|pid| is_alive(*pid)));

    redis.start();
    let server = serve_with_workers(&place, &redis, 1).await;
    jobs.until_state(job, JobState::Succeeded).await;
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_refuses_us_or_may_lose_jobs_is_no_start() {
    let place = Place::empty();
    let redis = Redis::without_aof();
    let on = |url: String| {
        let mut command = place.command(["serve"]);
        command.env("REDIS_URL", url);
        command
    };
    let address = format!("127.0.0.1:{}", redis.port());
    let refused = ran(&mut on(redis.url()), b"").await;
    refused.expect_failure(78, &[&address, "appendonly yes", "REDIS_MAY_LOSE_JOBS=true"]);
    let started = Server::start(on(redis.url()).env("REDIS_MAY_LOSE_JOBS", "true")).await;
    assert_eq!(started.logged("started").await["queue"], format!("redis {address} (may lose jobs)"));
    assert_eq!(started.stop().await.code, Some(0));

    let guarded = Redis::with_options(&["--requirepass", "hunter2"]);
    let wrong = format!("redis://:hunter3@127.0.0.1:{}", guarded.port());
    let refused = ran(&mut on(wrong), b"").await;
    refused.expect_failure(78, &["cannot sign in to Redis at 127.0.0.1", "REDIS_URL"]);
    assert!(!refused.stderr.contains("hunter"), "{}", refused.stderr);

    redis.stop(Stop::Kill);
    let began = Instant::now();
    ran(&mut on(redis.url()), b"").await.expect_failure(69, &[&address, "connection refused", "REDIS_URL"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_needs_no_redis_to_make_an_administrator() {
    let (place, redis) = (Place::empty(), Redis::new());
    place.serve().await.stop().await;
    redis.stop(Stop::Kill);
    let mut command = place.command(["users", "set-role", "--email", "admin@localhost", "--role", "admin"]);
    ran(command.env("REDIS_URL", redis.url()), b"").await.expect(0);
}
