//! The task: makes the forms of an upload, and removes what no row names any more.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portwright_domain::avatar::{Avatar, AvatarId};
use portwright_domain::ports::{Consistency, ObjectInfo, UnitOfWork};
use portwright_domain::user::{User, UserId};
use portwright_domain::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};

use super::objects::{Part, key, prefix, what};
use super::picture::{Drawn, Undrawn, draw};
use super::{Avatars, MAX_BYTES};
use crate::prelude::*;
use crate::transact;
use crate::transact::Committed;

/// No upload takes longer, from its first byte to its row.
const LONGEST_UPLOAD: Duration = Duration::from_hours(1);
/// How many objects are looked at a time.
const PAGE: u32 = 100;

/// Which upload of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailsOf {
    /// Whose picture it is to be.
    pub user: UserId,
    /// The upload.
    pub picture: AvatarId,
}

/// What the task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thumbnails {
    /// The upload is the picture of its user, in every form.
    Stored,
    /// It is not to be: there is a newer one, the picture was removed, or the user was.
    Superseded,
}

/// Why the task has no forms to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", content = "about", rename_all = "kebab-case")]
pub enum ThumbnailsError {
    /// The upload cannot be decoded. It was removed.
    #[error("the upload is no picture that can be decoded: {detail}")]
    InvalidImage {
        /// What the decoder said.
        detail: String,
    },
    /// The task was told to stop.
    #[error("told to stop")]
    Stopped,
    /// The store or the storage failed.
    #[error("the outside world failed: {kind}")]
    Outside {
        /// What can be done about it.
        kind: ErrorKind,
    },
    /// The engine's.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl TaskError for ThumbnailsError {
    fn retryable(&self) -> bool {
        matches!(self, Self::Outside { kind: ErrorKind::Unavailable | ErrorKind::Contended })
    }
}

impl From<PortError> for ThumbnailsError {
    fn from(error: PortError) -> Self {
        tracing::warn!(%error, "thumbnails are not made");
        Self::Outside { kind: error.kind() }
    }
}

impl From<Undrawn> for ThumbnailsError {
    fn from(undrawn: Undrawn) -> Self {
        match undrawn {
            Undrawn::NoPicture(detail) => Self::InvalidImage { detail },
            Undrawn::Stopped => Self::Stopped,
        }
    }
}

#[service(name = "users")]
impl Avatars {
    /// Brings the storage in line with the row: makes the forms of an upload and shows them, if it is still the newest
    /// one, and removes everything of this user that is neither shown nor the newest upload.
    ///
    /// It may start over at any point, and comes to the same objects under the same names. A picture that is shown is a success,
    /// also where nothing can be removed.
    #[compute(name = "users.thumbnails", queue = "cpu", timeout = "2m")]
    pub async fn thumbnails(
        &self,
        of: ThumbnailsOf,
        context: TaskContext,
    ) -> Result<Thumbnails, ThumbnailsError> {
        let made = self.make(of, &context).await;
        if let Err(ThumbnailsError::InvalidImage { .. }) = &made {
            let forgotten: Committed<()> =
                transact!(self.transactions, "avatars.forget", |uow| forget_upload_in(uow, of).await)?;
            let () = forgotten.value;
        } else if made.is_err() {
            return made;
        }
        let Err(error) = self.sweep(of).await else { return made };
        tracing::warn!(%error, user = %of.user, "what no row names any more was left behind");
        let unswept = ThumbnailsError::Outside { kind: error.kind() };
        match made {
            // Nothing else was to be done.
            Ok(Thumbnails::Superseded) => Err(unswept),
            Ok(Thumbnails::Stored) if unswept.retryable() && !context.is_last_attempt() => Err(unswept),
            // The picture is shown, and the next sweep finds what was before; or it is none, and another try would not find the
            // upload, and so not know what was wrong with it.
            Ok(Thumbnails::Stored) | Err(_) => made,
        }
    }
}

