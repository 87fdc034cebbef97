//! [`ImportReport`]: what became of each row.

use std::borrow::Cow;

use portwright_domain::Invalid;
use serde::{Deserialize, Serialize};

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// How many users it created.
    pub created: u64,
    /// How many rows had an address that somebody had already; they were left as they are.
    pub unchanged: u64,
    /// The rows of which no user can be made, in the order of the file: the first [`ImportReport::MOST_REFUSED`].
    pub refused: Vec<RowRefused>,
    /// How many rows were refused, if that is more than are listed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused_total: Option<u64>,
}

impl ImportReport {
    /// So many refused rows are listed: whoever has more has a mistake in all of them, and a result is bounded.
    pub const MOST_REFUSED: usize = 1_000;

    pub(super) fn refuse(&mut self, row: RowRefused) {
        if self.refused.len() < Self::MOST_REFUSED {
            self.refused.push(row);
        } else {
            let total = self.refused_total.get_or_insert(Self::MOST_REFUSED as u64);
            *total += 1;
        }
    }
}

/// A row of which no user can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRefused {
    /// The line of the file that it begins on; the header is line 1.
    pub line: u64,
    /// The stable name of the rule that it broke, as when a user is created.
    pub code: Cow<'static, str>,
    /// The rule in words, behind the name of the column. Never the value.
    pub detail: String,
}

impl RowRefused {
    pub(super) fn new(line: u64, code: &'static str, detail: impl Into<String>) -> Self {
        Self { line, code: code.into(), detail: detail.into() }
    }

    pub(super) fn field(line: u64, column: &str, invalid: &Invalid) -> Self {
        Self::new(line, invalid.code, format!("{column}: {}", invalid.detail))
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::job::Outcome;

    use super::*;

    #[test]
    fn the_largest_report_is_a_result_that_a_job_may_have() {
        let mut report = ImportReport::default();
        for line in 1..=100_000 {
            report.refuse(RowRefused::new(line, "wrong-number-of-fields", "x".repeat(200)));
        }
        let json = serde_json::to_vec(&report).expect("it is written");
        assert!(json.len() < Outcome::MAX_RESULT / 2, "{} bytes", json.len());
        assert_eq!((report.refused.len(), report.refused_total), (1_000, Some(100_000)));
    }

    #[test]
    fn a_report_that_lists_everything_has_the_three_members_of_the_contract() {
        let mut report = ImportReport { created: 1, unchanged: 2, ..ImportReport::default() };
        let invalid = Invalid::new("too-short", "at least 8 characters");
        report.refuse(RowRefused::field(4, "password", &invalid));
        let expected = serde_json::json!({
            "created": 1,
            "unchanged": 2,
            "refused": [{"line": 4, "code": "too-short", "detail": "password: at least 8 characters"}],
        });
        assert_eq!(serde_json::to_value(&report).expect("it is written"), expected);
        assert_eq!(serde_json::from_value::<ImportReport>(expected).expect("it is read"), report);
    }
}
