//! Limits that processes share: exact while Redis answers, and what was chosen while it does not.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod stage;

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::num::NonZeroU32;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portwright_domain::ports::{Decision, Quota, RateKey, RateLimiter};
use portwright_layers::{Fallback, Layers, Policy, WhenAway};
use portwright_memory::{MemoryRateLimiter, SystemClock};
use portwright_redis::{RedisConfig, RedisConnection, RedisRateLimiter};
use portwright_testkit::proxy::Trouble;
use portwright_testkit::servers::{Redis, Stop};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::stage::{Stage, Watch, median, until};

const MINUTE: Duration = Duration::from_mins(1);
const TEN: Quota = Quota { limit: 10, window: MINUTE };
const PROCESSES: NonZeroU32 = NonZeroU32::new(3).expect("not 0");

fn client(policy: &'static str, client: &str) -> RateKey {
    RateKey { policy, client: client.to_owned() }
}

/// A limiter with what every policy falls back to; the sign-in policy is stricter, as it is in the product.
fn limits(stage: &Stage, policy: Policy) -> (Arc<dyn RateLimiter>, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    let local = Arc::new(MemoryRateLimiter::new(1_000, Arc::new(SystemClock)));
    let fallback = Fallback::new(local, WhenAway::Local(PROCESSES))
        .with("login", WhenAway::Local(PROCESSES.saturating_mul(NonZeroU32::MIN.saturating_add(1))))
        .with("open", WhenAway::Open)
        .with("closed", WhenAway::Closed);
    let redis = Arc::new(RedisRateLimiter::on(&stage.redis));
    (Layers::new(watch.clone()).shared_rate_limiter(redis, policy, fallback), watch)
}

/// Patience for a machine that is busy with other tests.
fn patient() -> Policy {
    Policy { deadline: Duration::from_secs(2), ..Policy::REMOTE }
}

async fn take(limiter: &dyn RateLimiter, key: &RateKey) -> Decision {
    limiter.take(key, TEN).await.expect("there is always a decision")
}

/// How many of thirty are granted.
async fn granted(limiter: &dyn RateLimiter, key: &RateKey) -> usize {
    let mut granted = 0;
    for _ in 0..30 {
        granted += usize::from(take(limiter, key).await.allowed);
    }
    granted
}

/// How often something else has decided.
fn fell_back(watch: &Watch) -> u64 {
    watch.fallbacks.load(Ordering::Relaxed)
}

