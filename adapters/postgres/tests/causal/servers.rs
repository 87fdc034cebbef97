//! A primary with two standbys that are given trouble.

use std::time::Duration;

use portwright_testkit::Noise;
use portwright_testkit::servers::{Postgres, Stop};
use tokio::time::Instant;

/// The servers, and how they are.
pub(crate) struct Servers {
    primary: Postgres,
    standbys: [Postgres; 2],
    database: String,
    is_promoted: bool,
    noise: Noise,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let primary = Postgres::primary();
        let standbys = [primary.standby(), primary.standby()];
        let database = primary.fresh_database();
        for standby in &standbys {
            standby.lag(Duration::from_millis(20));
        }
        Self { primary, standbys, database, is_promoted: false, noise: Noise::new(11) }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        [&self.primary, &self.standbys[0], &self.standbys[1]].map(|server| server.url(&self.database)).into()
    }

    pub(crate) const fn is_promoted(&self) -> bool {
        self.is_promoted
    }

    /// Who follows.
    fn following(&self) -> &[Postgres] {
        if self.is_promoted { &self.standbys[1..] } else { &self.standbys }
    }

    /// Something happens to those who follow; for how long it is to be endured.
    pub(crate) fn make_trouble(&mut self) -> Duration {
        let (lag, what) = (self.noise.below(5_000), self.noise.below(4));
        for standby in self.following() {
            standby.resume_replay();
        }
        for standby in self.following() {
            match what {
                0 => standby.pause_replay(),
                1 => standby.lag(Duration::ZERO),
                _ => standby.lag(Duration::from_millis(lag as u64)),
            }
        }
        Duration::from_millis(500 + self.noise.below(1_000) as u64)
    }

    /// The first standby takes over from a primary that ends in order, so that nothing is lost; the other follows it.
    pub(crate) fn promote_once(&mut self) {
        if self.is_promoted {
            return;
        }
        for standby in &self.standbys {
            standby.resume_replay();
        }
        self.primary.stop(Stop::Fast);
        let [first, second] = &self.standbys;
        first.promote();
        let port = first.port();
        second.sql("ALTER SYSTEM SET primary_slot_name = ''");
        second
            .sql(&format!("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={port} user=postgres'"));
        second.sql("SELECT pg_reload_conf()");
        self.is_promoted = true;
    }

    /// From now on, those who follow are close, at most 40 ms behind.
    pub(crate) fn calm_down(&self) {
        for standby in self.following() {
            standby.resume_replay();
            standby.lag(Duration::from_millis(20));
        }
        let newest = if self.is_promoted { &self.standbys[0] } else { &self.primary };
        let position = newest.sql("SELECT pg_current_wal_flush_lsn()");
        let deadline = Instant::now() + Duration::from_secs(30);
        for standby in self.following() {
            let there = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
            while standby.sql(&there) != "t" {
                assert!(Instant::now() < deadline, "a standby does not catch up");
            }
        }
    }
}
