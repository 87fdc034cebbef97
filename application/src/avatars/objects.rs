//! Where the bytes of a picture are: `avatars/<user>/<upload>/<form>`, and `…/upload` as it came.
//!
//! Every name is chosen here; no client has a say in it.

use portwright_domain::PortError;
use portwright_domain::avatar::AvatarId;
use portwright_domain::ports::ObjectKey;
use portwright_domain::user::UserId;
use portwright_domain::{ErrorKind, Invalid};

/// One of the forms in which a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AvatarForm {
    /// At most 64 pixels wide and high.
    Small,
    /// At most 256 pixels wide and high.
    Medium,
    /// At most 512 pixels wide and high.
    Large,
    /// As many pixels as were uploaded.
    Original,
}

impl AvatarForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Small, Self::Medium, Self::Large, Self::Original];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "64",
            Self::Medium => "256",
            Self::Large => "512",
            Self::Original => "original",
        }
    }

    /// The form of this name.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let named = Self::ALL.into_iter().find(|form| form.as_str() == name);
        named.ok_or_else(|| Invalid::new("unknown-value", "one of 64, 256, 512, original"))
    }
}

/// What is stored of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What the client sent. It goes as soon as the forms are there.
    Upload,
    /// What is shown.
    Form(AvatarForm),
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Form(form) => form.as_str(),
        }
    }
}

/// What the keys of all pictures of a user start with.
pub(super) fn prefix(user: UserId) -> String {
    format!("avatars/{user}/")
}

/// Where a part of a picture is.
pub(super) fn key(user: UserId, picture: AvatarId, part: Part) -> Result<ObjectKey, PortError> {
    let key = format!("{}{picture}/{}", prefix(user), part.as_str());
    // Never: it is made of two UUIDs and words of ours.
    ObjectKey::parse(&key)
        .map_err(|invalid| PortError::new(ErrorKind::Unsupported, "avatars.key", invalid.to_string()))
}

/// Of which picture of this user it is, and whether it is an upload or a form, also one that only a newer program
/// knows; `None` if it is nothing of ours.
pub(super) fn what(user: UserId, key: &ObjectKey) -> Option<(AvatarId, bool)> {
    let (picture, part) = key.as_str().strip_prefix(&prefix(user))?.split_once('/')?;
    Some((AvatarId(picture.parse().ok()?), part == Part::Upload.as_str()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_key_tells_what_is_there() {
        let (user, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let picture = AvatarId(Uuid::from_u128(3));
        for part in AvatarForm::ALL.map(Part::Form).into_iter().chain([Part::Upload]) {
            let key = key(user, picture, part).expect("a key");
            assert_eq!(what(user, &key), Some((picture, part == Part::Upload)));
            assert_eq!(what(other, &key), None);
        }
        for foreign in ["avatars/7", "avatars/7/64", &format!("{}x/64", prefix(user))] {
            assert_eq!(what(user, &ObjectKey::parse(foreign).expect("a key")), None);
        }
    }
}
