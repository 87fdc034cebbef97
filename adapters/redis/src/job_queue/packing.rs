//! Numbers and texts as bytes, as Lua reads and writes them.

use std::time::Duration;

use portwright_domain::Timestamp;

/// What remains of some bytes; `None` wherever they are too few or no such thing.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.take(LENGTH)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn large(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A whole number that Lua keeps as a double; negative is none.
    #[expect(clippy::option_option, reason = "the outer one is whether it could be read")]
    pub(super) fn whole(&mut self) -> Option<Option<u64>> {
        let number = f64::from_be_bytes(self.array()?);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and not negative"
        )]
        Some((number >= 0.0).then_some(number as u64))
    }

    #[expect(clippy::option_option, reason = "the outer one is whether it could be read")]
    pub(super) fn time(&mut self) -> Option<Option<Timestamp>> {
        let micros = self.whole()?;
        Some(micros.map(|micros| Timestamp::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))))
    }

    /// What [`put_length`] wrote.
    fn length(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn duration(&mut self) -> Option<Duration> {
        Some(Duration::new(self.length()?, u32::try_from(self.length()?).ok()?))
    }

    /// A text of up to 255 bytes, behind its length.
    pub(super) fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.short()?).ok()
    }

    /// A text of any length, behind its length.
    pub(super) fn long(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length()?).ok()?;
        self.take(length)
    }
}

pub(super) fn put_short(bytes: &mut Vec<u8>, text: &[u8]) {
    // Names are far shorter.
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.iter().take(usize::from(u8::MAX)));
}

pub(super) fn put_duration(bytes: &mut Vec<u8>, duration: Duration) {
    put_length(bytes, duration.as_secs());
    put_length(bytes, u64::from(duration.subsec_nanos()));
}

/// Seven bits in each byte, the lowest first, so that small numbers are short.
pub(super) fn put_length(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// A number as Lua counts.
#[expect(clippy::cast_precision_loss, reason = "times are exact until the year 2255")]
pub(super) fn double(number: i64) -> f64 {
    number as f64
}
