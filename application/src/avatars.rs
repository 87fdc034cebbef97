//! Avatars: put, read, remove. The bytes are in the storage, and the row of the user says which of them count.
//!
//! ```text
//! upload ──► storage ──► row: the newest upload, with a job in the outbox ──► task: forms ──► row: the picture
//!    │ stopped as it passes: too long, another kind, too many pixels           │ sweep: what no row names
//! ```
//! Invariants
//! - A row never names what is not there: bytes come before the row, and go after it.
//! - Of several uploads the one that was recorded last wins, whichever is worked on longest; a removal wins over all
//!   before it.
//! - What no row names is removed by the task, which every change leaves behind in its own transaction: it happens
//!   although the process that asked for it dies.
//! - Nothing is decoded here, nor kept in memory; see [`thumbnails`](Avatars::thumbnails).

mod header;
mod inspection;
mod objects;
mod picture;
mod thumbnails;

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::access::{Access, Action, Principal, decide};
use portwright_domain::avatar::{Avatar, AvatarId, PictureKind};
use portwright_domain::job::{Job, JobId};
use portwright_domain::ports::{
    Clock, Consistency, IdGenerator, JobQueue, Object, ObjectBody, Storage, Store, UnitOfWork,
};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError, Race};
use tokio::sync::Semaphore;

use self::inspection::{Inspected, Stopped};
pub use self::objects::AvatarForm;
use self::objects::{Part, key};
pub use self::thumbnails::{Thumbnails, ThumbnailsError, ThumbnailsOf};
use crate::compute::{Call, Compute, ComputeError};
use crate::reads;
use crate::trace::Origin;
use crate::transact;
use crate::transact::{Committed, MaybeContended, Transactions, race_for_user};
use crate::transfers::Tools;

/// The most bytes of an upload.
pub const MAX_BYTES: u64 = 5 * 1024 * 1024;

/// The most pixels of an upload.
pub const MAX_PIXELS: u64 = 20_000_000;

/// Why a use case on avatars did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AvatarError {
    /// The caller's role may never do that.
    #[error("the role may not do that")]
    Forbidden,
    /// There is no such user or no picture, or the caller may not know of it.
    #[error("no such picture")]
    NotFound,
    /// The user has another picture than the caller expected.
    #[error("the picture has changed meanwhile")]
    Changed,
    /// The upload is longer than [`MAX_BYTES`].
    #[error("the upload is too large")]
    TooLarge,
    /// The upload is of another kind than it was said to be.
    #[error("the upload is not what it was said to be")]
    OtherKind,
    /// The upload cannot be decoded, or has more than [`MAX_PIXELS`].
    #[error("the upload is no picture that can be decoded")]
    InvalidImage,
    /// The rest of the upload did not come.
    #[error("the upload ended early")]
    Interrupted,
    /// The engine has no answer.
    #[error(transparent)]
    Compute(ComputeError),
    /// The outside world failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl MaybeContended for AvatarError {
    fn lost_race(&self) -> Option<Race> {
        match self {
            Self::Port(error) => race_for_user(error),
            _ => None,
        }
    }
}

impl From<Stopped> for AvatarError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::TooLarge => Self::TooLarge,
            Stopped::OtherKind => Self::OtherKind,
            Stopped::NoPicture => Self::InvalidImage,
            Stopped::Interrupted => Self::Interrupted,
        }
    }
}

impl From<ThumbnailsError> for AvatarError {
    fn from(error: ThumbnailsError) -> Self {
        match error {
            ThumbnailsError::InvalidImage { .. } => Self::InvalidImage,
            ThumbnailsError::Outside { kind } => {
                Self::Port(PortError::new(kind, "avatars.thumbnails", "the task failed"))
            }
            ThumbnailsError::Stopped => {
                Self::Port(PortError::new(ErrorKind::Unavailable, "avatars.thumbnails", "the task stopped"))
            }
            ThumbnailsError::Compute(error) => Self::Compute(error),
        }
    }
}

/// The picture that a caller expects a user to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any.
    Any,
    /// One of these.
    OneOf(Vec<AvatarId>),
}

impl Expected {
    fn check(expected: Option<&Self>, avatar: Option<Avatar>) -> Result<(), AvatarError> {
        let met = match (expected, avatar) {
            (None, _) | (Some(Self::Any), Some(_)) => true,
            (Some(Self::OneOf(ids)), Some(avatar)) => ids.contains(&avatar.id),
            (Some(_), None) => false,
        };
        if met { Ok(()) } else { Err(AvatarError::Changed) }
    }
}

