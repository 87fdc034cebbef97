//! Imports: many users from one file.
//!
//! The file goes into storage under the identity of its job, part by part. The task reads it twice: first to see that it
//! can be imported at all, so that nobody is created from a file that cannot, and then row by row. It may start over at
//! any moment, because the identity of a user follows from the job and the line: who is there under it was created by
//! this import, and who has the address under another one was there before.
//!
//! Files hold passwords. They are removed by [`Imports::sweep`] as soon as their job has ended, and not by the task: a
//! worker that dies between removing the file and saying so would leave a job that cannot start over. Those of jobs that
//! outages took all tries from are kept as long as the job is, so that it can be run again.

mod error;
mod records;
mod report;
mod rows;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use portwright_domain::access::Principal;
use portwright_domain::job::{Job, JobId, JobState, Progress};
use portwright_domain::ports::{
    Clock, Consistency, JobQueue, ObjectBody, ObjectInfo, ObjectKey, PasswordHasher, Storage, Store,
    UnitOfWork,
};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use ring::digest::{Context, SHA256};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use uuid::{Builder, Uuid, Variant, Version};

pub use self::error::ImportError;
pub use self::report::{ImportReport, RowRefused};

use self::rows::{Row, Rows};
use crate::prelude::*;
use crate::trace::Origin;
use crate::transact;
use crate::transact::{Committed, Transactions};
use crate::transfers::{Tools, TransferError, authorize, object_key, start};
use crate::users::NewUser;

/// The most rows of a file.
pub const MOST_ROWS: u64 = 100_000;

/// So many rows are looked up, hashed and created together: their transaction is over in a few milliseconds.
const BATCH: usize = 100;

/// How often one password is brought to a hasher that is too busy, and how long it is left alone in between.
const HASHING_TRIES: u32 = 30;
const HASHING_PAUSE: Duration = Duration::from_secs(1);

const FOLDER: &str = "imports/";

/// How long a file may lie there that no job is known of: it arrived a moment ago, and its job is about to be enqueued.
const JOB_COMES: Duration = Duration::from_hours(1);

/// The import of users.
pub struct Imports {
    compute: Compute,
    queue: Arc<dyn JobQueue>,
    store: Arc<dyn Store>,
    transactions: Transactions,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    hasher: Arc<dyn PasswordHasher>,
    /// All imports of this process together hash no more at a time than the hasher does, so none of them waits in its
    /// queue, where it might be refused, or another caller because of it.
    hashing: Semaphore,
}

#[service(name = "users")]
impl Imports {
    pub(crate) fn new(tools: &Tools, hasher: Arc<dyn PasswordHasher>) -> Self {
        let Tools { compute, queue, store, transactions, storage, clock } = tools.clone();
        let hashing = Semaphore::new(hasher.at_once());
        Self { compute, queue, store, transactions, storage, clock, hasher, hashing }
    }

    /// Takes a file, part by part, and has it imported: the job that does so, because of this request. Nothing of the
    /// file is looked at before the caller is known to be one who may import.
    pub async fn begin(
        &self,
        caller: Principal,
        origin: Option<Origin>,
        file: Box<dyn ObjectBody>,
    ) -> Result<Job, TransferError> {
        authorize(caller)?;
        let call = self.import_job();
        let (id, key) = (call.id(), file_of(call.id())?);
        self.storage.put(&key, file).await?;
        let begun = start(&*self.queue, caller, origin, call).await;
        // A file that nobody will ask for holds passwords all the same. If it is not known whether somebody will, it is
        // swept later.
        if begun.is_err() && matches!(self.queue.find(id).await, Ok(None)) {
            self.storage.remove(&key).await?;
        }
        begun
    }

