//! What must hold of all keys of a queue, whatever was done to it.

use portwright_testkit::servers::Redis;

const SCRIPT: &str = include_str!("invariants.lua");

/// Panics with everything that is wrong with the queue on this server.
pub(crate) fn hold(server: &Redis) {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_connection().expect("a connection");
    let mut asked = redis::cmd("EVAL");
    asked.arg(SCRIPT).arg(1).arg("{portwright}:");
    let broken: Vec<String> = asked.query(&mut connection).expect("the script runs");
    assert!(broken.is_empty(), "{broken:#?}");
}