/// A picture on its way.
pub struct Upload {
    /// What it is said to be.
    pub kind: PictureKind,
    /// Its bytes.
    pub body: Box<dyn ObjectBody>,
    /// The picture that it is to replace.
    pub expected: Option<Expected>,
    /// How long to wait for it to be shown; `None` does not wait.
    pub wait: Option<Duration>,
    /// The request.
    pub origin: Option<Origin>,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq)]
pub enum Uploaded {
    /// It is the picture of this user, or was, if somebody was quick.
    Shown(Box<User>),
    /// It will be, when this job has ended.
    Pending(Box<Job>),
}

/// What a reader gets.
#[derive(Debug)]
pub enum Reading {
    /// The reader has it already.
    Known(Avatar),
    /// The picture and the bytes of one form.
    Picture(Avatar, Object),
}

/// The use cases on avatars.
pub struct Avatars {
    store: Arc<dyn Store>,
    transactions: Transactions,
    storage: Arc<dyn Storage>,
    queue: Arc<dyn JobQueue>,
    compute: Compute,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    /// A picture takes up to a few hundred megabytes while it is drawn: one at a time in each process.
    easel: Semaphore,
}

impl Avatars {
    pub(crate) fn new(tools: &Tools, ids: Arc<dyn IdGenerator>) -> Self {
        let Tools { compute, queue, store, transactions, storage, clock } = tools.clone();
        Self { store, transactions, storage, queue, compute, clock, ids, easel: Semaphore::new(1) }
    }

    /// Gives a user a picture.
    ///
    /// Whatever becomes of the wait, the upload is durable once this answers `Ok`. Trying again is always safe: the last
    /// one wins.
    pub async fn put(
        &self,
        caller: Principal,
        id: UserId,
        upload: Upload,
    ) -> Result<Committed<Uploaded>, AvatarError> {
        let Upload { kind, body, expected, wait, origin } = upload;
        authorize(caller, id)?;
        let of = ThumbnailsOf { user: id, picture: AvatarId(self.ids.next()) };
        self.store_upload(of, kind, body).await?;
        let job = JobId(self.ids.next());
        let call = || {
            let call = self.thumbnails_job(of).with_id(job).created_by(caller.user_id);
            origin.iter().cloned().fold(call, Call::caused_by)
        };
        let recorded: Result<Committed<()>, AvatarError> =
            transact!(self.transactions, "avatars.put", |uow| {
                self.record_in(uow, of, expected.as_ref(), call()).await
            });
        let token = match recorded {
            Ok(recorded) => recorded.token,
            Err(error) => {
                self.discard_upload(of).await;
                return Err(error);
            }
        };
        // The relay would bring the job to the queue, too; this is at once, and twice is once.
        let ended = match wait {
            None => call().enqueue().await.map(|_| false).map_err(AvatarError::Compute)?,
            Some(wait) => match call().wait(wait).await {
                Ok(Thumbnails::Stored | Thumbnails::Superseded) => true,
                // It may be shown, and only the one before be still there.
                Err(ThumbnailsError::Compute(ComputeError::Unfinished { .. })) => {
                    self.settled(of).await? == Some(Thumbnails::Stored)
                }
                Err(error) => return Err(error.into()),
            },
        };
        if !ended && let Some(job) = self.queue.find(job).await? {
            return Ok(Committed { value: Uploaded::Pending(Box::new(job)), token });
        }
        self.shown(id).await
    }

