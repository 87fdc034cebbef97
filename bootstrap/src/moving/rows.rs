//! The rows of the store: carried through the port in batches, and read back.

use portwright_domain::PortError;
use portwright_domain::idempotency::IdempotencyRecord;
use portwright_domain::ports::Store;
use portwright_domain::session::Session;
use portwright_domain::user::User;
use portwright_postgres::export::PostgresExport;
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_sqlite::export::SqliteExport;

use super::Tally;
use crate::failure::Failure;

/// Rows that are in memory, and in one transaction, at a time.
const BATCH: u32 = 500;

/// How much there is of each kind of row.
struct Tallies {
    users: Tally,
    sessions: Tally,
    idempotency: Tally,
    outbox: Tally,
}

impl Tallies {
    fn none() -> Self {
        Self {
            users: Tally::of("users"),
            sessions: Tally::of("sessions"),
            idempotency: Tally::of("idempotency keys"),
            outbox: Tally::of("jobs on their way to the queue"),
        }
    }
}

/// The exports of both adapters have the same methods, each on rows of its own database.
macro_rules! pages {
    ($export:ident.$rows:ident, $key:expr, $page:ident => $work:expr) => {
        let mut after = None;
        loop {
            let $page = $export.$rows(after.as_ref(), BATCH).await?;
            let Some(last) = $page.last() else { break };
            after = Some($key(last));
            $work;
        }
    };
}

/// Carries all rows, users before their sessions, reads them back and answers how many there were.
///
/// # Errors
/// `Failed` if what was read back is not the same.
pub(super) async fn carry(
    source: &mut SqliteExport,
    target: &PostgresStore,
    servers: &PostgresConfig,
) -> Result<[Tally; 4], Failure> {
    let mut here = Tallies::none();
    pages!(source.users, |it: &User| it.id, page => {
        let mut unit = target.begin().await?;
        for user in &page {
            here.users.add(user);
            unless(unit.users().insert(user).await, "users.id")?;
        }
        unit.commit().await?
    });
    pages!(source.sessions, |it: &Session| it.id, page => {
        let mut unit = target.begin().await?;
        for session in &page {
            here.sessions.add(session);
            if unit.sessions().find_with_user(session.id).await?.is_none() {
                unit.sessions().insert(session).await?;
            }
        }
        unit.commit().await?
    });
    pages!(source.idempotency, |it: &IdempotencyRecord| it.key.clone(), page => {
        let mut unit = target.begin().await?;
        for record in &page {
            here.idempotency.add(record);
            unless(unit.idempotency().insert(record).await, "idempotency.key")?;
        }
        unit.commit().await?
    });
    pages!(source.outbox, |it: &(i64, _)| it.0, page => {
        let mut unit = target.begin().await?;
        for (_, job) in &page {
            here.outbox.add(job);
            unit.outbox().enqueue(job).await?;
        }
        unit.commit().await?
    });
    let there = read_back(servers).await?;
    let Tallies { users, sessions, idempotency, outbox } = here;
    users.require(&there.users)?;
    sessions.require(&there.sessions)?;
    idempotency.require(&there.idempotency)?;
    outbox.require(&there.outbox)?;
    Ok([users, sessions, idempotency, outbox])
}

/// What an earlier run carried is left as it is; reading it back tells whether it is still the same.
fn unless(inserted: Result<(), PortError>, is_there: &str) -> Result<(), PortError> {
    match inserted {
        Err(error) if error.conflicts_on(is_there) => Ok(()),
        other => other,
    }
}

async fn read_back(servers: &PostgresConfig) -> Result<Tallies, Failure> {
    let mut export = PostgresExport::open(servers).await?;
    let mut there = Tallies::none();
    pages!(export.users, |it: &User| it.id, page => for user in &page {
        there.users.add(user);
    });
    pages!(export.sessions, |it: &Session| it.id, page => for session in &page {
        there.sessions.add(session);
    });
    pages!(export.idempotency, |it: &IdempotencyRecord| it.key.clone(), page => for record in &page {
        there.idempotency.add(record);
    });
    pages!(export.outbox, |it: &(i64, _)| it.0, page => for (_, job) in &page {
        there.outbox.add(job);
    });
    export.close().await;
    Ok(there)
}
