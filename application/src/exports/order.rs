//! [`ExportOrder`]: what an export is asked for, as it travels to a worker.

use portwright_domain::access::Role;
use portwright_domain::user::UserFilter;
use serde::{Deserialize, Serialize};

use super::ExportFormat;

/// Which users to write, and how. A job may wait while the program is replaced, so its form in JSON does not follow when
/// the filter of the domain changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportOrder {
    /// How they are written.
    pub format: ExportFormat,
    search: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    role: Option<Role>,
    is_active: Option<bool>,
}

impl ExportOrder {
    /// An order of the users that meet this filter.
    #[must_use]
    pub fn of(format: ExportFormat, filter: UserFilter) -> Self {
        let UserFilter { search, email, first_name, last_name, role, is_active } = filter;
        Self { format, search, email, first_name, last_name, role, is_active }
    }

    pub(super) fn filter(self) -> UserFilter {
        let Self { format: _, search, email, first_name, last_name, role, is_active } = self;
        UserFilter { search, email, first_name, last_name, role, is_active }
    }
}
