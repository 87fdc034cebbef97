//! Names that nobody reads, and that were meant to be ours.
//!
//! An environment is full of other programs' variables, so in the process environment a name is only ours if it begins
//! as ours do, or is long enough for its likeness to be no accident. The `.env` file is our own: there every likeness
//! counts. Values are not shown, since a misspelt secret is a secret too.

use super::sources::{Entry, Origin, Sources};
use super::variables::ALL;
use crate::failure::Problem;

const OUR_PREFIXES: &[&str] =
    &["COMPUTE_", "RATE_LIMIT_", "JWT_", "DB_", "REDIS_", "STORAGE_", "QUEUE_", "LOGIN_"];
/// Prefixes of the ecosystem, which platforms set for everybody; in our own file they are meant for us.
const SHARED_PREFIXES: &[&str] = &["OTEL_", "AWS_"];

/// What TLS reads by itself, from the environment and from nowhere else.
const OF_THE_ENVIRONMENT: &[&str] = &["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A problem for every name that was meant for us and is not obeyed.
pub(super) fn problems(sources: &Sources) -> Vec<Problem> {
    sources.entries.iter().filter_map(problem).collect()
}

fn problem(entry: &Entry) -> Option<Problem> {
    let name = entry.name.as_str();
    if is_read(name) || is_service_link(entry) {
        return None;
    }
    let place = format!("{name} ({})", entry.origin);
    if OF_THE_ENVIRONMENT.contains(&name) {
        let what = format!("{name} is read from the environment alone");
        let fix = format!("export it where the process is started, and remove it from {}", entry.origin);
        return is_ours(entry.origin).then(|| Problem::new(what).from(place).fix(fix));
    }
    if let Some(known) = likely(name, entry.origin) {
        let what = format!("unknown variable {name}, did you mean {known}?");
        return Some(Problem::new(what).from(place).fix(format!("rename it to {known}, or remove it")));
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if begins(OUR_PREFIXES) || is_ours(entry.origin) && begins(SHARED_PREFIXES) {
        let what = format!("unknown variable {name}");
        let fix = "remove it; `portwright config show` lists those that this version knows";
        return Some(Problem::new(what).from(place).fix(fix));
    }
    None
}

/// The name that somebody who wrote this one probably meant.
pub(super) fn likely(name: &str, origin: Origin) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    known_names()
        .filter_map(|known| {
            // JWT_PRIVATE_KEY wants to be JWT_PRIVATE_KEY_FILE, which no count of letters would tell.
            let distance = if known.strip_suffix("_FILE") == Some(&upper) {
                1
            } else {
                strsim::damerau_levenshtein(&known, &upper)
            };
            (distance <= furthest(known.len(), origin)).then_some((distance, known))
        })
        .min()
        .map(|(_, known)| known)
}

/// How many letters may differ: short names are a letter or two from everything (`HOST` from `HOME`).
const fn furthest(length: usize, origin: Origin) -> usize {
    match length {
        0..=4 if is_ours(origin) => 1,
        0..=4 => 0,
        5..=7 => 1,
        _ => 2,
    }
}

const fn is_ours(origin: Origin) -> bool {
    !matches!(origin, Origin::Environment)
}

fn is_read(name: &str) -> bool {
    ALL.iter().any(|spec| {
        spec.names().any(|known| known == name || spec.secret && name.strip_suffix("_FILE") == Some(known))
    })
}

fn known_names() -> impl Iterator<Item = String> {
    let read = ALL.iter().flat_map(|spec| spec.names().map(move |name| (name, spec.secret)));
    let read =
        read.flat_map(|(name, secret)| [Some(name.to_owned()), secret.then(|| format!("{name}_FILE"))]);
    read.flatten()
}

/// What Kubernetes tells every pod about a service named `redis`: `REDIS_SERVICE_HOST`, `REDIS_PORT=tcp://…`,
/// `REDIS_PORT_6379_TCP_ADDR`. Nobody wrote that.
pub(super) fn is_service_link(entry: &Entry) -> bool {
    let name = entry.name.as_str();
    let names_a_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        rest.split('_').next().is_some_and(|port| port.parse::<u16>().is_ok())
            && ["_TCP", "_UDP"].iter().any(|protocol| rest.contains(protocol))
    });
    let is_url = entry.value.as_deref().is_some_and(|value| {
        name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"))
    });
    entry.origin == Origin::Environment
        && (name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || names_a_port || is_url)
}
