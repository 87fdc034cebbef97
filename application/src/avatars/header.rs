//! What the first bytes of a picture tell: its kind, and how many pixels it claims to have.
//!
//! Read by hand, as the bytes come by: a decoder would want to see all of them, and nothing is decoded while a client
//! waits on the other side of the connection.

use portwright_domain::avatar::PictureKind;

/// What bytes seem to be, by how they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// A picture of a kind that users may have.
    Picture(PictureKind),
    /// Something else that is well known.
    Other,
    /// Nothing that anybody knows.
    Nothing,
}

impl Likeness {
    /// So many bytes decide.
    pub(super) const BYTES: usize = 12;

    /// What these bytes begin like.
    pub(super) fn of(bytes: &[u8]) -> Self {
        const OTHERS: [&[u8]; 10] = [
            b"GIF8",
            b"BM",
            b"II*\0",
            b"MM\0*",
            b"\0\0\x01\0",
            b"RIFF",
            b"%PDF",
            b"PK\x03\x04",
            b"8BPS",
            b"\xff\x0a",
        ];
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Self::Picture(PictureKind::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Self::Picture(PictureKind::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Self::Picture(PictureKind::WebP)
        // The boxes of HEIC and AVIF, and the markup of SVG and HTML.
        } else if OTHERS.iter().any(|magic| bytes.starts_with(magic))
            || bytes.get(4..8) == Some(b"ftyp")
            || text.starts_with(b"<")
        {
            Self::Other
        } else {
            Self::Nothing
        }
    }
}

/// What is known after a look at the next bytes of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It takes more bytes to tell.
    More,
    /// These many bytes, of which some may be still to come, tell nothing.
    Past(usize),
    /// Width and height in pixels.
    Size(u32, u32),
    /// This is no such header.
    Broken,
}

/// Looks at the bytes of a header from where the last step ended.
pub(super) fn step(kind: PictureKind, bytes: &[u8]) -> Step {
    let read = match kind {
        PictureKind::Png => png(bytes),
        PictureKind::Jpeg => jpeg(bytes),
        PictureKind::WebP => webp(bytes),
    };
    read.unwrap_or(Step::More)
}

/// PNG, section 11.2.2: the first chunk is `IHDR`.
fn png(bytes: &[u8]) -> Option<Step> {
    let (chunk, size) = (bytes.get(8..16)?, bytes.get(16..24)?);
    if chunk != b"\0\0\0\x0dIHDR" {
        return Some(Step::Broken);
    }
    let (width, height) = (size.first_chunk()?, size.last_chunk()?);
    Some(Step::Size(u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}

/// JPEG (ITU-T T.81, annex B): segment after segment, until one begins a frame.
fn jpeg(bytes: &[u8]) -> Option<Step> {
    match bytes {
        [] | [0xff] => None,
        // A marker may be preceded by any number of fill bytes.
        [0xff, 0xff, ..] => Some(Step::Past(1)),
        // These stand alone.
        [0xff, 0x01 | 0xd0..=0xd8, ..] => Some(Step::Past(2)),
        // A scan, or the end, before any frame.
        [0xff, 0x00 | 0xd9 | 0xda, ..] => Some(Step::Broken),
        [0xff, marker, rest @ ..] => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            if length < 2 {
                return Some(Step::Broken);
            }
            // All of 0xc0 to 0xcf begin a frame, but for tables and an extension.
            if !matches!(marker, 0xc0..=0xcf) || matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                return Some(Step::Past(2 + usize::from(length)));
            }
            let [height, width] = [rest.get(3..5)?, rest.get(5..7)?].map(number_be);
            Some(Step::Size(width, height))
        }
        _ => Some(Step::Broken),
    }
}