    /// Creates the users of the file of its job.
    #[compute(
        queue = "transfers",
        priority = 4,
        attempts = 5,
        backoff = exponential("5s", "5m"),
        timeout = "6h"
    )]
    pub async fn import(&self, context: TaskContext) -> Result<ImportReport, ImportError> {
        let (job, file) = (context.job(), file_of(context.job())?);
        let total = self.survey(&file, &context).await?;
        let mut rows = Rows::of(self.open(&file).await?).await?;
        let mut report = ImportReport::default();
        let mut done = 0;
        loop {
            context.report(Progress { done, total: Some(total), message: None });
            let batch = next_batch(&mut rows).await?;
            if batch.is_empty() {
                return Ok(report);
            }
            done += batch.len() as u64;
            tokio::select! {
                biased;
                () = stopped(&context) => return Err(ImportError::Stopped),
                taken = self.take(job, batch, &mut report) => taken?,
            }
        }
    }

    /// Counts the rows of a file that can be imported as a whole.
    async fn survey(&self, file: &ObjectKey, context: &TaskContext) -> Result<u64, ImportError> {
        let mut rows = Rows::of(self.open(file).await?).await?;
        let mut count = 0;
        while rows.next().await?.is_some() {
            count += 1;
            if count > MOST_ROWS {
                return Err(ImportError::TooManyRows { most: MOST_ROWS });
            }
            if context.is_cancelled() {
                return Err(ImportError::Stopped);
            }
        }
        Ok(count)
    }

    async fn open(&self, file: &ObjectKey) -> Result<Box<dyn ObjectBody>, ImportError> {
        Ok(self.storage.get(file).await?.ok_or(ImportError::FileGone)?.body)
    }

    /// Creates the users of some rows, and enters into the report what became of each.
    async fn take(
        &self,
        job: JobId,
        batch: Vec<Result<Row, RowRefused>>,
        report: &mut ImportReport,
    ) -> Result<(), ImportError> {
        let newcomers = self.judge(job, batch, report).await?;
        let hashed = stream::iter(newcomers).map(|newcomer| self.complete(newcomer));
        let users: Vec<User> = hashed.buffered(self.hasher.at_once()).try_collect().await?;
        let created: Result<Committed<u64>, ImportError> =
            transact!(self.transactions, "imports.create", |uow| create_in(uow, &users).await);
        let created = created?.value;
        report.created += created;
        report.unchanged += users.len() as u64 - created;
        Ok(())
    }

    /// Enters the rows that need no more into the report; the others are users to be created. Nobody is hashed for a
    /// row that creates nobody.
    async fn judge(
        &self,
        job: JobId,
        batch: Vec<Result<Row, RowRefused>>,
        report: &mut ImportReport,
    ) -> Result<Vec<Newcomer>, ImportError> {
        let mut view = self.store.read(Consistency::Strong).await?;
        let mut newcomers: Vec<Newcomer> = Vec::new();
        let mut addresses = HashSet::new();
        for row in batch {
            let (row, email) = match row.and_then(|row| row.email().map(|email| (row, email))) {
                Ok(readable) => readable,
                Err(refused) => {
                    report.refuse(refused);
                    continue;
                }
            };
            let id = identity(job, row.line);
            match view.users().find_by_email(&email).await? {
                Some(user) if user.id == id => report.created += 1,
                Some(_) => report.unchanged += 1,
                None if addresses.contains(email.key()) => report.unchanged += 1,
                None => match row.user(email) {
                    Ok(new) => {
                        addresses.insert(new.email.key().to_owned());
                        newcomers.push(Newcomer { id, new });
                    }
                    Err(refused) => report.refuse(refused),
                },
            }
        }
        Ok(newcomers)
    }

    async fn complete(&self, newcomer: Newcomer) -> Result<User, PortError> {
        let Newcomer { id, new } = newcomer;
        // It is never closed.
        let _turn = self.hashing.acquire().await;
        let mut tries = 1;
        let hash = loop {
            match self.hasher.hash(&new.password).await {
                // The machine has other things to do, and another try of the whole job would only add to them.
                Err(error) if error.kind() == ErrorKind::Unavailable && tries < HASHING_TRIES => {
                    tries += 1;
                    sleep(HASHING_PAUSE).await;
                }
                hash => break hash?,
            }
        };
        Ok(new.complete_as(id, hash, &*self.clock))
    }

    /// Removes the files of imports that have ended, and what was left behind by those that never began.
    pub async fn sweep(&self) -> Result<(), PortError> {
        let mut after = None;
        loop {
            let files = self.storage.list(FOLDER, after.as_ref(), 100).await?;
            let Some(last) = files.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for file in files {
                if self.is_done_with(&file).await? {
                    self.storage.remove(&file.key).await?;
                }
            }
        }
    }

    async fn is_done_with(&self, file: &ObjectInfo) -> Result<bool, PortError> {
        let is_old = self.clock.now().since(file.modified_at) >= JOB_COMES;
        let Some(id) = job_of(&file.key) else { return Ok(is_old) };
        match self.queue.find(id).await? {
            Some(job) => Ok(job.state.is_terminal() && !might_succeed(&job)),
            None => Ok(is_old || self.queue.removed(id).await?.is_some()),
        }
    }
}