/// Until it is the shared limiter that decides.
async fn until_shared(limiter: &dyn RateLimiter, watch: &Watch) {
    until(async || {
        let before = fell_back(watch);
        limiter.peek(&client("default", "nobody"), TEN).await.expect("there is always a decision");
        fell_back(watch) == before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_each_policy_does_what_was_chosen_for_it() {
    let stage = Stage::new().await;
    let (limiter, watch) = limits(&stage, patient());
    for policy in ["default", "login", "open", "closed"] {
        assert_eq!(granted(&*limiter, &client(policy, "before")).await, 10, "{policy}");
    }
    assert_eq!(fell_back(&watch), 0);
    for name in ["stopped", "silent"] {
        match name {
            "stopped" => stage.server.stop(Stop::Kill),
            _ => stage.proxy.trouble(Trouble::Blackhole),
        }
        for (policy, expected) in [("default", 3), ("login", 1), ("open", 30), ("closed", 0)] {
            assert_eq!(granted(&*limiter, &client(policy, name)).await, expected, "{policy}, {name}");
        }
        assert!(watch.has_opened() && fell_back(&watch) >= 120);
        match name {
            "stopped" => stage.server.start(),
            _ => stage.proxy.heal(),
        }
        until_shared(&*limiter, &watch).await;
        // The shared counts have seen nothing of it, and have forgotten nothing.
        for policy in ["default", "login", "open", "closed"] {
            assert_eq!(granted(&*limiter, &client(policy, name)).await, 10, "{policy}, {name}");
            assert_eq!(granted(&*limiter, &client(policy, "before")).await, 0, "{policy}, {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_slow_or_silent_is_not_waited_for() {
    let stage = Stage::new().await;
    let (limiter, watch) = limits(&stage, Policy::rate_limiter(Duration::from_millis(10)));
    for (number, trouble) in
        [Trouble::Delay(Duration::from_millis(100)), Trouble::Blackhole].into_iter().enumerate()
    {
        stage.proxy.trouble(trouble);
        let key = client("default", &number.to_string());
        let mut took = Vec::new();
        for _ in 0..300 {
            let begun = Instant::now();
            take(&*limiter, &key).await;
            took.push(begun.elapsed());
        }
        assert!(!take(&*limiter, &key).await.allowed);
        let all: Duration = took.iter().sum();
        assert!(all < Duration::from_secs(1), "{all:?}");
        let median = median(took);
        assert!(median < Duration::from_millis(1), "{median:?}");
        stage.proxy.heal();
        until_shared(&*limiter, &watch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_count_of_ours_counts_nothing() {
    let stage = Stage::new().await;
    let limiter = RedisRateLimiter::on(&stage.redis);
    let key = client("test", "a");
    take(&limiter, &key).await;
    let name = stage.server.command("KEYS *");
    for strange in [
        "LPUSH {} 1",
        "SET {} many",
        "SET {} -5",
        "SET {} 1e3",
        "SET {} \"\"",
        "SET {} 99999999999",
        "SETRANGE {} 9999999 1",
    ] {
        stage.server.command(&format!("DEL {name}"));
        stage.server.command(&strange.replace("{}", &name));
        assert_eq!(granted(&limiter, &key).await, 10, "{strange}");
        let left: u64 = stage.server.command(&format!("PTTL {name}")).parse().expect("a number");
        assert!(left <= 60_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_longer_than_the_limit_allows_is_cut_down() {
    let stage = Stage::new().await;
    let limiter = RedisRateLimiter::on(&stage.redis);
    let key = client("test", "a");
    assert_eq!(granted(&limiter, &key).await, 10);
    let name = stage.server.command("KEYS *");
    for longer in [format!("PERSIST {name}"), format!("PEXPIRE {name} 86400000")] {
        stage.server.command(&longer);
        // Who only peeks is not locked out for longer, either.
        let decision = limiter.peek(&key, TEN).await.expect("peek works");
        assert_eq!((decision.allowed, decision.reset_after), (false, MINUTE));
        stage.server.pass("*", Duration::from_millis(1));
        assert!(limiter.peek(&key, TEN).await.expect("peek works").reset_after < MINUTE);
    }
    stage.server.pass("*", MINUTE);
    assert_eq!(granted(&limiter, &key).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgets_costs_one_burst() {
    let stage = Stage::new().await;
    let limiter = RedisRateLimiter::on(&stage.redis);
    let key = client("test", "a");
    assert_eq!(granted(&limiter, &key).await, 10);
    stage.server.command("SCRIPT FLUSH");
    assert_eq!(granted(&limiter, &key).await, 0);
    stage.server.command("FLUSHALL");
    assert_eq!(granted(&limiter, &key).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_named_in_redis() {
    let stage = Stage::new().await;
    let limiter = RedisRateLimiter::on(&stage.redis);
    for name in ["address:192.0.2.1", "ada@example.com"] {
        take(&limiter, &client("login-account", name)).await;
    }
    let names = stage.server.command("KEYS *");
    assert_eq!(names.matches("{portwright}:limit:login-account:").count(), 2, "{names}");
    assert!(!names.contains("192") && !names.contains("ada"), "{names}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_is_an_outage() {
    let stage = Stage::new().await;
    let (limiter, watch) = limits(&stage, patient());
    stage.server.command("CONFIG SET maxmemory 1");
    assert_eq!(granted(&*limiter, &client("default", "a")).await, 3);
    stage.server.command("CONFIG SET maxmemory 0");
    until_shared(&*limiter, &watch).await;
    assert_eq!(granted(&*limiter, &client("default", "a")).await, 10);
}

/// Where the Redis is, if this process was started by a test to play one of many.
#[expect(clippy::disallowed_methods, reason = "how this process knows that it is one of many")]
fn given() -> Option<String> {
    std::env::var("SHARED_REDIS").ok()
}

/// How many requests each process has; all that the promise is about if `TEST_SIZE` is `full`.
#[expect(clippy::disallowed_methods, reason = "it chooses a test's run, not the program's configuration")]
fn requests() -> u32 {
    if std::env::var("TEST_SIZE").is_ok_and(|size| size == "full") { 5_000 } else { 1_000 }
}

const SHARED: Quota = Quota { limit: 777, window: Duration::from_hours(1) };

/// One of several processes: when it is told to, makes all its requests at once, and says how many were granted.
async fn ask_at_once(url: &str) {
    let mut config = RedisConfig::at([url]).expect("a URL");
    // An answer that is lost is a unit that nobody counts here.
    config.response = MINUTE;
    let redis = RedisConnection::init(&config).await.expect("a connection");
    let limiter = Arc::new(RedisRateLimiter::on(&redis));
    say("ready");
    io::stdin().read_line(&mut String::new()).expect("it is told");
    let mut asking = JoinSet::new();
    for _ in 0..requests() {
        let limiter = limiter.clone();
        asking.spawn(async move {
            let decision = limiter.take(&client("test", "everybody"), SHARED).await;
            decision.expect("it was decided").allowed
        });
    }
    let granted = asking.join_all().await.into_iter().filter(|granted| *granted).count();
    say(&format!("granted {granted}"));
}

/// Says something to the process that started this one.
fn say(line: &str) {
    // The harness has begun a line.
    writeln!(io::stdout(), "\n{line}").expect("somebody listens");
}

/// This test in a process of its own, and what it says.
struct Process {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(test: &str, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args([test, "--exact", "--nocapture"]).env("SHARED_REDIS", url);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, said }
    }

    /// What it says behind this word.
    fn hear(&mut self, word: &str) -> String {
        let told = self.said.find_map(|line| Some(line.expect("text").strip_prefix(word)?.trim().to_owned()));
        told.expect("it says so before it ends")
    }

    fn go(&mut self) {
        self.child.stdin.take().expect("a pipe").write_all(b"go\n").expect("it listens");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless this test failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn granted_to_each_of_four(test: &str, url: &str) -> [u32; 4] {
    let mut processes = [(); 4].map(|()| Process::start(test, url));
    for process in &mut processes {
        process.hear("ready");
    }
    processes.iter_mut().for_each(Process::go);
    processes.map(|mut process| process.hear("granted").parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_many_processes_ask_for_at_once_exactly_the_limit_is_granted() {
    if let Some(url) = given() {
        return ask_at_once(&url).await;
    }
    let server = Redis::new();
    let (test, url) = ("of_what_many_processes_ask_for_at_once_exactly_the_limit_is_granted", server.url());
    let counted = tokio::task::spawn_blocking(move || granted_to_each_of_four(test, &url));
    let granted = counted.await.expect("no panic");
    assert_eq!(granted.iter().sum::<u32>(), SHARED.limit, "{granted:?}");
}
