//! Passwords: what somebody types, and what is good enough to be chosen.
//!
//! No composition rules and no truncation, a list of common passwords instead (NIST SP 800-63B, section 5.1.1.2;
//! OWASP ASVS 5.0, section 6.2). Both forms are normalised to NFKC, so that the same keys on another system give
//! the same password.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::invalid::Invalid;

/// A password as somebody typed it to prove who they are. Its `Debug` form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The most bytes that are looked at: more cannot be anyone's password, whatever the scripts.
    pub const MAX_BYTES: usize = 1024;

    /// Takes what was typed; only its size is bounded.
    pub fn typed(text: &str) -> Result<Self, Invalid> {
        let normal: String = text.nfkc().collect();
        if text.len() > Self::MAX_BYTES || normal.len() > Self::MAX_BYTES {
            return Err(Invalid::new("too-long", "at most 1024 bytes"));
        }
        Ok(Self(normal))
    }

    /// The text, for the hasher.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// A password that may be chosen: 8–128 characters and not a common one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPassword(Password);

impl NewPassword {
    /// The fewest characters.
    pub const MIN_CHARS: usize = 8;
    /// The most characters.
    pub const MAX_CHARS: usize = 128;

    /// Checks length and the list of common passwords; case does not make a common password uncommon.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let password = Password::typed(text)?;
        let chars = password.expose().chars().count();
        if chars < Self::MIN_CHARS {
            return Err(Invalid::new("too-short", "at least 8 characters"));
        }
        if chars > Self::MAX_CHARS {
            return Err(Invalid::new("too-long", "at most 128 characters"));
        }
        if is_common(password.expose()) {
            return Err(Invalid::new("common-password", "one of the most common passwords; choose another"));
        }
        Ok(Self(password))
    }

    /// A password that was accepted under older rules, to hash it anew with today's parameters.
    #[must_use]
    pub const fn accepted_before(password: Password) -> Self {
        Self(password)
    }

    /// The password as typed.
    #[must_use]
    pub const fn as_password(&self) -> &Password {
        &self.0
    }
}

/// Sorted by bytes, lower case, one a line; see `data/README.md`.
static COMMON: &str = include_str!("../data/common-passwords.txt");

fn is_common(password: &str) -> bool {
    let wanted = password.to_lowercase();
    let text = COMMON.as_bytes();
    let (mut low, mut high) = (0, text.len());
    // Bisects by byte offset: `low` and `high` always stand at the start of a line (or the end of the text).
    while low < high {
        let middle = low + (high - low) / 2;
        let start = text[low..middle].iter().rposition(|&b| b == b'\n').map_or(low, |at| low + at + 1);
        let end = text[start..high].iter().position(|&b| b == b'\n').map_or(high, |at| start + at);
        match text[start..end].cmp(wanted.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = (end + 1).min(high),
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_password_is_found_and_the_list_is_sorted() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.len() > 10_000);
        assert!(lines.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
        for line in lines {
            assert!(is_common(line), "{line} is not found");
        }
        assert!(!is_common("tango-velvet-harbor-91"));
        assert!(!is_common(""));
        assert!(!is_common("\u{10ffff}"));
    }

    #[test]
    fn length_counts_characters_and_nothing_is_cut_off() {
        assert!(NewPassword::parse("pässwört").is_ok());
        assert_eq!(NewPassword::parse("short").expect_err("refused").code, "too-short");
        assert_eq!(NewPassword::parse(&"é".repeat(129)).expect_err("refused").code, "too-long");
        assert_eq!(NewPassword::parse("PassWord123").expect_err("refused").code, "common-password");
        let long = |end: char| NewPassword::parse(&format!("{}{end}", "x".repeat(127))).expect("valid");
        assert_ne!(long('a'), long('b'));
    }

    #[test]
    fn composed_and_decomposed_forms_are_one_password() {
        assert_eq!(Password::typed("caf\u{e9} noir"), Password::typed("cafe\u{301} noir"));
        assert!(Password::typed(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn a_password_is_never_printed() {
        let password = NewPassword::parse("tango-velvet-harbor-91").expect("valid");
        assert_eq!(format!("{password:?}"), "NewPassword(Password(***))");
    }
}
