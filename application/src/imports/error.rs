//! [`ImportError`]: why a file was not imported at all.

use portwright_domain::{ErrorKind, PortError, Race};
use serde::{Deserialize, Serialize};

use crate::compute::{ComputeError, TaskError};
use crate::transact::MaybeContended;

/// Why an import came to no report. What is wrong with the file as a whole is found before anybody is created. Says
/// where, never what stands there: that might be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum ImportError {
    /// It is no text in UTF-8.
    #[error("the file is no text in UTF-8")]
    NotText,
    /// Its first line lacks these columns.
    #[error("the first line lacks columns: {}", columns.join(", "))]
    MissingColumns {
        /// Their names.
        columns: Vec<String>,
    },
    /// Its first line names a column that an import does not know.
    #[error("column {position} is none of email, firstName, lastName, role, password")]
    UnknownColumn {
        /// The place of the column, the first being 1.
        position: u64,
    },
    /// Its first line names a column twice.
    #[error("the column {column} stands there twice")]
    RepeatedColumn {
        /// The name of the column.
        column: String,
    },
    /// It has more rows than one import takes.
    #[error("more than {most} rows")]
    TooManyRows {
        /// How many it takes.
        most: u64,
    },
    /// A quote is opened and never closed.
    #[error("a quote is opened in the record of line {line}, and never closed")]
    OpenQuote {
        /// The line on which its record begins.
        line: u64,
    },
    /// The file is not kept any more: an import that succeeded, was stopped or whose file was refused does not run again.
    #[error("the file is not kept any more")]
    FileGone,
    /// The import was told to stop; who was created by then, stays.
    #[error("stopped")]
    Stopped,
    /// The outside world failed.
    #[error("{operation} failed: {kind}")]
    Port {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// Which port and method.
        operation: String,
        /// Which race was lost, if it was one.
        #[serde(skip)]
        race: Race,
    },
    /// The engine failed.
    #[error(transparent)]
    Compute {
        /// How.
        error: ComputeError,
    },
}

impl TaskError for ImportError {
    fn retryable(&self) -> bool {
        matches!(self, Self::Port { kind: ErrorKind::Unavailable | ErrorKind::Contended, .. })
    }
}

impl MaybeContended for ImportError {
    fn lost_race(&self) -> Option<Race> {
        match self {
            Self::Port { kind: ErrorKind::Contended, race, .. } => Some(*race),
            _ => None,
        }
    }
}

impl From<PortError> for ImportError {
    fn from(error: PortError) -> Self {
        if error.race().is_none() {
            tracing::warn!(error.type = %error.kind(), error = ?error, "a port failed an import");
        }
        Self::Port {
            kind: error.kind(),
            operation: error.operation().to_owned(),
            race: error.race().unwrap_or_default(),
        }
    }
}

impl From<ComputeError> for ImportError {
    fn from(error: ComputeError) -> Self {
        Self::Compute { error }
    }
}
