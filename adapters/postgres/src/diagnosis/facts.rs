//! [`Facts`]: how one server is set up, and how far it is.

use std::time::Duration;

use portwright_domain::ports::{Clock, Obstacle};
use sqlx::postgres::PgRow;
use sqlx::{Connection, Row};

use super::{ANSWER, obstacle};
use crate::config::PostgresConfig;
use crate::pooled::bounded;
use crate::server::{open, settled};

/// What one server says of itself, to a session as the store has them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one answer of the server")]
pub struct Facts {
    /// Such as `15.6`.
    pub version: String,
    /// How far its clock is ahead of ours, in microseconds; as precise as half of the round trip.
    pub clock_ahead: i64,
    /// How many sessions it takes in all.
    pub max_connections: u64,
    /// How many of them are not for us.
    pub reserved: u64,
    /// How many there are now, of everybody.
    pub in_use: u64,
    /// Whether a commit is on its disk before it is answered, as our sessions ask for.
    pub commits_are_durable: bool,
    /// Whether what it calls written is on the disk (`fsync`).
    pub syncs_disk: bool,
    /// Whether our user sees what a replica receives (`pg_read_all_stats`).
    pub sees_statistics: bool,
    /// Whether our user may make tables.
    pub may_create: bool,
    /// Where its log ends, or how far it is replayed, in bytes.
    pub log: u64,
    /// Of a standby: how it follows.
    pub replay: Option<Replay>,
}

/// How a standby follows its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Whether it receives anything.
    pub streams: bool,
    /// Whether somebody told it to show nothing new.
    pub is_paused: bool,
    /// How old the state is that it shows; zero if it has replayed all that it received.
    pub behind: Duration,
}

/// One statement, so that it is one moment.
const QUESTION: &str = "SELECT current_setting('server_version'), \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
     current_setting('max_connections')::bigint, \
     current_setting('superuser_reserved_connections')::bigint \
         + coalesce(current_setting('reserved_connections', true), '0')::bigint, \
     (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::bigint, \
     current_setting('synchronous_commit') IN ('on', 'remote_apply'), \
     current_setting('fsync') = 'on', \
     pg_has_role(current_user, 'pg_read_all_stats', 'usage'), \
     coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), \
     (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') \
         ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint, \
     CASE WHEN pg_is_in_recovery() THEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) END, \
     CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END, \
     CASE WHEN pg_is_in_recovery() THEN CASE \
         WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
         ELSE coalesce((extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000), 0) \
         END END::bigint";

/// Asks the server of this number, from 0, in the order of their URLs; takes four seconds at most.
///
/// # Errors
/// What stands in the way.
pub async fn examine(config: &PostgresConfig, server: usize, clock: &dyn Clock) -> Result<Facts, Obstacle> {
    let nobody = || Obstacle::Other("there is no such server".to_owned());
    let options = settled(config.servers.get(server).ok_or_else(nobody)?.clone(), config.statement);
    let asked = async {
        let mut connection = open(&options, config.connect).await?;
        let before = clock.now();
        let row = bounded(ANSWER, sqlx::query(QUESTION).fetch_one(&mut connection)).await?;
        let after = clock.now();
        // Who hangs up without a word is in the server's log.
        let _ = bounded(ANSWER, connection.close()).await;
        let between = before.plus(after.since(before) / 2);
        facts(&row, between.unix_micros())
    };
    asked.await.map_err(|error| obstacle(&error))
}

fn facts(row: &PgRow, ours: i64) -> Result<Facts, sqlx::Error> {
    let count = |column| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let replay = match (row.try_get(10)?, row.try_get(11)?, row.try_get::<Option<i64>, _>(12)?) {
        (Some(streams), Some(is_paused), Some(behind)) => {
            let behind = Duration::from_micros(u64::try_from(behind).unwrap_or_default());
            Some(Replay { streams, is_paused, behind })
        }
        _ => None,
    };
    Ok(Facts {
        version: row.try_get(0)?,
        clock_ahead: row.try_get::<i64, _>(1)?.saturating_sub(ours),
        max_connections: count(2)?,
        reserved: count(3)?,
        in_use: count(4)?,
        commits_are_durable: row.try_get(5)?,
        syncs_disk: row.try_get(6)?,
        sees_statistics: row.try_get(7)?,
        may_create: row.try_get(8)?,
        log: count(9)?,
        replay,
    })
}
