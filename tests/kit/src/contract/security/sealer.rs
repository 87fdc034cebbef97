//! What every [`Sealer`] promises.

use std::fmt;
use std::sync::Arc;

use portwright_domain::ports::{Purpose, Sealer};

use super::{alterations, cuts_and_extensions};

contract! {
    /// Every promise of [`Sealer`](portwright_domain::ports::Sealer), as a test of its own, given an async function
    /// that makes [`Sealers`](crate::contract::security::Sealers).
    sealer_contract => security::SEALER_PROMISES: Sealers {
        what_was_sealed_opens,
        another_process_with_the_same_key_opens_it,
        another_key_does_not_open_it,
        another_purpose_does_not_open_it,
        the_same_bytes_twice_give_two_texts,
        sealed_text_is_safe_in_a_url,
        sealed_text_does_not_show_its_content,
        sealed_text_with_any_character_altered_does_not_open,
        sealed_text_that_is_cut_or_extended_does_not_open,
        what_was_never_sealed_does_not_open,
    }
}

/// A sealer, its double, and one that must not open what it seals.
pub struct Sealers {
    /// The sealer that is checked.
    pub ours: Arc<dyn Sealer>,
    /// One with the same key, as another process has it.
    pub double: Arc<dyn Sealer>,
    /// One with another key.
    pub stranger: Arc<dyn Sealer>,
}

impl fmt::Debug for Sealers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealers").finish_non_exhaustive()
    }
}

const CONTENT: &[u8] = b"what only the service may read";

impl Sealers {
    fn seal(&self) -> String {
        self.ours.seal(Purpose::Cursor, CONTENT)
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        self.ours.open(Purpose::Cursor, sealed)
    }
}

async fn what_was_sealed_opens(sealers: Sealers) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for purpose in Purpose::ALL {
        for content in [&b""[..], b"a", b"ab", b"abc", &every_byte, &[0; 4096]] {
            let sealed = sealers.ours.seal(purpose, content);
            assert_eq!(sealers.ours.open(purpose, &sealed).as_deref(), Some(content), "{purpose:?}");
        }
    }
}

async fn another_process_with_the_same_key_opens_it(sealers: Sealers) {
    assert_eq!(sealers.double.open(Purpose::Cursor, &sealers.seal()).as_deref(), Some(CONTENT));
    let theirs = sealers.double.seal(Purpose::Cursor, CONTENT);
    assert_eq!(sealers.open(&theirs).as_deref(), Some(CONTENT));
}

async fn another_key_does_not_open_it(sealers: Sealers) {
    assert_eq!(sealers.stranger.open(Purpose::Cursor, &sealers.seal()), None);
    assert_eq!(sealers.open(&sealers.stranger.seal(Purpose::Cursor, CONTENT)), None);
}

async fn another_purpose_does_not_open_it(sealers: Sealers) {
    for sealed_for in Purpose::ALL {
        let sealed = sealers.ours.seal(sealed_for, CONTENT);
        for opened_for in Purpose::ALL {
            let opened = sealers.ours.open(opened_for, &sealed);
            assert_eq!(opened.is_some(), opened_for == sealed_for, "{sealed_for:?} as {opened_for:?}");
        }
    }
}

async fn the_same_bytes_twice_give_two_texts(sealers: Sealers) {
    assert_ne!(sealers.seal(), sealers.seal());
}

async fn sealed_text_is_safe_in_a_url(sealers: Sealers) {
    for length in 0..64 {
        let sealed = sealers.ours.seal(Purpose::Cursor, &vec![0xff; length]);
        let safe = sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        assert!(safe && !sealed.is_empty(), "{sealed}");
    }
}

async fn sealed_text_does_not_show_its_content(sealers: Sealers) {
    let content = "a".repeat(32);
    assert!(!sealers.ours.seal(Purpose::Cursor, content.as_bytes()).contains(&content));
}

async fn sealed_text_with_any_character_altered_does_not_open(sealers: Sealers) {
    for altered in alterations(&sealers.seal()) {
        assert_eq!(sealers.open(&altered), None, "{altered}");
    }
}

async fn sealed_text_that_is_cut_or_extended_does_not_open(sealers: Sealers) {
    for altered in cuts_and_extensions(&sealers.seal()) {
        assert_eq!(sealers.open(&altered), None, "{altered}");
    }
}

async fn what_was_never_sealed_does_not_open(sealers: Sealers) {
    for text in ["", "A", "=", "AAAA", "AQ", "\u{0}", "🦀", "../../etc/passwd", &"A".repeat(100_000)] {
        assert_eq!(sealers.open(text), None, "{text:.20}");
    }
}
