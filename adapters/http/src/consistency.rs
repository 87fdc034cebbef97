//! `Consistency-Token`: every write answers one, and a read that sends it back sees at least that write. A read answers one,
//! too, where another read might be answered by a replica that is further behind: who always sends the newest back never
//! sees an older state than before.
//!
//! The token is sealed, so a client cannot make up a position in the store's history and send its reads to the primary.

use poem::Request;
use poem::http::{HeaderName, HeaderValue};
use portwright_application::Jobs;
use portwright_domain::ports::{CommitToken, Consistency, Purpose, Sealer};

use crate::problem::{Problem, ProblemCode};

/// The name in both directions.
pub(crate) const CONSISTENCY_TOKEN: &str = "Consistency-Token";

/// The header of a write.
pub(crate) fn sealed(sealer: &dyn Sealer, token: &CommitToken) -> String {
    sealer.seal(Purpose::CommitToken, token.as_str().as_bytes())
}

/// The header of a read; absent where no read is ever older than another.
pub(crate) fn sealed_if_any(sealer: &dyn Sealer, token: Option<&CommitToken>) -> Option<String> {
    token.map(|token| sealed(sealer, token))
}

/// There is no such thing: the same answer for what one may not see, but for the token of a read that has looked.
pub(crate) fn not_found(token: Option<&str>) -> Problem {
    let problem = Problem::new(ProblemCode::NotFound);
    match token.and_then(|token| HeaderValue::from_str(token).ok()) {
        Some(token) => problem.with_header(HeaderName::from_static("consistency-token"), token),
        None => problem,
    }
}

/// The header of a change beside the store, such as a job: a read that sends it back sees what the job wrote so far. Absent
/// if the store does not say so at once, since the change has happened.
pub(crate) async fn newest(sealer: &dyn Sealer, jobs: &Jobs) -> Option<String> {
    jobs.newest_commit().await.map(|token| sealed(sealer, &token))
}

/// The header of an answer that shows what others wrote, such as the end of a job. Absent where no read is ever older than
/// another, and if the store does not say so at once.
pub(crate) async fn caught_up(sealer: &dyn Sealer, jobs: &Jobs) -> Option<String> {
    jobs.newest_state().await.map(|token| sealed(sealer, &token))
}

/// How fresh a read must be.
///
/// # Errors
/// 400 if the token is not one that this service made.
pub(crate) fn wanted(sealer: &dyn Sealer, request: &Request) -> Result<Consistency, Problem> {
    let mut given = request.headers().get_all(CONSISTENCY_TOKEN).iter();
    let Some(header) = given.next() else { return Ok(Consistency::Eventual) };
    let opened = header.to_str().ok().and_then(|text| sealer.open(Purpose::CommitToken, text));
    // Of two tokens nobody could say which write is to be seen.
    match (opened.and_then(|content| String::from_utf8(content).ok()), given.next()) {
        (Some(token), None) => Ok(Consistency::After(CommitToken::new(token))),
        _ => Err(Problem::new(ProblemCode::BadConsistencyToken)),
    }
}
