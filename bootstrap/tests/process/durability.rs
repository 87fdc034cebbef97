//! What was acknowledged is there, whatever moment a crash chooses.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::{Api, new_user};
use crate::place::Place;

const CRASHES: u64 = 100;
const WRITERS: usize = 8;

#[tokio::test]
async fn every_acknowledged_write_survives_each_of_a_hundred_crashes() {
    let mut random = Random::seeded();
    println!("DURABILITY_SEED={} makes these choices again", random.0);
    let place = Place::empty();
    let mut server = place.serve().await;
    let admin = place.first_admin(&server).await.session;
    let mut owners = Vec::new();
    for writer in 0..WRITERS {
        owners.push(server.api().registered(&format!("owner{writer}@example.com")).await.session);
    }
    let mut counters = [0; WRITERS];
    let mut ever_made = BTreeSet::new();

    for crash in 0..CRASHES {
        let api = server.api();
        let mut writers = JoinSet::new();
        for (number, owner) in owners.iter().enumerate() {
            let writer = Writer {
                number,
                admin: api.with_session(admin.clone()),
                owner: api.with_session(owner.clone()),
                domain: format!("crash{crash}.example.com"),
                random: random.another(),
            };
            writers.spawn(writer.write_until_killed(counters[number]));
        }
        // The moment is what is tested.
        sleep(Duration::from_millis(20 + random.next() % 381)).await;
        server.kill().await;
        let told = writers.join_all().await;

        server = place.serve().await;
        let api = server.api().with_session(admin.clone());
        api.get("/health/ready").await.expect(200);
        assert_eq!(integrity(&place.data("portwright.db")).await, "ok", "crash {crash}");
        let made = emails(&api, &format!("email=crash{crash}.example.com")).await;
        for Told { number, made: promised, sessions, counter } in told {
            for email in promised {
                assert!(made.contains(&email), "crash {crash} lost {email}");
                ever_made.insert(email);
            }
            for session in sessions {
                api.with_session(session).get("/auth/me").await.expect(200);
            }
            let me = api.with_session(owners[number].clone()).get("/auth/me").await.expect(200);
            let name = me["lastName"].as_str().expect("a name");
            let found = name.strip_prefix('n').map_or(0, |count| count.parse().expect("a number"));
            // The last one may have been written without anybody being told.
            assert!(found == counter || found == counter + 1, "crash {crash}: {found} instead of {counter}");
            counters[number] = found;
        }
    }
    let kept = emails(&server.api().with_session(admin), "").await;
    assert!(ever_made.is_subset(&kept), "{:?}", ever_made.difference(&kept));
    println!("kept {} users and {} changes", ever_made.len(), counters.iter().sum::<u64>());
    assert!(!ever_made.is_empty() && counters.iter().all(|counter| *counter > 0), "nothing was written");
}

/// What one writer was promised.
struct Told {
    number: usize,
    /// The users that it made.
    made: Vec<String>,
    /// Those of them that registered.
    sessions: Vec<Value>,
    /// The number in the name of its own user.
    counter: u64,
}

struct Writer {
    number: usize,
    admin: Api,
    /// Somebody whom only this writer changes.
    owner: Api,
    domain: String,
    random: Random,
}

impl Writer {
    /// Makes users, and counts in the name of its own one, which is much faster than hashing passwords.
    async fn write_until_killed(mut self, from: u64) -> Told {
        let mut told = Told { number: self.number, made: Vec::new(), sessions: Vec::new(), counter: from };
        let own = format!("/users/{}", self.owner.session["user"]["id"].as_str().expect("an id"));
        for turn in 0_u32.. {
            let email = format!("writer{}-{turn}@{}", self.number, self.domain);
            let user = new_user(&email);
            let count = json!({"lastName": format!("n{}", told.counter + 1)});
            let choice = self.random.next() % 8;
            let answer = match choice {
                0 => self.admin.send(Method::POST, "/users", Some(&user)).await,
                1 => self.admin.send(Method::POST, "/auth/register", Some(&user)).await,
                _ => self.owner.send(Method::PATCH, &own, Some(&count)).await,
            };
            // No answer: the server is gone, and promised nothing.
            let Ok(answer) = answer else { break };
            match choice {
                0 | 1 => {
                    let body = answer.expect(201);
                    told.made.push(email);
                    told.sessions.extend((choice == 1).then_some(body));
                }
                _ => {
                    answer.expect(200);
                    told.counter += 1;
                }
            }
        }
        told
    }
}

/// The addresses of all users that the filter lets through.
async fn emails(api: &Api, filter: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/users?limit=100&cursor={cursor}&{filter}")).await.expect(200);
        let users = page["data"].as_array().expect("users").iter();
        all.extend(users.map(|user| user["email"].as_str().expect("an address").to_owned()));
        match page["pagination"]["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
}

/// What SQLite finds when it reads the file through, beside the server that has recovered it.
pub(crate) async fn integrity(file: &Path) -> String {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.expect("opened");
    let verdict = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await;
    connection.close().await.expect("closed");
    verdict.expect("a verdict")
}

/// `SplitMix64`: enough to choose moments, and to choose them again.
pub(crate) struct Random(u64);

impl Random {
    /// From `DURABILITY_SEED`, or another one at each run.
    #[expect(clippy::disallowed_methods, reason = "it chooses a test's run, not the program's configuration")]
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("DURABILITY_SEED").ok();
        let seed = given.map(|seed| seed.parse().expect("DURABILITY_SEED is a number"));
        Self(seed.unwrap_or_else(|| RandomState::new().hash_one(())))
    }

    /// One that goes on by itself.
    pub(crate) fn another(&mut self) -> Self {
        Self(self.next())
    }

    /// Evenly from a range that is small.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