impl Avatars {
    async fn make(&self, of: ThumbnailsOf, context: &TaskContext) -> Result<Thumbnails, ThumbnailsError> {
        if let Some(settled) = self.settled(of).await? {
            return Ok(settled);
        }
        let Some(upload) = self.upload(of).await? else {
            // Somebody removed it since the row was read.
            let lost = || PortError::new(ErrorKind::Corrupt, "avatars.thumbnails", "the upload is lost");
            return self.settled(of).await?.ok_or_else(|| lost().into());
        };
        // Never closed.
        let turn = self.easel.acquire().await;
        let drawn = context.blocking(move |context| draw(&upload, || !context.is_cancelled())).await;
        drop(turn);
        let Drawn { kind, forms } = drawn?;
        for (form, bytes) in forms {
            if context.is_cancelled() {
                return Err(ThumbnailsError::Stopped);
            }
            self.storage.put(&key(of.user, of.picture, Part::Form(form))?, Box::new(Some(bytes))).await?;
        }
        let avatar = Avatar { id: of.picture, kind };
        let shown: Committed<Thumbnails> =
            transact!(self.transactions, "avatars.show", |uow| self.show_in(uow, of.user, avatar).await)?;
        Ok(shown.value)
    }

    /// What has become of an upload; `None` if something is still to be done.
    pub(super) async fn settled(&self, of: ThumbnailsOf) -> Result<Option<Thumbnails>, PortError> {
        let user = self.stored(of.user).await?;
        let shown = user.as_ref().and_then(|user| user.avatar).map(|avatar| avatar.id);
        let newest = user.and_then(|user| user.avatar_upload);
        Ok(match (shown == Some(of.picture), newest == Some(of.picture)) {
            (true, _) => Some(Thumbnails::Stored),
            (false, true) => None,
            (false, false) => Some(Thumbnails::Superseded),
        })
    }

    async fn stored(&self, user: UserId) -> Result<Option<User>, PortError> {
        self.store.read(Consistency::Strong).await?.users().find(user).await
    }

    /// The bytes of an upload, which are few.
    async fn upload(&self, of: ThumbnailsOf) -> Result<Option<Bytes>, PortError> {
        let Some(mut object) = self.storage.get(&key(of.user, of.picture, Part::Upload)?).await? else {
            return Ok(None);
        };
        let mut upload = BytesMut::new();
        while let Some(part) = object.body.next().await? {
            upload.extend_from_slice(&part);
            if upload.len() as u64 > MAX_BYTES {
                return Err(PortError::new(ErrorKind::Corrupt, "avatars.thumbnails", "the upload has grown"));
            }
        }
        Ok(Some(upload.freeze()))
    }

    async fn show_in(
        &self,
        uow: &mut dyn UnitOfWork,
        user: UserId,
        avatar: Avatar,
    ) -> Result<Thumbnails, PortError> {
        match uow.users().find(user).await? {
            Some(before) if before.avatar_upload == Some(avatar.id) => {
                let (updated_at, version) = (self.clock.now(), before.version.next());
                let avatar = Some(avatar);
                uow.users()
                    .update(&User { avatar, avatar_upload: None, updated_at, version, ..before })
                    .await?;
                Ok(Thumbnails::Stored)
            }
            _ => Ok(Thumbnails::Superseded),
        }
    }

    /// Removes what no row names.
    async fn sweep(&self, of: ThumbnailsOf) -> Result<(), PortError> {
        let mut after = None;
        loop {
            let page = self.storage.list(&prefix(of.user), after.as_ref(), PAGE).await?;
            // Read after the list: what is not named now never will be, but for uploads that are still coming.
            let user = self.stored(of.user).await?;
            for object in page.iter().filter(|object| !self.is_needed(of, user.as_ref(), object)) {
                self.storage.remove(&object.key).await?;
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
            after = page.into_iter().last().map(|last| last.key);
        }
    }

    fn is_needed(&self, of: ThumbnailsOf, user: Option<&User>, object: &ObjectInfo) -> bool {
        // What others put there is theirs.
        let Some((picture, is_upload)) = what(of.user, &object.key) else { return true };
        let Some(user) = user else { return false };
        let is_shown = user.avatar.is_some_and(|avatar| avatar.id == picture);
        if user.avatar_upload == Some(picture) || (is_shown && !is_upload) {
            return true;
        }
        let is_recent = object.modified_at.plus(LONGEST_UPLOAD) > self.clock.now();
        is_upload && is_recent && !is_shown && picture != of.picture
    }
}

/// Nothing comes of an upload.
async fn forget_upload_in(uow: &mut dyn UnitOfWork, of: ThumbnailsOf) -> Result<(), PortError> {
    match uow.users().find(of.user).await? {
        Some(before) if before.avatar_upload == Some(of.picture) => {
            let version = before.version.next();
            uow.users().update(&User { avatar_upload: None, version, ..before }).await
        }
        _ => Ok(()),
    }
}
