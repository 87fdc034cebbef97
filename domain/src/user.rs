//! Users: who they are and what is always true of them.
//!
//! Every value here is valid once it exists: an [`Email`] has been parsed, a [`PersonName`] trimmed. Adapters
//! that read them back from a store use `from_stored`, which accepts what an older version accepted.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::access::Role;
use crate::avatar::{Avatar, AvatarId};
use crate::invalid::Invalid;
use crate::time::Timestamp;

/// The identity of a user: a time-ordered UUID (version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub Uuid);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How text compares when case and compatibility forms must not matter: NFKC, lower case, NFKC again.
///
/// Letter by letter, because a part of a text must fold as it does in the whole: the final sigma is a sigma.
///
/// Stores keep this form beside the text for uniqueness, search and sort order, so that every adapter agrees
/// whatever its own collation.
#[must_use]
pub fn folded(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).nfkc().collect()
}

/// An e-mail address, kept as given and compared by [`Email::key`].
#[derive(Debug, Clone)]
pub struct Email {
    given: String,
    key: String,
}

impl Email {
    /// The longest address in bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
    pub const MAX_BYTES: usize = 254;

    /// Accepts one address: a local part of 1–64 bytes, `@`, a domain of letters, digits, dots and hyphens; no white
    /// space, no control characters, 254 bytes at most. Quoted local parts and comments are refused.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |detail| Err(Invalid::new("invalid-email", detail));
        if text.len() > Self::MAX_BYTES {
            return Err(Invalid::new("too-long", "at most 254 bytes"));
        }
        let Some((local, host)) = text.rsplit_once('@') else {
            return invalid("not an e-mail address: there is no @");
        };
        let key = folded(text);
        // The compatibility form may gain an `@`, a space or length; whoever compares by it must not be surprised.
        if key.matches('@').count() != 1 || key.len() > Self::MAX_BYTES {
            return invalid("not an e-mail address");
        }
        if local.is_empty() || local.len() > 64 {
            return invalid("the part before the @ has 1 to 64 bytes");
        }
        let dots_misplaced = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        if dots_misplaced
            || key.chars().any(|c| c.is_control() || c.is_whitespace() || "\"(),:;<>[\\]".contains(c))
        {
            return invalid("the address has a character that is not allowed where it stands");
        }
        if local.chars().any(is_invisible) || host.chars().any(is_invisible) {
            return invalid("the address has a character that cannot be seen");
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-' || is_mark(c))
        };
        if !host.split('.').all(label_ok) {
            return invalid("the part after the @ is not a host name");
        }
        Ok(Self { given: text.to_owned(), key })
    }

    /// An address that a store returns.
    #[must_use]
    pub fn from_stored(given: String) -> Self {
        let key = folded(&given);
        Self { given, key }
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// What two spellings of one address have in common; uniqueness is decided on it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Email {}

/// Combining marks, which words of many scripts need and `char::is_alphanumeric` leaves out.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Zero-width and direction characters: two texts that look the same must not differ by them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A first or last name: 1–100 characters after trimming, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// The most characters of a name.
    pub const MAX_CHARS: usize = 100;

    /// Trims white space from both ends, then checks.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = text.trim();
        if name.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if name.chars().count() > Self::MAX_CHARS {
            return Err(Invalid::new("too-long", "at most 100 characters"));
        }
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        {
            return Err(Invalid::new("invalid-character", "must not contain control characters"));
        }
        Ok(Self(name.to_owned()))
    }

    /// A name that a store returns.
    #[must_use]
    pub const fn from_stored(name: String) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a password hasher made, in its own self-describing format (PHC string). Its `Debug` form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what the hasher or the store returned.
    #[must_use]
    pub const fn new(hash: String) -> Self {
        Self(hash)
    }

    /// The hash itself, for the hasher and the store.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Counts the changes of one user; an update names the version that it was made from.
///
/// Signing in is not a change, so it leaves the version alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The version of a user that was just created.
    pub const FIRST: Self = Self(1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Somebody who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Unique among all users, compared by [`Email::key`].
    pub email: Email,
    /// Given name.
    pub first_name: PersonName,
    /// Family name.
    pub last_name: PersonName,
    /// What this user may do.
    pub role: Role,
    /// A user who is not active cannot sign in and holds no session.
    pub is_active: bool,
    /// Whether the address was proved to be this user's.
    pub is_email_verified: bool,
    /// Proof of the password.
    pub password: PasswordHash,
    /// The picture that others see.
    pub avatar: Option<Avatar>,
    /// The newest upload, as long as nothing has come of it: whichever else is being worked on is too late.
    pub avatar_upload: Option<AvatarId>,
    /// The last sign-in; not part of the version.
    pub last_login: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When anything but `last_login` and `avatar_upload` last changed.
    pub updated_at: Timestamp,
    /// The number of this state; see [`Version`].
    pub version: Version,
}

