//! From the text of a variable to its value.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portwright_postgres::PostgresConfig;
use portwright_redis::RedisConfig;
use tracing_subscriber::EnvFilter;

use crate::config::Secret;
use crate::config::database::Node;
use crate::config::duration::{self, Bare};
use crate::config::sources::open_file;

pub(super) fn one_of<T: Copy>(text: &str, values: &[(&str, T)]) -> Result<T, String> {
    let found = values.iter().find(|(name, _)| *name == text);
    found.map(|&(_, value)| value).ok_or_else(|| "it is none of these".to_owned())
}

pub(super) fn number<T: TryFrom<usize>>(text: &str, range: RangeInclusive<usize>) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it is no whole number".to_owned());
    }
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| "it is out of range".to_owned())
}

pub(super) fn duration(text: &str, bare: Bare, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration::parse(text, bare)?;
    if range.contains(&duration) { Ok(duration) } else { Err("it is out of range".to_owned()) }
}

/// A number of bytes, which has a unit: a bare number would be read as megabytes by one and as bytes by another.
pub(super) fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| "it does not begin with a number that can be counted".to_owned())?;
    let each: u64 = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("the units are KiB, MiB and GiB".to_owned()),
    };
    let size = number.checked_mul(each).filter(|size| range.contains(size));
    size.ok_or_else(|| "it is out of range".to_owned())
}

pub(super) fn host(text: &str) -> Result<String, String> {
    let is_name = text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if is_name || text.parse::<IpAddr>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("it is neither".to_owned())
    }
}

/// Servers in a list, each with or without its port.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, String> {
    text.split(',').map(|node| self::node(node.trim())).collect()
}

fn node(text: &str) -> Result<Node, String> {
    // An IPv6 address with a port stands in brackets.
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, Some(number(port, 1..=65_535)?))
        }
        _ => (text, None),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if name.is_empty() {
        return Err("a host is missing".to_owned());
    }
    Ok(Node { host: host(name)?, port })
}

/// The URL of a PostgreSQL database. It may hold a password, so no value in it is told.
pub(super) fn database_url(text: &str) -> Result<Secret, String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("it is none".to_owned());
    }
    PostgresConfig::at([text]).map_err(|error| error.detail().to_owned())?;
    Ok(Secret::new(text.to_owned()))
}

/// The URL of a Redis server. What is wrong with it is not told, since it may hold a password.
pub(super) fn redis_url(text: &str) -> Result<Secret, String> {
    let is_redis = text.starts_with("redis://") || text.starts_with("rediss://");
    if !is_redis || RedisConfig::at([text]).is_err() {
        return Err("it is none".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// A server that is reached over HTTP. No user and no password: an address is shown, and secrets have variables of their
/// own.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let place = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let place = place.ok_or("it begins with neither")?.trim_end_matches('/');
    if place.contains('@') {
        return Err("it has a user".to_owned());
    }
    let (name, port) = match place.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (place, None),
    };
    if let Some(port) = port {
        number::<u16>(port, 1..=65_535).map_err(|why| format!("of the port, {why}"))?;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match host(bare) {
        Ok(host) if !host.is_empty() => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("it has no host, or more than that and a port".to_owned()),
    }
}

/// So many characters, all of this kind.
pub(super) fn characters(
    text: &str,
    count: RangeInclusive<usize>,
    kind: fn(u8) -> bool,
) -> Result<String, String> {
    if !count.contains(&text.len()) {
        Err(format!("it has {} characters", text.chars().count()))
    } else if !text.bytes().all(kind) {
        Err("it has others".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// An http or https URL, without credentials: those are for headers.
pub(super) fn url(text: &str) -> Result<String, String> {
    let place = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let place = place.ok_or("it begins with neither")?;
    let host = place.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it is no such URL".to_owned());
    }
    Ok(text.to_owned())
}

/// A list of `name=value`, whose values are percent-encoded where a comma, a space or a `%` is in them (W3C Baggage).
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |member: &str| {
        let (name, value) = member.split_once('=').ok_or("there is something without a =")?;
        let (name, value) = (name.trim(), decoded(value.trim()).ok_or("there is a % that encodes nothing")?);
        if name.is_empty() { Err("there is a value without a name") } else { Ok((name.to_owned(), value)) }
    };
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members.map(pair).collect::<Result<_, &str>>().map_err(str::to_owned)
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[expect(clippy::unnecessary_wraps, reason = "the table wants one shape; the operating system judges paths")]
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub(super) fn readable_file(text: &str) -> Result<PathBuf, String> {
    open_file(Path::new(text)).map(|_| PathBuf::from(text)).map_err(|error| error.to_string())
}

pub(super) fn readable_files(text: &str) -> Result<Vec<PathBuf>, String> {
    text.split(',').map(|path| readable_file(path.trim())).collect()
}

/// A file of certificates. Whether one of them is the right one turns out when a server shows its own.
pub(super) fn certificates(text: &str) -> Result<PathBuf, String> {
    let path = readable_file(text)?;
    let content = std::fs::read(&path).map_err(|error| error.to_string())?;
    let has_one = String::from_utf8_lossy(&content).contains("-----BEGIN CERTIFICATE-----");
    if has_one { Ok(path) } else { Err("there is no certificate in it".to_owned()) }
}

pub(super) fn secret(text: &str, fewest_bytes: usize) -> Result<Secret, String> {
    if text.len() < fewest_bytes {
        Err(format!("it has {}", text.len()))
    } else {
        Ok(Secret::new(text.to_owned()))
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
