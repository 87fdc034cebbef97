//! [`Records`]: the records of a CSV file (RFC 4180), as its bytes arrive.
//!
//! In memory are one part of the file and one record of at most [`MAX_RECORD`], whatever the file. What is no text is
//! found here, because nobody else sees all bytes.

use bytes::{Buf, Bytes};
use csv_core::ReadRecordResult;
use portwright_domain::ports::ObjectBody;

use super::error::ImportError;

/// The most bytes of a record, four times what the longest valid user takes.
pub(super) const MAX_RECORD: usize = 8 * 1024;
/// The most fields of a record that are told apart.
const MAX_FIELDS: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a file record by record. Its bytes hold passwords, so it has no `Debug`.
pub(super) struct Records {
    body: Box<dyn ObjectBody>,
    /// What has arrived and is not read yet.
    part: Bytes,
    text: TextCheck,
    lines: LineCount,
    parser: csv_core::Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// One record, that is not blank.
pub(super) struct Record<'r> {
    /// The physical line that it begins on, from 1.
    pub(super) line: u64,
    /// `None` if it is longer than we look at, or has more fields.
    pub(super) fields: Option<Fields<'r>>,
}

/// The fields of a record, without their quotes.
pub(super) struct Fields<'r> {
    text: &'r [u8],
    ends: &'r [usize],
}

/// Where a record stands in the buffers.
struct Extent {
    line: u64,
    is_whole: bool,
    length: usize,
    fields: usize,
}

impl Records {
    /// The records of this file. A byte order mark is skipped.
    pub(super) async fn of(body: Box<dyn ObjectBody>) -> Result<Self, ImportError> {
        let mut records = Self {
            body,
            part: Bytes::new(),
            text: TextCheck::default(),
            lines: LineCount::default(),
            parser: csv_core::Reader::new(),
            fields: vec![0; MAX_RECORD],
            ends: vec![0; MAX_FIELDS],
        };
        // The parser looks for the mark in the first bytes that it is given, and stumbles where it finds a second one.
        records.parser.read_record(b"\n", &mut records.fields, &mut records.ends);
        // The mark may arrive in pieces.
        let mut start = Vec::new();
        while start.len() < BYTE_ORDER_MARK.len() && records.more().await? {
            start.extend_from_slice(&std::mem::take(&mut records.part));
        }
        if start.starts_with(BYTE_ORDER_MARK) {
            start.drain(..BYTE_ORDER_MARK.len());
        }
        records.part = start.into();
        Ok(records)
    }

    /// The next record that is not blank; `None` at the end.
    ///
    /// # Errors
    /// If the file is no text, or its last quote is open; what the storage answers.
    pub(super) async fn next(&mut self) -> Result<Option<Record<'_>>, ImportError> {
        let extent = loop {
            match self.read().await? {
                None => return Ok(None),
                Some(extent) if self.is_blank(&extent) => {}
                Some(extent) => break extent,
            }
        };
        let Extent { line, is_whole, length, fields } = extent;
        let fields = is_whole.then(|| Fields { text: &self.fields[..length], ends: &self.ends[..fields] });
        Ok(Some(Record { line, fields }))
    }

    fn is_blank(&self, extent: &Extent) -> bool {
        extent.is_whole && extent.fields == 1 && self.fields[..extent.length].trim_ascii().is_empty()
    }

    async fn read(&mut self) -> Result<Option<Extent>, ImportError> {
        loop {
            let blank = self.part.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            self.pass(blank);
            if !self.part.is_empty() {
                break;
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
        let mut extent = Extent { line: self.lines.current(), is_whole: true, length: 0, fields: 0 };
        let mut is_over = false;
        loop {
            if self.part.is_empty() && !self.more().await? {
                if is_over {
                    return Err(ImportError::OpenQuote { line: extent.line });
                }
                // The last line break may be missing. What goes on behind it stands in quotes.
                is_over = true;
                self.part = Bytes::from_static(b"\n");
            }
            let (length, fields) = (extent.length, extent.fields);
            let (result, read, written, ended) =
                self.parser.read_record(&self.part, &mut self.fields[length..], &mut self.ends[fields..]);
            self.pass(read);
            extent.length += written;
            extent.fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                // What is too large is read to its end and forgotten.
                ReadRecordResult::OutputFull => (extent.is_whole, extent.length) = (false, 0),
                ReadRecordResult::OutputEndsFull => (extent.is_whole, extent.fields) = (false, 0),
                ReadRecordResult::Record | ReadRecordResult::End => return Ok(Some(extent)),
            }
        }
    }

    /// Steps over bytes that were read.
    fn pass(&mut self, count: usize) {
        self.lines.pass(&self.part[..count]);
        self.part.advance(count);
    }

    /// Fetches the next part; false at the end.
    async fn more(&mut self) -> Result<bool, ImportError> {
        while let Some(part) = self.body.next().await? {
            if !self.text.accepts(&part) {
                return Err(ImportError::NotText);
            }
            if !part.is_empty() {
                self.part = part;
                return Ok(true);
            }
        }
        if self.text.is_complete() { Ok(false) } else { Err(ImportError::NotText) }
    }
}

impl<'r> Fields<'r> {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field at this place, from 0; empty if there is none.
    pub(super) fn get(&self, place: usize) -> &'r str {
        let start = place.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        let end = self.ends.get(place).copied().unwrap_or(start);
        // That it is text was found out when it arrived; cut at commas and quotes, it stays text.
        std::str::from_utf8(&self.text[start..end]).unwrap_or_default()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'r str> {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// Tells text in UTF-8 from anything else, wherever it is cut.
#[derive(Default)]
struct TextCheck {
    /// The bytes of a character whose last ones have not arrived.
    begun: Vec<u8>,
}

impl TextCheck {
    /// Whether it is still text with this part. No character is NUL: that is how UTF-16 looks from here.
    fn accepts(&mut self, part: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(part);
        let is_text = match std::str::from_utf8(&bytes) {
            Ok(_) => true,
            Err(error) => {
                self.begun = bytes.split_off(error.valid_up_to());
                error.error_len().is_none()
            }
        };
        is_text && !part.contains(&0)
    }

    fn is_complete(&self) -> bool {
        self.begun.is_empty()
    }
}

/// Counts lines that end with LF, CR LF or CR.
#[derive(Default)]
struct LineCount {
    ended: u64,
    after_cr: bool,
}

impl LineCount {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let ends = *byte == b'\r' || (*byte == b'\n' && !self.after_cr);
            self.ended += u64::from(ends);
            self.after_cr = *byte == b'\r';
        }
    }

    /// The line of the next byte, from 1. Asked behind a CR LF of which only CR was passed, it is right as well.
    const fn current(&self) -> u64 {
        self.ended + 1
    }
}

#[cfg(test)]
mod tests;
