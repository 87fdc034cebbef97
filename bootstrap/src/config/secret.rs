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
    pub(super) fn is_well_known(&self) -> bool {
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

/// A value that is no secret, as it is shown: some people put a user and a password before a host, also where nobody
/// expects them. What they would be is not.
pub(super) fn without_password(value: &str) -> String {
    let (scheme, rest) = match value.find("://") {
        Some(end) => value.split_at(end + "://".len()),
        None => ("", value),
    };
    match rest.rsplit_once('@') {
        // An address of mail has neither.
        Some((user, host)) if !scheme.is_empty() || user.contains(':') => {
            format!("{scheme}{REDACTED}@{host}")
        }
        _ => value.to_owned(),
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
    fn a_password_before_a_host_is_not_shown() {
        for (value, shown) in [
            ("http://user:hunter2@minio:9000", "http://***@minio:9000"),
            ("redis://:hunt@er/2@db/0", "redis://***@db/0"),
            ("user:hunter2@minio", "***@minio"),
            ("admin@example.com", "admin@example.com"),
            ("http://minio:9000", "http://minio:9000"),
        ] {
            assert_eq!(without_password(value), shown);
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".to_owned()))), "Some(Secret(***))");
    }
}
