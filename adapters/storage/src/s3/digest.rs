//! [`Digest`]: what the etag of an object says about its bytes.
//!
//! Servers hand out the MD5 of an object that was put in one piece, and of one that came in parts the MD5 of their
//! MD5s, followed by their number. It is the one checksum that all of them keep, have always kept and send unasked. MD5
//! finds what a disk or a wire broke; whoever wants to deceive us could do so with any checksum that the server tells.

use md5::{Digest as _, Md5};
use opendal::Metadata;

use super::PART;

/// The field of the metadata that says that an etag is none. OpenDAL has no other place for it.
pub(super) const NO_DIGEST: &str = "etag-is-no-digest";

/// The digest of bytes that come one after the other.
#[derive(Clone)]
pub(super) struct Digest {
    /// Where the object is cut.
    part: usize,
    current: Md5,
    /// Bytes in the current part.
    filled: usize,
    /// Of the digests of all parts before.
    parts: Md5,
    count: u64,
}

impl Digest {
    /// Of an object as we put it.
    pub(super) fn of_upload() -> Self {
        Self::cut_at(PART)
    }

    /// One that comes to this etag at the end of so many bytes, if they are right; `None` if nobody can know how the
    /// etag was made.
    pub(super) fn expecting(etag: &str, size: u64) -> Option<Self> {
        let (digest, count) = match unquoted(etag).split_once('-') {
            Some((digest, count)) => (digest, Some(count.parse::<u64>().ok()?)),
            None => (unquoted(etag), None),
        };
        let is_md5 = digest.len() == 32 && digest.bytes().all(|c| c.is_ascii_hexdigit());
        match count {
            None if is_md5 => Some(Self::cut_at(usize::MAX)),
            // In parts, but of which size? Of ours if they are as many.
            Some(count) if is_md5 && count > 1 && count == size.div_ceil(PART as u64) => {
                Some(Self::of_upload())
            }
            _ => None,
        }
    }

    fn cut_at(part: usize) -> Self {
        Self { part, current: Md5::new(), filled: 0, parts: Md5::new(), count: 0 }
    }

    /// The next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == self.part {
                self.end_part();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.part - self.filled));
            self.current.update(now);
            self.filled += now.len();
            bytes = later;
        }
    }

    fn end_part(&mut self) {
        self.parts.update(self.current.finalize_reset());
        self.count += 1;
        self.filled = 0;
    }

    /// Whether this is the etag of these bytes.
    pub(super) fn is(mut self, etag: &str) -> bool {
        let in_parts = self.count > 0;
        let whole = if in_parts {
            self.end_part();
            self.parts.finalize()
        } else {
            self.current.finalize()
        };
        let expected = if in_parts { format!("{}-{}", hex(&whole), self.count) } else { hex(&whole) };
        unquoted(etag).eq_ignore_ascii_case(&expected)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Whether the server says that the etag of this object is its digest.
pub(super) fn has_digest(metadata: &Metadata) -> bool {
    metadata.user_metadata().is_none_or(|fields| fields.get(NO_DIGEST).is_none())
}

/// The same etag, however the server writes it.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "\"d41d8cd98f00b204e9800998ecf8427e\"";

    #[test]
    fn the_etag_of_one_piece_is_its_md5() {
        let mut digest = Digest::expecting("\"900150983CD24FB0D6963F7D28E17F72\"", 3).expect("an MD5");
        digest.update(b"a");
        digest.update(b"bc");
        assert!(digest.clone().is("\"900150983CD24FB0D6963F7D28E17F72\""));
        digest.update(b"d");
        assert!(!digest.is("\"900150983CD24FB0D6963F7D28E17F72\""));
        assert!(Digest::of_upload().is(EMPTY));
    }

    #[test]
    fn the_etag_of_many_parts_is_the_md5_of_theirs() {
        let zeros = vec![0; PART];
        let mut digest = Digest::of_upload();
        digest.update(&zeros);
        let one = Md5::digest(&zeros);
        assert!(digest.clone().is(&hex(&one)), "a full part is an object in one piece");
        digest.update(b"a");
        let parts = [one, Md5::digest(b"a")].concat();
        let etag = format!("\"{}-2\"", hex(&Md5::digest(parts)));
        assert!(digest.clone().is(&etag));
        assert!(!digest.is(&hex(&one)));
    }

    #[test]
    fn an_etag_that_may_be_anything_is_not_looked_at() {
        let two_parts = PART as u64 + 1;
        assert!(Digest::expecting(&format!("{}-2\"", EMPTY.trim_end_matches('"')), two_parts).is_some());
        for (etag, size) in [
            ("\"d41d8cd98f00b204e9800998ecf8427e-3\"", two_parts),
            ("\"d41d8cd98f00b204e9800998ecf8427e-1\"", 1),
            ("\"d41d8cd98f00b204e9800998ecf8427e-x\"", two_parts),
            ("\"1234\"", 1),
            ("\"z41d8cd98f00b204e9800998ecf8427e\"", 1),
        ] {
            assert!(Digest::expecting(etag, size).is_none(), "{etag}");
        }
    }
}
