//! The body of an order for an export.

use poem_openapi::{Enum, Object};
use portwright_application::exports::{ExportFormat, ExportOrder};
use portwright_domain::Invalid;
use portwright_domain::user::UserFilter;

use crate::body::JsonShape;
use crate::fields::{Fields, boolean, text};
use crate::users::body::{RoleName, role};
use crate::users::query::searched;

/// `csv` for people and their spreadsheets: a text that would be taken for a formula has an apostrophe before it. `jsonl`
/// for programs: each user as the API answers it, one a line.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "ExportFormat", rename_all = "camelCase")]
pub(super) enum FormatName {
    Csv,
    Jsonl,
}

/// Which users to write into a file, and how.
#[derive(Debug, Object)]
#[oai(rename = "ExportOrder")]
pub(super) struct ExportOrderBody {
    format: FormatName,
    /// All users if absent.
    filter: Option<UserFilterBody>,
}

/// Users that meet all of it: the filters of the list.
#[derive(Debug, Object)]
#[oai(rename = "UserFilter", rename_all = "camelCase")]
struct UserFilterBody {
    /// Part of the e-mail address, the first or the last name; case does not matter.
    #[oai(validator(max_length = 254))]
    search: Option<String>,
    /// Part of the e-mail address; case does not matter.
    #[oai(validator(max_length = 254))]
    email: Option<String>,
    /// Part of the first name; case does not matter.
    #[oai(validator(max_length = 254))]
    first_name: Option<String>,
    /// Part of the last name; case does not matter.
    #[oai(validator(max_length = 254))]
    last_name: Option<String>,
    /// Exactly this role.
    role: Option<RoleName>,
    /// Only active users, or only those who are not.
    is_active: Option<bool>,
}

impl JsonShape for ExportOrderBody {
    type Parsed = ExportOrder;

    fn read(fields: &mut Fields) -> Option<ExportOrder> {
        let format = fields.required("format", text(format));
        let filter = fields.object("filter", filter);
        Some(ExportOrder::of(format?, filter?.unwrap_or_default()))
    }
}

fn filter(fields: &mut Fields) -> Option<UserFilter> {
    let search = fields.optional("search", text(searched));
    let email = fields.optional("email", text(searched));
    let first_name = fields.optional("firstName", text(searched));
    let last_name = fields.optional("lastName", text(searched));
    let role = fields.optional("role", role);
    let is_active = fields.optional("isActive", boolean);
    Some(UserFilter {
        search: search?,
        email: email?,
        first_name: first_name?,
        last_name: last_name?,
        role: role?,
        is_active: is_active?,
    })
}

fn format(name: &str) -> Result<ExportFormat, Invalid> {
    let known = ExportFormat::ALL.into_iter().find(|format| format.as_str() == name);
    known.ok_or_else(|| Invalid::new("unknown-value", "csv or jsonl"))
}
