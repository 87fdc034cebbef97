//! The store: everything that must be true together, and stay.
//!
//! A [`Store`] opens a [`ReadView`] to look or a [`UnitOfWork`] to change. Both hand out one accessor per kind of
//! thing, borrowed from the same transaction. Entities arrive complete, with their id and times: a store invents
//! nothing.
//!
//! Deliberately absent: a lazy or nested transaction, and a way to run a closure in one. Transactions that retry are
//! loops in the application (decision record 4).

use async_trait::async_trait;

use crate::error::PortError;
use crate::idempotency::{IdempotencyKey, IdempotencyRecord, Progress};
use crate::job::{JobId, NewJob};
use crate::page::{Direction, Page, PageRequest};
use crate::session::{Generation, Session, SessionId};
use crate::time::Timestamp;
use crate::user::{Email, User, UserFilter, UserId, UserSort};

/// Proof of a commit, to be given back with a later read. Opaque: only the store that made it understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitToken(String);

impl CommitToken {
    /// What the store needs to find the commit again: 1–128 visible ASCII characters.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text that [`CommitToken::new`] was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a read showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What was there.
    pub value: T,
    /// A later read that gives it back never sees an older state. `None` if none does anyway.
    pub token: Option<CommitToken>,
}

/// How fresh a read must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consistency {
    /// Any recent state will do; a replica may answer.
    Eventual,
    /// At least the state of that commit.
    After(CommitToken),
    /// The newest state; the primary answers.
    Strong,
}

/// Where users, sessions and everything else that must survive is kept.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Opens a read-only view at least as fresh as `consistency` asks.
    ///
    /// # Errors
    /// `Unavailable` if nobody can answer in time; `Unsupported` if the token is not one of this store's.
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError>;

    /// The session of this id with its user in the newest state, as [`SessionQueries::find_with_user`] of a view. Every
    /// signed-in request asks this, so a store may answer many that come at once together.
    ///
    /// # Errors
    /// As for [`Store::read`].
    async fn session(&self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        self.read(Consistency::Strong).await?.sessions().find_with_user(id).await
    }

    /// The user of this id, at least as fresh as `consistency` asks, as [`UserQueries::find`] of a view; also together
    /// with others.
    ///
    /// # Errors
    /// As for [`Store::read`].
    async fn user(&self, id: UserId, consistency: Consistency) -> Result<Seen<Option<User>>, PortError> {
        let mut view = self.read(consistency).await?;
        let value = view.users().find(id).await?;
        Ok(Seen { value, token: view.seen() })
    }

    /// Opens a read-write transaction.
    ///
    /// Dropping the future at any point, or the unit of work without committing it, rolls everything back and leaves
    /// nothing locked.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer in time; `Contended` if it is too busy to begin.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError>;
}

/// A read-only view.
pub trait ReadView: Send {
    /// Users.
    fn users(&mut self) -> &mut dyn UserQueries;
    /// Sessions.
    fn sessions(&mut self) -> &mut dyn SessionQueries;

    /// A token for later reads that shall not show an older state than this view has shown. `None` if it has shown
    /// nothing yet, or if no read of this store ever shows an older state than one before it.
    fn seen(&self) -> Option<CommitToken>;
}

/// A read-write transaction: all of it happens, or none.
///
/// What it reads includes its own writes. Two units of work that could break a rule together (each demotes the other
/// one's last admin) do not both commit: one of them gets `Contended`.
#[async_trait]
pub trait UnitOfWork: Send {
    /// Users.
    fn users(&mut self) -> &mut dyn UserRepository;
    /// Sessions.
    fn sessions(&mut self) -> &mut dyn SessionRepository;
    /// Idempotency keys.
    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository;
    /// Jobs that depend on this transaction.
    fn outbox(&mut self) -> &mut dyn Outbox;

    /// Makes everything visible and durable at once.
    ///
    /// # Errors
    /// `Contended`: nothing happened, start over. `Unavailable`: the store could not be reached, and it may have happened,
    /// if it went away in the middle of the commit and does not tell since; so whoever does the same work again must be
    /// able to tell that it was done.
    async fn commit(self: Box<Self>) -> Result<CommitToken, PortError>;

    /// Undoes everything. Dropping does so too; this form waits for it.
    ///
    /// # Errors
    /// `Unavailable` if the store could not be told; it undoes the work by itself then.
    async fn rollback(self: Box<Self>) -> Result<(), PortError>;
}

/// Looking for users.
#[async_trait]
pub trait UserQueries: Send {
    /// The user of this id.
    async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError>;

