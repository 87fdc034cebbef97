//! Redis: whether it keeps what it is told, and whether its clock can be trusted with leases and limits.

use portwright_domain::ports::{Clock, HealthStatus};
use portwright_redis::diagnosis::{self, Facts};

use super::db::failed;
use super::{Finding, clock_of};
use crate::config::{Outside, Redis};
use crate::open_queue;
use crate::servers::Server;

/// So much of its memory is as good as all of it, in percent.
const NEARLY_FULL: u64 = 90;

pub(super) async fn examine(outside: &Outside, clock: &dyn Clock) -> Vec<Finding> {
    let Some(redis) = &outside.redis else {
        return vec![Finding::pass("redis.reach", "no Redis is used; jobs are kept in the data directory")];
    };
    let servers = match open_queue::servers(redis) {
        Ok(servers) => servers,
        Err(error) => return failed("redis.reach", &error.into()),
    };
    let mut found = Vec::new();
    for it in diagnosis::look(&servers).await {
        found.push(match &it.obstacle {
            None => Finding::pass("redis.reach", format!("Redis at {} answers", it.server)),
            Some(obstacle) => {
                let server = Server::redis(&it, &outside.origins);
                Finding::failed("redis.reach", server.problem(obstacle, &outside.origins))
            }
        });
    }
    match diagnosis::examine(&servers, clock).await {
        Ok(facts) => {
            found.push(Finding::pass(
                "redis.primary",
                format!("{} takes our writes (Redis {})", facts.server, facts.version),
            ));
            found.push(clock_of("redis.clock", &facts.server, facts.clock_ahead));
            found.extend([eviction(&facts, redis), persistence(&facts, redis), memory(&facts)]);
        }
        // Each of them has said why.
        Err(_) if found.iter().all(|it| it.status == HealthStatus::Fail) => {}
        Err(obstacle) => found.push(Finding::fail(
            "redis.primary",
            format!("no server takes our writes ({obstacle})"),
            "name the primary as well, or let a replica take over",
        )),
    }
    found
}

/// A failure, unless somebody agreed to it.
fn serious(redis: &Redis, finding: Finding) -> Finding {
    let status = if redis.may_lose_jobs { HealthStatus::Warn } else { HealthStatus::Fail };
    Finding { status, ..finding }
}

fn eviction(facts: &Facts, redis: &Redis) -> Finding {
    const CHECK: &str = "redis.eviction";
    let Facts { server, eviction, .. } = facts;
    if eviction == "noeviction" {
        return Finding::pass(CHECK, format!("{server} keeps every key (noeviction)"));
    }
    let what = format!("{server} removes jobs when its memory is full (maxmemory-policy {eviction})");
    serious(redis, Finding::fail(CHECK, what, "CONFIG SET maxmemory-policy noeviction, and in its file"))
}

fn persistence(facts: &Facts, redis: &Redis) -> Finding {
    const CHECK: &str = "redis.persistence";
    let server = &facts.server;
    if !facts.appends {
        let what = format!("{server} loses its jobs when it ends (appendonly no)");
        let fix = "CONFIG SET appendonly yes, and in its file; appendfsync everysec loses a second at most";
        return serious(redis, Finding::fail(CHECK, what, fix));
    }
    if !facts.append_works {
        let what = format!("{server} could not write its file lately, and takes nothing until it can");
        return Finding::fail(CHECK, what, "its log says why: is its disk full?");
    }
    match facts.syncs.as_deref() {
        Some("no") => {
            let what =
                format!("{server} leaves it to the system when its file is on the disk (appendfsync no)");
            Finding::warn(CHECK, what, "CONFIG SET appendfsync everysec, and in its file")
        }
        Some(syncs) => Finding::pass(CHECK, format!("{server} keeps what it is told (appendfsync {syncs})")),
        None => Finding::pass(CHECK, format!("{server} keeps what it is told")),
    }
}

fn memory(facts: &Facts) -> Finding {
    const CHECK: &str = "redis.memory";
    let Facts { server, memory, memory_limit, .. } = facts;
    let used = format!("{server} uses {} MiB", memory >> 20);
    match memory_limit {
        0 => Finding::pass(CHECK, format!("{used} of no limit")),
        limit if *memory >= limit / 100 * NEARLY_FULL => {
            let what = format!("{used} of {} MiB, and refuses jobs when it is full", limit >> 20);
            Finding::warn(
                CHECK,
                what,
                "raise maxmemory, or keep fewer finished jobs (QUEUE_REMOVE_ON_COMPLETE)",
            )
        }
        limit => Finding::pass(CHECK, format!("{used} of {} MiB", limit >> 20)),
    }
}