/// WebP (RFC 9649, section 2): the first chunk tells, of whichever of the three kinds it is.
fn webp(bytes: &[u8]) -> Option<Step> {
    let (name, data) = (bytes.get(12..16)?, bytes.get(20..30)?);
    let size = match (name, data) {
        (b"VP8X", [_, _, _, _, size @ ..]) => {
            let (width, height) = size.split_at_checked(3)?;
            (number_le(width) + 1, number_le(height) + 1)
        }
        (b"VP8L", [0x2f, size @ ..]) => {
            let bits = number_le(size.get(..4)?);
            ((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)
        }
        (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, size @ ..]) => {
            let (width, height) = size.split_at_checked(2)?;
            (number_le(width) & 0x3fff, number_le(height) & 0x3fff)
        }
        _ => return Some(Step::Broken),
    };
    Some(Step::Size(size.0, size.1))
}

fn number_be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn number_le(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

/// Whether the first picture in a JPEG file has its end. Decoders make do with what is there of it, and paint the rest
/// grey.
pub(super) fn is_whole_jpeg(mut bytes: &[u8]) -> bool {
    loop {
        if let [0xff, 0xda, scans @ ..] = bytes {
            return scans.windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        let length = match jpeg(bytes) {
            Some(Step::Past(length)) => length,
            Some(Step::Size(..)) => match bytes.get(2..4) {
                Some(length) => 2 + number_be(length) as usize,
                None => return false,
            },
            _ => return false,
        };
        let Some(rest) = bytes.get(length..) else { return false };
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_it_is() {
        let picture = |kind| Likeness::Picture(kind);
        for (bytes, likeness) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\x0d"[..], picture(PictureKind::Png)),
            (b"\xff\xd8\xff\xe0", picture(PictureKind::Jpeg)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", picture(PictureKind::WebP)),
            (b"RIFF\x10\0\0\0WAVEfmt ", Likeness::Other),
            (b"GIF89a", Likeness::Other),
            (b"\0\0\0\x1cftypavif", Likeness::Other),
            (b"\xef\xbb\xbf \n<svg xmlns=", Likeness::Other),
            (b"<!DOCTYPE html>", Likeness::Other),
            (b"", Likeness::Nothing),
            (b"\x89PNG\n\x1a\n", Likeness::Nothing),
            (b"\xff\xd8", Likeness::Nothing),
            (b"hello, world", Likeness::Nothing),
        ] {
            assert_eq!(Likeness::of(bytes), likeness, "{bytes:?}");
        }
    }

    #[test]
    fn a_frame_is_found_behind_other_segments() {
        let jpeg = b"\xff\xd8\xff\xff\xe1\0\x04ab\xff\xc4\0\x02\xff\xc2\0\x0b\x08\x01\x02\x03\x04\x01";
        let (mut at, mut steps) = (0, Vec::new());
        loop {
            match step(PictureKind::Jpeg, &jpeg[at..]) {
                Step::Past(length) => (at, steps) = (at + length, [steps, vec![length]].concat()),
                end => break assert_eq!((end, steps), (Step::Size(0x304, 0x102), vec![2, 1, 6, 4])),
            }
        }
    }

    #[test]
    fn what_is_no_header_is_broken_and_half_of_one_takes_more() {
        let cases: [(PictureKind, &[u8], Step); 8] = [
            (PictureKind::Png, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT\0\0\0\x01\0\0\0\x01", Step::Broken),
            (PictureKind::Png, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0", Step::More),
            (PictureKind::Jpeg, b"\xff\xda\0\x02", Step::Broken),
            (PictureKind::Jpeg, b"ab", Step::Broken),
            (PictureKind::Jpeg, b"\xff\xe1\0\x01", Step::Broken),
            (PictureKind::Jpeg, b"\xff\xc0\0\x0b\x08\0", Step::More),
            (PictureKind::WebP, b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2e123456789", Step::Broken),
            (PictureKind::WebP, b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f", Step::More),
        ];
        for (kind, bytes, expected) in cases {
            assert_eq!(step(kind, bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_jpeg_without_its_end_is_not_whole_although_a_preview_within_it_is() {
        let preview = b"\xff\xd8\xff\xe1\0\x06\xff\xd9ab";
        let frame = b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x02data";
        let cut = [&preview[..], frame].concat();
        assert!(!is_whole_jpeg(&cut));
        assert!(!is_whole_jpeg(&cut[..20]));
        assert!(is_whole_jpeg(&[&cut[..], b"\xff\xd9 and more"].concat()));
    }
}
