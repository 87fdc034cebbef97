//! [`Office`]: a world with an administrator, files, and a worker that deals with them.

use std::sync::Arc;

use bytes::Bytes;

use portwright_application::compute::{Worker, WorkerOptions};
use portwright_application::exports::{ExportFormat, ExportOrder};
use portwright_application::imports::{ImportError, ImportReport};
use portwright_application::transfers::TransferError;
use portwright_domain::access::Role;
use portwright_domain::job::{Job, JobId, JobState, Outcome, WorkerId};
use portwright_domain::page::{Direction, Limit, PageRequest, Rest};
use portwright_domain::ports::{Consistency, JobQueue, ObjectBody};
use portwright_domain::user::{User, UserFilter, UserSort};
use serde::de::DeserializeOwned;

use crate::world::{Person, Setup, World, email};

/// The header that most files have.
pub(crate) const HEADER: &str = "email,firstName,lastName,role,password";

pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) admin: Person,
}

impl Office {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let world = World::with(change);
        let admin = world.person("admin", Role::Admin).await;
        world.hasher.take_counts();
        Self { world, admin }
    }

    pub(crate) fn worker(&self, name: &str) -> Worker {
        let options = WorkerOptions::new(WorkerId::parse(name).expect("a valid name"));
        let tasks = Arc::new(portwright_application::task_registry(&self.world.services));
        Worker::new(self.world.queue.clone(), tasks, self.world.events.clone(), options)
    }

    /// Runs whatever is ready.
    pub(crate) async fn drain(&self) {
        self.worker("drain").drain().await.expect("the queue is there");
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.world.queue.find(id).await.expect("find works").expect("it is known")
    }

    /// What a job that has ended came to.
    pub(crate) async fn outcome(&self, id: JobId) -> Outcome {
        self.job(id).await.outcome.expect("it has ended")
    }

    /// The result of a job that succeeded.
    #[track_caller]
    pub(crate) fn result<T: DeserializeOwned>(job: &Job) -> T {
        match &job.outcome {
            Some(Outcome::Succeeded(result)) => serde_json::from_slice(result).expect("it is read"),
            other => panic!("no result: {other:?}"),
        }
    }

    /// Has a file imported that arrives in these parts.
    pub(crate) async fn submit_in_parts(&self, parts: Vec<Bytes>) -> JobId {
        let body: Box<dyn ObjectBody> = Box::new(Parts(parts.into_iter()));
        let begun = self.world.services.imports.begin(self.admin.principal(), None, body).await;
        let job = begun.expect("it is taken");
        assert_eq!((job.state, job.spec.created_by), (JobState::Ready, Some(self.admin.id())));
        job.spec.id
    }

    pub(crate) async fn submit(&self, file: impl Into<Bytes>) -> JobId {
        self.submit_in_parts(vec![file.into()]).await
    }

    /// The report of a file that is imported.
    pub(crate) async fn import(&self, file: impl Into<Bytes>) -> ImportReport {
        let id = self.submit(file).await;
        self.drain().await;
        Self::result(&self.job(id).await)
    }

    /// Why a file as a whole is not imported.
    pub(crate) async fn refusal(&self, file: impl Into<Bytes>) -> ImportError {
        let before = self.population().await;
        let id = self.submit(file).await;
        self.drain().await;
        let error = match self.outcome(id).await {
            Outcome::Failed(error) => serde_json::from_slice(&error).expect("it is read"),
            other => panic!("not failed: {other:?}"),
        };
        assert_eq!(self.population().await, before, "somebody was created");
        assert_eq!(self.world.hasher.take_counts(), (0, 0), "somebody was hashed");
        error
    }

    /// How many users there are.
    pub(crate) async fn population(&self) -> u64 {
        let mut view = self.world.store.read(Consistency::Strong).await.expect("reading works");
        let first = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };
        let (all, sort) = (UserFilter::default(), UserSort::CreatedAt);
        let page = view.users().list(&all, sort, Direction::Ascending, &first).await.expect("listing works");
        match page.rest {
            Rest::Total(total) => total,
            Rest::Next(_) => panic!("not numbered"),
        }
    }

    pub(crate) async fn user(&self, address: &str) -> Option<User> {
        let mut view = self.world.store.read(Consistency::Strong).await.expect("reading works");
        view.users().find_by_email(&email(address)).await.expect("finding works")
    }

    /// The names of all files in storage.
    pub(crate) async fn files(&self) -> Vec<String> {
        let files = self.world.storage.list("", None, 1_000).await.expect("listing works");
        files.into_iter().map(|file| file.key.as_str().to_owned()).collect()
    }
}

/// A file with this header and these lines.
pub(crate) fn file(lines: &[&str]) -> String {
    [HEADER].iter().chain(lines).flat_map(|line| [*line, "\n"]).collect()
}

/// A file with so many good rows.
pub(crate) fn file_of(rows: usize) -> String {
    let lines =
        (1..=rows).map(|row| format!("user{row}@example.com,Ada,Lovelace,user,tango-velvet-{row:06}\n"));
    std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
}

struct Parts(std::vec::IntoIter<Bytes>);

#[async_trait::async_trait]
impl ObjectBody for Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, portwright_domain::PortError> {
        Ok(self.0.next())
    }
}

#[tokio::test]
async fn only_admins_transfer_users_and_nothing_of_a_file_is_read_before_that_is_known() {
    struct Untouchable;
    #[async_trait::async_trait]
    impl ObjectBody for Untouchable {
        async fn next(&mut self) -> Result<Option<Bytes>, portwright_domain::PortError> {
            panic!("the file is read");
        }
    }
    let office = Office::new().await;
    let services = &office.world.services;
    for role in [Role::User, Role::Moderator] {
        let caller = office.world.person(role.as_str(), role).await.principal();
        let import = services.imports.begin(caller, None, Box::new(Untouchable)).await.map(drop);
        let order = ExportOrder::of(ExportFormat::Csv, UserFilter::default());
        let export = services.exports.begin(caller, None, order).await.map(drop);
        let id = JobId(office.admin.id().0);
        let open = services.exports.open(caller, id).await.map(drop);
        for answer in [import, export, open] {
            assert!(matches!(answer, Err(TransferError::Forbidden)), "{role}: {answer:?}");
        }
    }
    assert_eq!(office.files().await, [""; 0]);
}
