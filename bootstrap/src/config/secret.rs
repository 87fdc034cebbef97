//! Values that nobody may see, and those that everybody knows already.

use std::fmt;

/// What stands where a secret would.
pub(super) const REDACTED: &str = "***";

/// A secret value. Its `Debug` form shows nothing, and it has no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The value, for whoever needs it to do its work.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is one that examples and templates use, or so uniform that it is as good as one.
    #[must_use]
    pub(crate) fn is_well_known(&self) -> bool {
        const PLACEHOLDERS: &[&str] = &[
            "changeme",
            "changethis",
            "replaceme",
            "replacethis",
            "yoursecret",
            "yourjwtsecret",
            "yoursupersecret",
            "your256bitsecret",
            "supersecret",
            "defaultsecret",
            "examplesecret",
            "secretkey",
            "jwtsecret",
            "mysecret",
            "topsecret",
            "password",
            "example",
            "placeholder",
            "insecure",
            "developmentonly",
        ];
        const FEWEST_DIFFERENT_BYTES: usize = 8;
        let letters: String =
            self.0.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let mut bytes = self.0.clone().into_bytes();
        bytes.sort_unstable();
        bytes.dedup();
        bytes.len() < FEWEST_DIFFERENT_BYTES || PLACEHOLDERS.iter().any(|known| letters.contains(known))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well_known(text: &str) -> bool {
        Secret::new(text.to_owned()).is_well_known()
    }

    #[test]
    fn placeholders_are_known_however_they_are_written() {
        for text in [
            "changeme",
            "CHANGE_ME_change_me_CHANGE_ME_change_me",
            "your-super-secret-jwt-key-change-in-production",
            "please-Change-This-to-a-long-random-string",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "12345612345612345612345612345612345612",
        ] {
            assert!(well_known(text), "{text}");
        }
    }

    #[test]
    fn random_secrets_are_not_known() {
        assert!(!well_known("q3Yt0nR6dJ1vXwq8Zb7sKf2uM5hLgC4e"));
        assert!(!well_known("5f1d8c0be2a94b7fa6c35d9e07412f88a1b2"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".to_owned()))), "Some(Secret(***))");
    }
}
