//! Idempotency keys: a `POST` that is sent again must not happen again.
//!
//! ```text
//!              begin                    complete
//!   (nothing) ───────▶ Running ───────────────────▶ Answered ──▶ (gone after 24 h)
//!       ▲                 │  abandon: it failed, a new try may run
//!       └─────────────────┘  or the process died and the claim expired
//! ```
//!
//! A new try is still the same request: it knows when the first one began, so that both name what they make alike.

use bytes::Bytes;

use crate::time::Timestamp;

/// What a key belongs to: the same text from another caller, or for another path, is another key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The caller and the path.
    pub scope: String,
    /// What the client sent: 1–255 visible ASCII characters.
    pub key: String,
}

/// A digest of the request, so that a key cannot be used for two different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The key.
    pub key: IdempotencyKey,
    /// The request that it was first used for.
    pub fingerprint: Fingerprint,
    /// How far that request has come.
    pub progress: Progress,
    /// When the first try began.
    pub begun_at: Timestamp,
    /// From here on the record counts as absent.
    pub expires_at: Timestamp,
}

/// How far the first request with a key has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is being answered.
    Running,
    /// It was answered like this.
    Answered(RecordedAnswer),
    /// It was answered with secrets (tokens), which are not kept.
    Withheld,
}

/// An answer to be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers that belong to the answer, not to its transport.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What a request with an idempotency key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the first, or all before it failed: go ahead.
    Granted {
        /// When this request was first tried.
        begun_at: Timestamp,
    },
    /// The first one is still being answered.
    StillRunning,
    /// Another request used this key.
    KeyReused,
    /// It was answered already.
    Replay(RecordedAnswer),
    /// It was answered already, with secrets that are not kept.
    AlreadyUsed,
}

impl IdempotencyRecord {
    /// What a later request with the same key and this fingerprint may do; `None` if this record has expired.
    #[must_use]
    pub fn claim(&self, fingerprint: Fingerprint, now: Timestamp) -> Option<Claim> {
        if self.expires_at <= now {
            return None;
        }
        if self.fingerprint != fingerprint {
            return Some(Claim::KeyReused);
        }
        Some(match &self.progress {
            Progress::Running => Claim::StillRunning,
            Progress::Answered(answer) => Claim::Replay(answer.clone()),
            Progress::Withheld => Claim::AlreadyUsed,
        })
    }

    /// When a request with this fingerprint was first tried, if nobody has an answer to it yet.
    #[must_use]
    pub fn begun(&self, fingerprint: Fingerprint) -> Option<Timestamp> {
        let unanswered = self.progress == Progress::Running && self.fingerprint == fingerprint;
        unanswered.then_some(self.begun_at)
    }
}
