//! The PostgreSQL servers: who they are, whether they keep what they are told, whether there is room for us.

use std::time::Duration;

use portwright_domain::ports::{Clock, Obstacle};
use portwright_postgres::PostgresConfig;
use portwright_postgres::diagnosis::{self, Facts, Found, Role};

use super::db::{drift, failed};
use super::{Finding, clock_of};
use crate::config::{AppEnv, Config, Outside, Secret};
use crate::open_store;
use crate::servers::Server;

const USUAL_PORT: u16 = 5432;

/// A server that was reached.
struct Reached<'a> {
    server: &'a str,
    role: Role,
    facts: Facts,
}

pub(super) async fn examine(
    urls: &[Secret],
    connections: u32,
    outside: &Outside,
    config: Option<&Config>,
    clock: &dyn Clock,
) -> Vec<Finding> {
    let servers = match open_store::postgres(urls, connections) {
        Ok(servers) => servers,
        Err(failure) => return failed("db.reach", &failure),
    };
    let looked = diagnosis::look(&servers).await;
    let (mut found, mut reached) = (Vec::new(), Vec::new());
    for (number, it) in looked.iter().enumerate() {
        let facts = match &it.role {
            Ok(role) => diagnosis::examine(&servers, number, clock).await.map(|facts| (*role, facts)),
            Err(obstacle) => Err(obstacle.clone()),
        };
        match facts {
            Ok((role, facts)) => {
                found.push(reached_at(it, role, &facts));
                reached.push(Reached { server: &it.server, role, facts });
            }
            Err(obstacle) => found.push(unreached(it, number, &obstacle, outside).await),
        }
    }
    if reached.is_empty() {
        return found;
    }
    found.push(primary(&reached));
    found.extend(followers(&reached, &servers));
    found.extend(reached.iter().map(|it| clock_of("db.clock", it.server, it.facts.clock_ahead)));
    found.extend(reached.iter().map(|it| durability(it, config)));
    found.extend(reached.iter().map(|it| room(it, connections, config)));
    found.push(migrations(&servers, &reached).await);
    found
}

fn reached_at(it: &Found, role: Role, facts: &Facts) -> Finding {
    let role = match role {
        Role::Primary => "the primary",
        Role::Standby => "a replica",
    };
    Finding::pass("db.reach", format!("PostgreSQL {} at {} is {role}", facts.version, it.server))
}

/// What stands in the way, and whether the usual port would do.
async fn unreached(it: &Found, number: usize, obstacle: &Obstacle, outside: &Outside) -> Finding {
    let server = Server::postgres(it, number, &outside.origins);
    let problem = server.problem(obstacle, &outside.origins);
    let is_elsewhere = *obstacle == Obstacle::Refused
        && it.port != USUAL_PORT
        && diagnosis::is_there(&it.host, USUAL_PORT).await;
    Finding::failed(
        "db.reach",
        match (is_elsewhere, *obstacle == Obstacle::Refused) {
            (true, _) => {
                problem.fix(format!("a PostgreSQL answers at {}:{USUAL_PORT}: set the port to that", it.host))
            }
            (false, true) => {
                problem.fix(format!("start it, or say where it listens; port {USUAL_PORT} was tried as well"))
            }
            (false, false) => problem,
        },
    )
}