    /// The user whose address has the same [`Email::key`].
    async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError>;

    /// Those that [`UserFilter::matches`], ordered by [`UserSort::key_of`] and then by id, both in `direction`.
    ///
    /// A numbered page past the last is empty and knows the total. A walk goes on behind its position although the
    /// row there is gone, and its last page has no next position.
    async fn list(
        &mut self,
        filter: &UserFilter,
        sort: UserSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<User>, PortError>;
}

/// Changing users.
#[async_trait]
pub trait UserRepository: UserQueries {
    /// Stores every field exactly as given.
    ///
    /// # Errors
    /// `Conflict("users.email")` if another user's address has the same key, `Conflict("users.id")` if the id is
    /// taken; the transaction stays usable after either.
    async fn insert(&mut self, user: &User) -> Result<(), PortError>;

    /// Replaces every field but `id`, `created_at` and `last_login`, if the stored version is the one before
    /// `user.version`.
    ///
    /// # Errors
    /// `Conflict("users.version")` if the stored version is another or the user is gone, `Conflict("users.email")` as
    /// for `insert`; the transaction stays usable after either.
    async fn update(&mut self, user: &User) -> Result<(), PortError>;

    /// Sets `last_login` and nothing else; whoever is gone is left alone.
    async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError>;

    /// Replaces the password hash and nothing else, if the stored one is still `from`. For a hash of newer
    /// parameters of the same password, which is not a change of the user.
    async fn rehash(
        &mut self,
        id: UserId,
        from: &crate::user::PasswordHash,
        to: &crate::user::PasswordHash,
    ) -> Result<(), PortError>;

    /// Removes the user and all its sessions; true if there was something to remove.
    async fn remove(&mut self, id: UserId) -> Result<bool, PortError>;

    /// How many active admins there are besides `id`, for the rule that one must be left.
    async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError>;
}

/// Looking for sessions.
#[async_trait]
pub trait SessionQueries: Send {
    /// The session of this id with its user. Expiry and activity are for the caller to judge.
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError>;
}

/// Changing sessions.
#[async_trait]
pub trait SessionRepository: SessionQueries {
    /// Stores a session that begins.
    ///
    /// # Errors
    /// `Conflict("sessions.user")` if its user does not exist; the transaction stays usable.
    async fn insert(&mut self, session: &Session) -> Result<(), PortError>;

    /// Replaces generation and expiry, if the stored generation is still `from`; true if it was. Of many with one
    /// `from`, exactly one gets true.
    async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError>;

    /// Ends one session; true if there was something to end.
    async fn remove(&mut self, id: SessionId) -> Result<bool, PortError>;

    /// Ends all sessions of a user but `keep`; returns how many.
    async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError>;

    /// Forgets up to 1,000 sessions that expired at or before `now`; returns how many.
    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError>;
}

/// Idempotency keys.
#[async_trait]
pub trait IdempotencyRepository: Send {
    /// What is known of this key, expired or not.
    async fn find(&mut self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, PortError>;

    /// Records the first use of a key.
    ///
    /// # Errors
    /// `Conflict("idempotency.key")` if it is recorded already; the transaction stays usable.
    async fn insert(&mut self, record: &IdempotencyRecord) -> Result<(), PortError>;

    /// Replaces progress and expiry, not when it began; true if the key was recorded.
    async fn update(
        &mut self,
        key: &IdempotencyKey,
        progress: &Progress,
        expires_at: Timestamp,
    ) -> Result<bool, PortError>;

    /// Forgets a key; true if it was recorded.
    async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError>;

    /// Forgets up to 1,000 keys that expired at or before `now`; returns how many.
    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError>;
}

/// Jobs that become runnable if and only if this transaction commits.
#[async_trait]
pub trait Outbox: Send {
    /// Records a job; recording one id twice keeps the first.
    async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError>;

    /// Up to `max` recorded jobs that were not handed over, oldest first, for the relay that hands them to the queue.
    async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError>;

    /// Notes that the queue has taken these jobs, and keeps them: for a queue that can lose what it took. They are
    /// pending no longer; unknown ids are fine.
    async fn hand_over(&mut self, jobs: &[JobId]) -> Result<(), PortError>;

    /// Up to `max` jobs that were handed over, by ascending id, from the first one after this id on.
    async fn handed_over(&mut self, after: Option<JobId>, max: u32) -> Result<Vec<NewJob>, PortError>;

    /// Forgets jobs, pending or handed over; unknown ids are fine.
    async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError>;
}