    /// One form of the picture of a user, which everybody who is signed in may see. Is opened unless the reader says
    /// that it is known.
    pub async fn read(
        &self,
        id: UserId,
        form: AvatarForm,
        mut consistency: Consistency,
        is_known: impl Fn(Avatar) -> bool + Send,
    ) -> Result<Reading, AvatarError> {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            let mut view = reads::view(&*self.store, consistency).await?;
            let user = view.users().find(id).await?;
            drop(view);
            let avatar = user.and_then(|user| user.avatar).ok_or(AvatarError::NotFound)?;
            if is_known(avatar) {
                return Ok(Reading::Known(avatar));
            }
            if let Some(object) = self.storage.get(&key(id, avatar.id, Part::Form(form))?).await? {
                return Ok(Reading::Picture(avatar, object));
            }
            // It was replaced since the row was read.
            consistency = Consistency::Strong;
        }
        let lost = "the storage does not have the picture that the row names";
        Err(PortError::new(ErrorKind::Corrupt, "avatars.read", lost).into())
    }

    /// Takes the picture of a user away, and every upload of which none has been made yet. There may be none.
    pub async fn remove(
        &self,
        caller: Principal,
        id: UserId,
        expected: Option<Expected>,
    ) -> Result<Committed<()>, AvatarError> {
        authorize(caller, id)?;
        transact!(self.transactions, "avatars.remove", |uow| {
            self.remove_in(uow, id, expected.as_ref()).await
        })
    }

    /// Has everything removed from the storage that `user` names, once this transaction has committed. To be called by
    /// whoever removes the user or its picture.
    pub(crate) async fn forget_in(&self, uow: &mut dyn UnitOfWork, user: &User) -> Result<(), PortError> {
        let named = [user.avatar.map(|avatar| avatar.id), user.avatar_upload];
        for picture in named.into_iter().flatten() {
            let sweep = self.thumbnails_job(ThumbnailsOf { user: user.id, picture });
            sweep.enqueue_in(uow).await.map_err(not_recorded)?;
        }
        Ok(())
    }

    /// Stores an upload as it comes, if the user is there and as long as it looks like a picture.
    async fn store_upload(
        &self,
        of: ThumbnailsOf,
        kind: PictureKind,
        body: Box<dyn ObjectBody>,
    ) -> Result<(), AvatarError> {
        let mut view = reads::view(&*self.store, Consistency::Strong).await?;
        let user = view.users().find(of.user).await?;
        drop(view);
        user.ok_or(AvatarError::NotFound)?;
        let (body, stopped) = Inspected::new(body, kind);
        let stored = self.storage.put(&key(of.user, of.picture, Part::Upload)?, Box::new(body)).await;
        match stopped.get() {
            Some(stopped) => Err((*stopped).into()),
            None => Ok(stored.map(drop)?),
        }
    }

    async fn record_in(
        &self,
        uow: &mut dyn UnitOfWork,
        of: ThumbnailsOf,
        expected: Option<&Expected>,
        call: Call<'_, Thumbnails, ThumbnailsError>,
    ) -> Result<(), AvatarError> {
        let before = uow.users().find(of.user).await?.ok_or(AvatarError::NotFound)?;
        Expected::check(expected, before.avatar)?;
        let version = before.version.next();
        let after = User { avatar_upload: Some(of.picture), version, ..before };
        uow.users().update(&after).await?;
        call.enqueue_in(uow).await.map_err(not_recorded)?;
        Ok(())
    }

    async fn remove_in(
        &self,
        uow: &mut dyn UnitOfWork,
        id: UserId,
        expected: Option<&Expected>,
    ) -> Result<(), AvatarError> {
        let before = uow.users().find(id).await?.ok_or(AvatarError::NotFound)?;
        Expected::check(expected, before.avatar)?;
        if before.avatar.is_none() && before.avatar_upload.is_none() {
            return Ok(());
        }
        self.forget_in(uow, &before).await?;
        let updated_at = if before.avatar.is_some() { self.clock.now() } else { before.updated_at };
        let version = before.version.next();
        let after = User { avatar: None, avatar_upload: None, updated_at, version, ..before };
        uow.users().update(&after).await?;
        Ok(())
    }

    /// The user as it is now, and the proof of a commit that is no older than what the task did.
    async fn shown(&self, id: UserId) -> Result<Committed<Uploaded>, AvatarError> {
        let user: Result<Committed<Option<User>>, PortError> =
            transact!(self.transactions, "avatars.shown", |uow| uow.users().find(id).await);
        let Committed { value, token } = user?;
        let user = value.ok_or(AvatarError::NotFound)?;
        Ok(Committed { value: Uploaded::Shown(Box::new(user)), token })
    }

    /// Removes an upload that no row names. If that fails, the next sweep finds it.
    async fn discard_upload(&self, of: ThumbnailsOf) {
        let removed = match key(of.user, of.picture, Part::Upload) {
            Ok(key) => self.storage.remove(&key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, user = %of.user, picture = %of.picture, "an upload was left behind");
        }
    }
}

fn authorize(caller: Principal, owner: UserId) -> Result<(), AvatarError> {
    match decide(caller.role, Action::ChangeProfile, caller.relation_to(owner)) {
        Access::Granted => Ok(()),
        Access::Forbidden => Err(AvatarError::Forbidden),
        Access::Hidden => Err(AvatarError::NotFound),
    }
}

/// Why a job could not be written into a transaction: the store is all that is asked.
fn not_recorded(error: ComputeError) -> PortError {
    match error {
        ComputeError::Queue { kind, detail } => PortError::new(kind, "avatars.enqueue_in", detail),
        other => PortError::new(ErrorKind::Misconfigured, "avatars.enqueue_in", other.to_string()),
    }
}