/// Exactly one takes writes.
fn primary(reached: &[Reached<'_>]) -> Finding {
    const CHECK: &str = "db.primary";
    let primaries: Vec<_> =
        reached.iter().filter(|it| it.role == Role::Primary).map(|it| it.server).collect();
    match primaries.as_slice() {
        [one] => Finding::pass(CHECK, format!("{one} takes writes")),
        [] => {
            Finding::fail(CHECK, "no server takes writes", "promote a replica, or name the primary as well")
        }
        several => Finding::fail(
            CHECK,
            format!("{} take writes, so neither is written to", several.join(" and ")),
            "stop the one that was replaced, and make it follow the other before it comes back",
        ),
    }
}

/// How each replica follows.
fn followers(reached: &[Reached<'_>], servers: &PostgresConfig) -> Vec<Finding> {
    const CHECK: &str = "db.replica-lag";
    let end = reached.iter().filter(|it| it.role == Role::Primary).map(|it| it.facts.log).max();
    let mut found = Vec::new();
    for it in reached {
        let (server, Some(replay)) = (it.server, it.facts.replay) else { continue };
        let bytes = end.map_or("?".to_owned(), |end| end.saturating_sub(it.facts.log).to_string());
        let behind = format!("{server} is {bytes} bytes and {:.1} s behind", replay.behind.as_secs_f64());
        found.push(if replay.is_paused {
            let fix = "SELECT pg_wal_replay_resume() on it; until then the primary answers for it";
            Finding::warn(CHECK, format!("{behind}: its replay is paused"), fix)
        } else if !replay.streams && it.facts.sees_statistics {
            let fix = "its log says why it receives nothing: primary_conninfo, a slot that is gone, another timeline";
            Finding::warn(CHECK, format!("{behind}, and follows nobody"), fix)
        } else if replay.behind > servers.max_lag {
            let fix = "is it slower than the primary, or does recovery_min_apply_delay hold it back?";
            Finding::warn(CHECK, behind, fix)
        } else {
            Finding::pass(CHECK, behind)
        });
        if !it.facts.sees_statistics {
            found.push(Finding::warn(
                "db.statistics",
                format!("our user does not see which timeline {server} receives, so it answers no read after a commit"),
                "GRANT pg_read_all_stats to that user, on the primary",
            ));
        }
    }
    found
}

/// What is answered as written is on a disk.
fn durability(it: &Reached<'_>, config: Option<&Config>) -> Finding {
    const CHECK: &str = "db.durability";
    let server = it.server;
    if !it.facts.commits_are_durable {
        let fix = "set synchronous_commit to on, and let our sessions have it";
        return Finding::fail(CHECK, format!("{server} answers a commit before it is on the disk"), fix);
    }
    if it.facts.syncs_disk {
        return Finding::pass(CHECK, format!("{server} answers a commit once it is on the disk"));
    }
    let what = format!("{server} does not write through to the disk (fsync = off)");
    let fix = "set fsync = on: a crash of its machine damages the database";
    match config.map(|config| config.app_env) {
        Some(AppEnv::Production) => Finding::fail(CHECK, what, fix),
        _ => Finding::warn(CHECK, what, fix),
    }
}

/// Whether every process gets its connections.
fn room(it: &Reached<'_>, connections: u32, config: Option<&Config>) -> Finding {
    const CHECK: &str = "db.connections";
    // The server itself, and the most workers it starts.
    let workers = config.and_then(|config| config.compute.workers).map_or(0, |count| count.max);
    let processes = 1 + u64::try_from(workers).unwrap_or(u64::MAX);
    // Each also has one that watches.
    let each = u64::from(connections) + 1;
    let wanted = processes.saturating_mul(each);
    let Facts { max_connections, reserved, in_use, .. } = it.facts;
    let there = max_connections.saturating_sub(reserved);
    let what = format!(
        "{processes} processes with {each} connections each are {wanted} of the {there} that {} has for us ({in_use} \
         are in use)",
        it.server
    );
    if wanted <= there {
        return Finding::pass(CHECK, what);
    }
    let fitting = (there / processes).saturating_sub(1).max(2);
    let fix = format!(
        "lower DB_CONNECTION_LIMIT to {fitting}, or COMPUTE_MAX_WORKERS; or raise max_connections there"
    );
    Finding::fail(CHECK, what, fix)
}

async fn migrations(servers: &PostgresConfig, reached: &[Reached<'_>]) -> Finding {
    const CHECK: &str = "db.migrations";
    const PATIENCE: Duration = Duration::from_secs(10);
    let status = match tokio::time::timeout(PATIENCE, portwright_postgres::migrate::status(servers)).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return failed(CHECK, &error.into()).remove(0),
        Err(_elapsed) => {
            return Finding::fail(
                CHECK,
                "no answer in time",
                "its log tells what holds up the table `migrations`",
            );
        }
    };
    let may_create = reached.iter().any(|it| it.role == Role::Primary && it.facts.may_create);
    if !status.pending.is_empty() && !may_create {
        let what =
            format!("{} migrations are missing, and our user may not make tables", status.pending.len());
        return Finding::fail(CHECK, what, "GRANT CREATE ON SCHEMA public to it, or migrate as another user");
    }
    drift(status.applied.len(), status.pending.len())
}
