//! [`Lsn`] and [`Place`]: where in the log of the database something is, and the commit tokens that say so.
//!
//! An LSN (log sequence number) counts the bytes of the write-ahead log, within a timeline; each promotion begins a new
//! timeline. A commit is visible wherever the log is replayed up to the end of its record.

use std::fmt;
use std::str::FromStr;

use portwright_domain::ports::CommitToken;

/// A position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Lsn(pub(crate) u64);

/// It is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoLsn;

impl FromStr for Lsn {
    type Err = NoLsn;

    /// As PostgreSQL writes it: two hexadecimal halves, such as `16/B374D848`.
    fn from_str(text: &str) -> Result<Self, NoLsn> {
        let (high, low) = text.split_once('/').ok_or(NoLsn)?;
        let half = |text| u32::from_str_radix(text, 16).map_err(|_| NoLsn);
        Ok(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A position in the log of one timeline: what a commit token of this store says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) timeline: u32,
    pub(crate) lsn: Lsn,
}

impl Place {
    pub(crate) fn token(self) -> CommitToken {
        CommitToken::new(format!("pg:{:x}:{:x}", self.timeline, self.lsn.0))
    }

    /// Where a later read must be that shall not go back behind this one: the further of both, or, of two timelines,
    /// the newer.
    pub(crate) fn or_further(self, other: Self) -> Self {
        if (other.timeline, other.lsn) > (self.timeline, self.lsn) { other } else { self }
    }

    /// `None` if the token is not one of ours.
    pub(crate) fn of(token: &CommitToken) -> Option<Self> {
        let (timeline, lsn) = token.as_str().strip_prefix("pg:")?.split_once(':')?;
        let timeline = u32::from_str_radix(timeline, 16).ok()?;
        let lsn = Lsn(u64::from_str_radix(lsn, 16).ok()?);
        Some(Self { timeline, lsn })
    }
}

/// The timeline in the name of a log file: its first eight hexadecimal digits.
pub(crate) fn timeline_of(file: &str) -> Option<u32> {
    u32::from_str_radix(file.get(..8)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_postgres_writes_it() {
        for (text, bytes) in [("0/0", 0), ("0/3394018", 0x339_4018), ("16/B374D848", 0x16_B374_D848)] {
            let lsn: Lsn = text.parse().expect("an LSN");
            assert_eq!((lsn.0, lsn.to_string()), (bytes, text.to_owned()));
        }
        for text in ["", "0", "0/", "/0", "x/0", "0/100000000", "0/-1"] {
            assert_eq!(text.parse::<Lsn>(), Err(NoLsn), "{text}");
        }
    }

    #[test]
    fn a_token_says_the_place_again_and_no_other_text_does() {
        let place = Place { timeline: 3, lsn: Lsn(u64::MAX) };
        assert_eq!(Place::of(&place.token()), Some(place));
        for text in
            ["", "sqlite", "pg:", "pg:1", "pg:1:", "pg::1", "pg:100000000:1", "pg:1:10000000000000000"]
        {
            assert_eq!(Place::of(&CommitToken::new(text.to_owned())), None, "{text}");
        }
    }

    #[test]
    fn a_log_file_names_its_timeline() {
        assert_eq!(timeline_of("0000000B0000000000000003"), Some(11));
        assert_eq!(timeline_of("short"), None);
    }
}
