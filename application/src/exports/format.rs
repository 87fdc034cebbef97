//! [`ExportFormat`]: how users are written into a file.

use portwright_domain::Timestamp;
use portwright_domain::access::Role;
use portwright_domain::user::User;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How users are written. Neither form has anything of their passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// RFC 4180 in UTF-8, with a header: for people and their spreadsheets. A text that a spreadsheet would take for a
    /// formula has an apostrophe before it, so what strangers chose as their names does nothing when it is opened.
    Csv,
    /// One JSON object a line, each as the API answers it, exactly: for programs.
    Jsonl,
}

/// The columns of [`ExportFormat::Csv`], named as the members of the JSON.
const HEADER: &str =
    "id,email,firstName,lastName,role,isActive,isEmailVerified,lastLogin,createdAt,updatedAt,avatarUrl\r\n";

/// A user as the API answers it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'u> {
    id: Uuid,
    email: &'u str,
    first_name: &'u str,
    last_name: &'u str,
    role: Role,
    is_active: bool,
    is_email_verified: bool,
    last_login: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    avatar_url: Option<String>,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Csv, Self::Jsonl];

    /// The name in the API, and the ending of a file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// What a file begins with.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Csv => HEADER,
            Self::Jsonl => "",
        }
    }

    /// Writes a user behind what is there.
    pub(super) fn write(self, user: &User, text: &mut String) {
        let line = Line {
            id: user.id.0,
            email: user.email.as_str(),
            first_name: user.first_name.as_str(),
            last_name: user.last_name.as_str(),
            role: user.role,
            is_active: user.is_active,
            is_email_verified: user.is_email_verified,
            last_login: user.last_login,
            created_at: user.created_at,
            updated_at: user.updated_at,
            avatar_url: user.avatar.map(|_| format!("/users/{}/avatar", user.id)),
        };
        match self {
            Self::Csv => line.write_csv(text),
            // Texts and numbers, which always have a form in JSON.
            Self::Jsonl => text.push_str(&serde_json::to_string(&line).unwrap_or_default()),
        }
        text.push_str(if self == Self::Csv { "\r\n" } else { "\n" });
    }
}

impl Line<'_> {
    fn write_csv(&self, text: &mut String) {
        let last_login = self.last_login.map(|at| at.to_string());
        text.push_str(&self.id.to_string());
        for chosen in [self.email, self.first_name, self.last_name] {
            text.push(',');
            write_text(chosen, text);
        }
        for ours in [
            self.role.as_str(),
            &self.is_active.to_string(),
            &self.is_email_verified.to_string(),
            &last_login.unwrap_or_default(),
            &self.created_at.to_string(),
            &self.updated_at.to_string(),
            self.avatar_url.as_deref().unwrap_or_default(),
        ] {
            text.push(',');
            text.push_str(ours);
        }
    }
}

/// A field with a text that somebody chose.
fn write_text(chosen: &str, text: &mut String) {
    let guard = if chosen.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if chosen.contains(['"', ',', '\r', '\n']) {
        let chosen = chosen.replace('"', "\"\"");
        text.extend(["\"", guard, &chosen, "\""]);
    } else {
        text.extend([guard, chosen]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_a_text_to_a_spreadsheet() {
        let written = |chosen: &str| {
            let mut text = String::new();
            write_text(chosen, &mut text);
            text
        };
        assert_eq!(written("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(written(formula), format!("'{formula}"));
        }
        for harmless in ["Ada", "O'Brien", "a=b", "Ada-Marie", " x"] {
            assert_eq!(written(harmless), harmless);
        }
    }
}