impl User {
    /// Whether this user counts for the rule that somebody must be able to administer.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        self.is_active && self.role == Role::Admin
    }
}

/// Which users a list shows: all that meet every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// The text is in the e-mail address, the first or the last name; compared [`folded`].
    pub search: Option<String>,
    /// The text is in the e-mail address; compared [`folded`].
    pub email: Option<String>,
    /// The text is in the first name; compared [`folded`].
    pub first_name: Option<String>,
    /// The text is in the last name; compared [`folded`].
    pub last_name: Option<String>,
    /// Has exactly this role.
    pub role: Option<Role>,
    /// Is or is not active.
    pub is_active: Option<bool>,
}

impl UserFilter {
    /// Whether `user` belongs in the list: the meaning that every store's query must have.
    #[must_use]
    pub fn matches(&self, user: &User) -> bool {
        let within = |text: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| folded(text).contains(&folded(wanted)))
        };
        let (email, first, last) = (user.email.as_str(), user.first_name.as_str(), user.last_name.as_str());
        within(email, &self.email)
            && within(first, &self.first_name)
            && within(last, &self.last_name)
            && [email, first, last].iter().any(|text| within(text, &self.search))
            && self.role.is_none_or(|role| user.role == role)
            && self.is_active.is_none_or(|active| user.is_active == active)
    }
}

/// What a list of users is ordered by. Texts order by the bytes of their [`folded`] form, and the id decides
/// between equals, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserSort {
    /// When the user was created.
    #[default]
    CreatedAt,
    /// When the user last changed.
    UpdatedAt,
    /// The e-mail address.
    Email,
    /// The given name.
    FirstName,
    /// The family name.
    LastName,
}

impl UserSort {
    /// Where `user` stands in this order; the id comes after it.
    #[must_use]
    pub fn key_of(self, user: &User) -> SortKey {
        match self {
            Self::CreatedAt => SortKey::Time(user.created_at),
            Self::UpdatedAt => SortKey::Time(user.updated_at),
            Self::Email => SortKey::Text(user.email.key().to_owned()),
            Self::FirstName => SortKey::Text(folded(user.first_name.as_str())),
            Self::LastName => SortKey::Text(folded(user.last_name.as_str())),
        }
    }
}

/// The value that a row is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SortKey {
    /// Ordered by time.
    Time(Timestamp),
    /// Ordered by the bytes of a folded text.
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_in_two_spellings_has_one_key() {
        let plain = Email::parse("José@Example.com").expect("valid");
        let decomposed = Email::parse("JOSE\u{301}@ＥＸＡＭＰＬＥ.com").expect("valid");
        assert_eq!(plain, decomposed);
        assert_eq!(plain.as_str(), "José@Example.com");
    }

    #[test]
    fn a_part_of_a_text_folds_as_it_does_in_the_whole() {
        for (whole, part) in
            [("Οδόστρωμα", "ΟΔΌΣ"), ("ΟΔΌΣ 7", "οδός"), ("οδός", "όΣ"), ("STRAẞE", "aß"), ("Ǆ", "dž")]
        {
            assert!(folded(whole).contains(&folded(part)), "{whole} {part}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(243));
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b..c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a\u{0}@b",
            "a\r\nBcc: x@b",
            "a@b\u{200b}",
            "a\u{202e}@b",
            "<a@b>",
            "a＠b@c",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text:?} was accepted");
        }
        for text in ["a@b", "admin@localhost", "o'brien+tag@sub.example.co.uk", "用户@例え.jp"] {
            assert!(Email::parse(text).is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn a_name_is_trimmed_and_bounded() {
        assert_eq!(PersonName::parse("  Ada ").expect("valid").as_str(), "Ada");
        assert!(PersonName::parse(&"ä".repeat(100)).is_ok());
        for text in ["", "  ", "a\u{0}b", "a\nb", "a\u{202e}b", &"ä".repeat(101)] {
            assert!(PersonName::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_hash_is_never_printed() {
        assert_eq!(format!("{:?}", PasswordHash::new("$argon2id$secret".into())), "PasswordHash(***)");
    }
}
