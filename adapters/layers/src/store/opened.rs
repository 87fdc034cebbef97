//! [`Opened`]: a view or a unit of work, each of whose questions is bounded and counts.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::idempotency::{IdempotencyKey, IdempotencyRecord, Progress};
use portwright_domain::job::{JobId, NewJob};
use portwright_domain::page::{Direction, Page, PageRequest};
use portwright_domain::ports::{
    CommitToken, IdempotencyRepository, Outbox, ReadView, SessionQueries, SessionRepository, UnitOfWork,
    UserQueries, UserRepository,
};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::time::Timestamp;
use portwright_domain::user::{Email, PasswordHash, User, UserFilter, UserId, UserSort};

use crate::guard::Guard;
use crate::policy::StorePolicy;

type View = Box<dyn ReadView>;
type Unit = Box<dyn UnitOfWork>;

/// A [`View`] or a [`Unit`].
pub(super) struct Opened<O> {
    inner: O,
    question: Guard,
    commit: Guard,
}

impl<O> Opened<O> {
    pub(super) fn new(inner: O, guard: &Guard, policy: &StorePolicy) -> Self {
        let (question, commit) = (guard.with_deadline(policy.question), guard.with_deadline(policy.commit));
        Self { inner, question, commit }
    }
}

/// What can be asked of both.
trait Queries: Send {
    fn user_queries(&mut self) -> &mut dyn UserQueries;
    fn session_queries(&mut self) -> &mut dyn SessionQueries;
}

impl Queries for View {
    fn user_queries(&mut self) -> &mut dyn UserQueries {
        self.users()
    }

    fn session_queries(&mut self) -> &mut dyn SessionQueries {
        self.sessions()
    }
}

impl Queries for Unit {
    fn user_queries(&mut self) -> &mut dyn UserQueries {
        self.users()
    }

    fn session_queries(&mut self) -> &mut dyn SessionQueries {
        self.sessions()
    }
}

impl ReadView for Opened<View> {
    fn users(&mut self) -> &mut dyn UserQueries {
        self
    }

    fn sessions(&mut self) -> &mut dyn SessionQueries {
        self
    }

    fn seen(&self) -> Option<CommitToken> {
        self.inner.seen()
    }
}

#[async_trait]
impl UnitOfWork for Opened<Unit> {
    fn users(&mut self) -> &mut dyn UserRepository {
        self
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        self
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        self
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self
    }

    async fn commit(self: Box<Self>) -> Result<CommitToken, PortError> {
        self.commit.within("store.commit", self.inner.commit()).await
    }

    async fn rollback(self: Box<Self>) -> Result<(), PortError> {
        self.question.within("store.rollback", self.inner.rollback()).await
    }
}

#[async_trait]
impl<O: Queries> UserQueries for Opened<O> {
    async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError> {
        self.question.within("users.find", self.inner.user_queries().find(id)).await
    }

    async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError> {
        self.question.within("users.find_by_email", self.inner.user_queries().find_by_email(email)).await
    }

    async fn list(
        &mut self,
        filter: &UserFilter,
        sort: UserSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<User>, PortError> {
        let list = self.inner.user_queries().list(filter, sort, direction, page);
        self.question.within("users.list", list).await
    }
}

#[async_trait]
impl UserRepository for Opened<Unit> {
    async fn insert(&mut self, user: &User) -> Result<(), PortError> {
        self.question.within("users.insert", self.inner.users().insert(user)).await
    }

    async fn update(&mut self, user: &User) -> Result<(), PortError> {
        self.question.within("users.update", self.inner.users().update(user)).await
    }

    async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError> {
        self.question.within("users.record_login", self.inner.users().record_login(id, at)).await
    }

    async fn rehash(&mut self, id: UserId, from: &PasswordHash, to: &PasswordHash) -> Result<(), PortError> {
        self.question.within("users.rehash", self.inner.users().rehash(id, from, to)).await
    }

    async fn remove(&mut self, id: UserId) -> Result<bool, PortError> {
        self.question.within("users.remove", self.inner.users().remove(id)).await
    }

    async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError> {
        let count = self.inner.users().active_admins_besides(id);
        self.question.within("users.active_admins_besides", count).await
    }
}

#[async_trait]
impl<O: Queries> SessionQueries for Opened<O> {
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        let find = self.inner.session_queries().find_with_user(id);
        self.question.within("sessions.find_with_user", find).await
    }
}

#[async_trait]
impl SessionRepository for Opened<Unit> {
    async fn insert(&mut self, session: &Session) -> Result<(), PortError> {
        self.question.within("sessions.insert", self.inner.sessions().insert(session)).await
    }

    async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError> {
        self.question.within("sessions.rotate", self.inner.sessions().rotate(session, from)).await
    }

    async fn remove(&mut self, id: SessionId) -> Result<bool, PortError> {
        self.question.within("sessions.remove", self.inner.sessions().remove(id)).await
    }

    async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError> {
        self.question.within("sessions.remove_all", self.inner.sessions().remove_all(user, keep)).await
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        self.question.within("sessions.remove_expired", self.inner.sessions().remove_expired(now)).await
    }
}

#[async_trait]
impl IdempotencyRepository for Opened<Unit> {
    async fn find(&mut self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, PortError> {
        self.question.within("idempotency.find", self.inner.idempotency().find(key)).await
    }

    async fn insert(&mut self, record: &IdempotencyRecord) -> Result<(), PortError> {
        self.question.within("idempotency.insert", self.inner.idempotency().insert(record)).await
    }

    async fn update(
        &mut self,
        key: &IdempotencyKey,
        progress: &Progress,
        expires_at: Timestamp,
    ) -> Result<bool, PortError> {
        let update = self.inner.idempotency().update(key, progress, expires_at);
        self.question.within("idempotency.update", update).await
    }

    async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError> {
        self.question.within("idempotency.remove", self.inner.idempotency().remove(key)).await
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        self.question.within("idempotency.remove_expired", self.inner.idempotency().remove_expired(now)).await
    }
}

#[async_trait]
impl Outbox for Opened<Unit> {
    async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError> {
        self.question.within("outbox.enqueue", self.inner.outbox().enqueue(job)).await
    }

    async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError> {
        self.question.within("outbox.pending", self.inner.outbox().pending(max)).await
    }

    async fn hand_over(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        self.question.within("outbox.hand_over", self.inner.outbox().hand_over(jobs)).await
    }

    async fn handed_over(&mut self, after: Option<JobId>, max: u32) -> Result<Vec<NewJob>, PortError> {
        self.question.within("outbox.handed_over", self.inner.outbox().handed_over(after, max)).await
    }

    async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError> {
        self.question.within("outbox.remove", self.inner.outbox().remove(jobs)).await
    }
}
