//! Kills of a server that owns the queue and has workers, under load: what it took is done, and nobody is left behind.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::job::JobId;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Jobs, is_alive, until};
use crate::api::Api;
use crate::durability::{Random, integrity};
use crate::place::Place;
use crate::server::Server;
use crate::size::sized;

const PRODUCERS: usize = 4;
const WORKERS: usize = 2;
/// No worker outlives its server by more than this.
const AFTERLIFE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_took_before_it_was_killed_is_done_and_nobody_is_left_behind() {
    let mut random = Random::seeded();
    let place = Place::empty();
    let jobs = Arc::new(Jobs::at(&place));
    let mut server = Server::start(&mut place.server_with_workers(WORKERS, WORKERS)).await;
    let (email, password) = (place.first_run("email"), place.first_run("password"));
    let credentials = json!({"email": email, "password": password});
    let (mut taken, mut unsure) = (Vec::new(), Vec::new());
    let (mut longest, mut sessions) = (Duration::ZERO, 0);

    let kills = sized(12, 100);
    for kill in 0..kills {
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            producers.spawn(produce_until_killed(jobs.clone(), random.another()));
        }
        let mut visitor = JoinSet::new();
        visitor.spawn(sign_in_until_killed(server.api(), credentials.clone()));
        // The moment is what is tested.
        sleep(Duration::from_millis(random.within(20..400))).await;
        let killed = Instant::now();
        server.bereave().await;
        let left_behind = place.processes();
        let gone = async {
            until("all workers are gone", async || !left_behind.iter().any(|pid| is_alive(*pid))).await;
            killed.elapsed()
        };
        let mut command = place.server_with_workers(WORKERS, WORKERS);
        // Half of the time the next server meets workers of the last one.
        let (took, next) = if random.next().is_multiple_of(2) {
            (gone.await, Server::start(&mut command).await)
        } else {
            tokio::join!(gone, Server::start(&mut command))
        };
        mem::replace(&mut server, next).ended().await;
        assert!(took < AFTERLIFE, "kill {kill}: {took:?}");
        longest = longest.max(took);

        for file in ["portwright.db", "queue.db"] {
            assert_eq!(integrity(&place.data(file)).await, "ok", "{file} after kill {kill}");
        }
        for told in producers.join_all().await {
            taken.extend(told.taken);
            unsure.extend(told.unsure);
        }
        sessions += visitor.join_all().await.into_iter().sum::<u32>();
        // Whoever got no answer asks again, and it is one job, whether it was taken before or not.
        for id in unsure.drain(..) {
            let again = jobs.works.take_time_job(jobs.order("all", Duration::ZERO)).with_id(id);
            assert_eq!(again.enqueue().await.expect("taken"), id);
            taken.push(id);
        }
    }

    let ends = jobs.ends_of(&taken).await;
    assert_eq!(ends.len(), taken.len());
    jobs.expect_success(&ends);
    jobs.expect_rest().await;
    println!(
        "{kills} kills: {} jobs were taken and done, {sessions} sessions begun; the longest afterlife was {longest:?}",
        taken.len()
    );
    assert!(sessions > 0, "nobody wrote to the other file");
    assert_eq!(server.stop().await.code, Some(0));
}

/// What a producer was told.
#[derive(Default)]
struct Told {
    taken: Vec<JobId>,
    /// It asked for this one, and the server was gone before it answered.
    unsure: Option<JobId>,
}

async fn produce_until_killed(jobs: Arc<Jobs>, mut random: Random) -> Told {
    let mut told = Told::default();
    loop {
        let time = Duration::from_millis(random.within(0..30));
        let call = jobs.works.take_time_job(jobs.order("all", time));
        let id = call.id();
        if call.enqueue().await.is_err() {
            told.unsure = Some(id);
            return told;
        }
        told.taken.push(id);
        sleep(Duration::from_millis(random.within(0..10))).await;
    }
}

/// Writes to the other file.
async fn sign_in_until_killed(api: Api, credentials: serde_json::Value) -> u32 {
    let mut sessions = 0;
    while let Ok(answer) = api.send(Method::POST, "/auth/login", Some(&credentials)).await {
        answer.expect(200);
        sessions += 1;
    }
    sessions
}
