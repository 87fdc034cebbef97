//! Avatars: the picture of a user, as far as the user's row knows of it. The bytes are in the storage.
//!
//! Every upload has an identity of its own, so that no name in the storage is ever used twice, and the row alone says
//! which of them counts: what it does not name may be removed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of one uploaded picture: a UUID of version 7, never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AvatarId(pub Uuid);

impl fmt::Display for AvatarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A picture that is stored in all its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avatar {
    /// Which upload it was made from.
    pub id: AvatarId,
    /// What all its forms are.
    pub kind: PictureKind,
}

/// A kind of picture that users may have. All are pixels alone: none can carry a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PictureKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl PictureKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::WebP];

    /// The media type, which is the stable name in stores, too.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// Pictures are of another media type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a picture is one of image/png, image/jpeg, image/webp")]
pub struct PictureKindUnknown;

impl FromStr for PictureKind {
    type Err = PictureKindUnknown;

    fn from_str(media_type: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.media_type() == media_type).ok_or(PictureKindUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_media_type() {
        for kind in PictureKind::ALL {
            assert_eq!(kind.media_type().parse(), Ok(kind));
        }
        for other in ["image/svg+xml", "IMAGE/PNG", "image/jpg", ""] {
            assert_eq!(other.parse::<PictureKind>(), Err(PictureKindUnknown));
        }
    }
}