/// Whether running it again could end better: it is dead, or failed with its last try, so it is kept for an operator who
/// has it run again. What a first try refuses, it refuses again.
fn might_succeed(job: &Job) -> bool {
    match job.state {
        JobState::Dead => true,
        JobState::Failed => job.attempts >= job.spec.max_attempts,
        _ => false,
    }
}

/// A user to be created under an identity that is known already.
struct Newcomer {
    id: UserId,
    new: NewUser,
}

async fn stopped(context: &TaskContext) {
    if !context.is_cancelled() {
        context.cancelled().await;
    }
}

async fn next_batch(rows: &mut Rows) -> Result<Vec<Result<Row, RowRefused>>, ImportError> {
    let mut batch = Vec::new();
    while batch.len() < BATCH
        && let Some(row) = rows.next().await?
    {
        batch.push(row);
    }
    Ok(batch)
}

/// How many of them are this import's; the addresses of the others were taken since they were looked up.
async fn create_in(uow: &mut dyn UnitOfWork, users: &[User]) -> Result<u64, ImportError> {
    let mut created = 0;
    for user in users {
        match uow.users().insert(user).await {
            Ok(()) => created += 1,
            // An earlier try created it, and its address has changed since.
            Err(error) if error.conflicts_on("users.id") => created += 1,
            Err(error) if error.conflicts_on("users.email") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(created)
}

/// Whom a line of the file of a job creates, however often it is tried: a UUID of version 7 at the time of the job,
/// with a digest where others have randomness.
fn identity(job: JobId, line: u64) -> UserId {
    let mut digest = Context::new(&SHA256);
    digest.update(job.0.as_bytes());
    digest.update(&line.to_be_bytes());
    let digest = digest.finish();
    let mut bytes = *job.0.as_bytes();
    bytes[6..].copy_from_slice(&digest.as_ref()[..10]);
    let id = Builder::from_bytes(bytes).with_version(Version::SortRand).with_variant(Variant::RFC4122);
    UserId(id.into_uuid())
}

fn file_of(job: JobId) -> Result<ObjectKey, PortError> {
    object_key(&format!("{FOLDER}{job}.csv"))
}

fn job_of(file: &ObjectKey) -> Option<JobId> {
    let name = file.as_str().strip_prefix(FOLDER)?.strip_suffix(".csv")?;
    Uuid::try_parse(name).ok().map(JobId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_job_is_always_the_same_user_and_no_other_line_is() {
        let job = |number: u128| JobId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number));
        let all = [job(0), job(1)].map(|job| (1..1_000).map(move |line| identity(job, line)));
        let distinct: HashSet<UserId> = all.into_iter().flatten().collect();
        assert_eq!(distinct.len(), 2 * 999);
        let id = identity(job(1), 7);
        assert_eq!(id, identity(job(1), 7));
        assert_eq!((id.0.get_version_num(), id.0.get_variant()), (7, Variant::RFC4122));
        assert_eq!(id.0.as_bytes()[..6], job(1).0.as_bytes()[..6], "it is of the time of its job");
    }

    #[test]
    fn a_file_tells_its_job() {
        let job = JobId(Uuid::from_u128(7));
        assert_eq!(job_of(&file_of(job).expect("a key")), Some(job));
        for other in ["imports/x.csv", "imports/x", "exports/00000000-0000-0000-0000-000000000007.csv"] {
            assert_eq!(job_of(&ObjectKey::parse(other).expect("a key")), None, "{other}");
        }
    }
}
