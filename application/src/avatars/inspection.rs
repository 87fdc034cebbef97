//! [`Inspected`]: an upload on its way into the storage, looked at as it passes, and stopped where it is not what it
//! should be.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::avatar::PictureKind;
use portwright_domain::ports::ObjectBody;
use portwright_domain::{ErrorKind, PortError};

use super::header::{Likeness, Step, step};
use super::{MAX_BYTES, MAX_PIXELS};

/// Why an upload was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It is longer than an upload may be.
    TooLarge,
    /// It is something else than it was said to be.
    OtherKind,
    /// It is no picture, or has too many pixels.
    NoPicture,
    /// The rest of it did not come.
    Interrupted,
}

/// Why an upload was stopped, for whoever waits for the storage.
pub(super) type Reason = Arc<OnceLock<Stopped>>;

/// The body of an upload.
pub(super) struct Inspected {
    body: Box<dyn ObjectBody>,
    inspection: Inspection,
    reason: Reason,
}

impl Inspected {
    /// An upload that is said to be of this kind; if it is stopped, the reason is left where it can be asked for.
    pub(super) fn new(body: Box<dyn ObjectBody>, named: PictureKind) -> (Self, Reason) {
        let reason = Reason::default();
        (Self { body, inspection: Inspection::new(named), reason: reason.clone() }, reason)
    }
}

#[async_trait]
impl ObjectBody for Inspected {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let part = self.body.next().await;
        let looked_at = match &part {
            Ok(Some(part)) => self.inspection.pass(part),
            Ok(None) => self.inspection.end(),
            Err(_) => Err(Stopped::Interrupted),
        };
        match looked_at {
            Ok(()) => part,
            Err(stopped) => {
                self.reason.get_or_init(|| stopped);
                Err(PortError::new(ErrorKind::Unsupported, "avatars.upload", "the upload was stopped"))
            }
        }
    }
}

/// What is known of the bytes that have passed.
struct Inspection {
    named: PictureKind,
    passed: u64,
    /// Bytes of the header that are still to be read; never more than one part and what a step is about.
    unread: Vec<u8>,
    /// So many bytes to come tell nothing.
    past: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Kind,
    Size,
    Done,
}

impl Inspection {
    const fn new(named: PictureKind) -> Self {
        Self { named, passed: 0, unread: Vec::new(), past: 0, stage: Stage::Kind }
    }

    fn pass(&mut self, part: &[u8]) -> Result<(), Stopped> {
        self.passed += part.len() as u64;
        if self.passed > MAX_BYTES {
            return Err(Stopped::TooLarge);
        }
        if self.stage == Stage::Done {
            return Ok(());
        }
        let passing = self.past.min(part.len());
        self.past -= passing;
        self.unread.extend(part.iter().skip(passing));
        if self.stage == Stage::Kind && self.unread.len() >= Likeness::BYTES {
            self.check_kind()?;
        }
        if self.stage == Stage::Size { self.look_for_size() } else { Ok(()) }
    }

    fn end(&self) -> Result<(), Stopped> {
        match self.stage {
            Stage::Done => Ok(()),
            // Too short for any header; perhaps it is still clear what it is not.
            Stage::Kind if Likeness::of(&self.unread) == Likeness::Other => Err(Stopped::OtherKind),
            Stage::Kind | Stage::Size => Err(Stopped::NoPicture),
        }
    }

    fn check_kind(&mut self) -> Result<(), Stopped> {
        match Likeness::of(&self.unread) {
            Likeness::Picture(kind) if kind == self.named => self.stage = Stage::Size,
            Likeness::Picture(_) | Likeness::Other => return Err(Stopped::OtherKind),
            Likeness::Nothing => return Err(Stopped::NoPicture),
        }
        Ok(())
    }

    fn look_for_size(&mut self) -> Result<(), Stopped> {
        let mut read = 0;
        let found = loop {
            match step(self.named, self.unread.get(read..).unwrap_or_default()) {
                Step::Past(length) => read += length,
                Step::More => break None,
                Step::Size(width, height) => break Some(u64::from(width) * u64::from(height)),
                Step::Broken => return Err(Stopped::NoPicture),
            }
        };
        match found {
            Some(pixels) if (1..=MAX_PIXELS).contains(&pixels) => {
                self.stage = Stage::Done;
                self.unread = Vec::new();
                Ok(())
            }
            Some(_) => Err(Stopped::NoPicture),
            None => {
                let here = read.min(self.unread.len());
                self.unread.drain(..here);
                self.past = read - here;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG of this size, as far as its header goes.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend([width, height].map(u32::to_be_bytes).concat());
        bytes
    }

    fn passes(named: PictureKind, bytes: &[u8], part: usize) -> Result<(), Stopped> {
        let mut inspection = Inspection::new(named);
        bytes.chunks(part).try_for_each(|part| inspection.pass(part))?;
        inspection.end()
    }

    #[test]
    fn it_makes_no_difference_in_which_parts_the_bytes_come() {
        let preview = [&b"\xff\xd8\xff\xe1\x4e\x22"[..], &vec![0xff; 20_000], b"\xff\xfe\0\x02"].concat();
        let frame = |width: u16| {
            let size = [9_u16, width].map(u16::to_be_bytes).concat();
            [&preview[..], b"\xff\xc0\0\x0b\x08", &size, b"\x01\x01\x11\0\xff\xda"].concat()
        };
        for part in [1, 2, 3, 7, 12, 100, 30_000] {
            assert_eq!(passes(PictureKind::Jpeg, &frame(7), part), Ok(()), "{part}");
            assert_eq!(passes(PictureKind::Jpeg, &frame(0), part), Err(Stopped::NoPicture), "{part}");
            assert_eq!(passes(PictureKind::Jpeg, &preview, part), Err(Stopped::NoPicture), "{part}");
            assert_eq!(passes(PictureKind::Png, &frame(7), part), Err(Stopped::OtherKind), "{part}");
            assert_eq!(passes(PictureKind::Png, b"GIF89a", part), Err(Stopped::OtherKind), "{part}");
            assert_eq!(passes(PictureKind::Png, b"nonsense, no picture", part), Err(Stopped::NoPicture));
        }
        assert_eq!(passes(PictureKind::Png, b"", 1), Err(Stopped::NoPicture));
    }

    #[test]
    fn twenty_megapixels_and_not_one_more() {
        assert_eq!(passes(PictureKind::Png, &png(5_000, 4_000), 64), Ok(()));
        for (width, height) in [(20_000_001, 1), (60_000, 60_000), (u32::MAX, u32::MAX), (0, 5), (5, 0)] {
            assert_eq!(passes(PictureKind::Png, &png(width, height), 64), Err(Stopped::NoPicture));
        }
    }

    #[test]
    fn the_last_byte_that_fits_fits() {
        let mut upload = png(1, 1);
        upload.resize(usize::try_from(MAX_BYTES).expect("few"), 0);
        assert_eq!(passes(PictureKind::Png, &upload, 65_536), Ok(()));
        upload.push(0);
        assert_eq!(passes(PictureKind::Png, &upload, 65_536), Err(Stopped::TooLarge));
    }
}
