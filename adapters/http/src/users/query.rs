//! The query of `GET /users`: filters, order and page, all mistakes told at once.
//!
//! [`PARAMETERS`] documents them; [`parse`] reads them. What is not in the table is an unknown parameter.

use poem::Request;
use portwright_application::users::UserListing;
use portwright_domain::Invalid;
use portwright_domain::access::Role;
use portwright_domain::page::{Direction, PageRequest};
use portwright_domain::ports::Sealer;
use portwright_domain::user::{UserFilter, UserSort};
use serde_json::{Value, json};

use crate::cursor::{self, Order};
use crate::paging::{self, limit_schema, page_schema};
use crate::parameters::{Parameter, Parameters};
use crate::problem::Problem;

/// The most characters of a text that is searched for.
const MAX_TEXT: usize = 254;

/// Every parameter of the list, for the document.
pub(crate) const PARAMETERS: [Parameter; 11] = [
    Parameter {
        name: "page",
        doc: "The number of the page, from 1; not together with `cursor`.",
        schema: page_schema,
    },
    Parameter { name: "limit", doc: "Rows on a page.", schema: limit_schema },
    Parameter {
        name: "cursor",
        doc: "Walks from row to row: empty to start, then `pagination.nextCursor`. Belongs to one order and filter.",
        schema: cursor_schema,
    },
    Parameter {
        name: "search",
        doc: "Part of the e-mail address, the first or the last name; case does not matter.",
        schema: text_schema,
    },
    Parameter {
        name: "email",
        doc: "Part of the e-mail address; case does not matter.",
        schema: text_schema,
    },
    Parameter {
        name: "firstName",
        doc: "Part of the first name; case does not matter.",
        schema: text_schema,
    },
    Parameter { name: "lastName", doc: "Part of the last name; case does not matter.", schema: text_schema },
    Parameter {
        name: "role",
        doc: "Exactly this role.",
        schema: || json!({"type": "string", "enum": ["admin", "moderator", "user"]}),
    },
    Parameter {
        name: "isActive",
        doc: "Only active users, or only those who are not.",
        schema: || json!({"type": "boolean"}),
    },
    Parameter {
        name: "sortBy",
        doc: "What the list is ordered by.",
        schema: || json!({"type": "string", "enum": SORTS.map(|(name, _)| name), "default": "createdAt"}),
    },
    Parameter {
        name: "sortOrder",
        doc: "The direction of the order; in upper or lower case.",
        schema: || json!({"type": "string", "enum": ["asc", "desc", "ASC", "DESC"], "default": "desc"}),
    },
];

const SORTS: [(&str, UserSort); 5] = [
    ("createdAt", UserSort::CreatedAt),
    ("updatedAt", UserSort::UpdatedAt),
    ("email", UserSort::Email),
    ("firstName", UserSort::FirstName),
    ("lastName", UserSort::LastName),
];

fn cursor_schema() -> Value {
    json!({"type": "string", "maxLength": 2048})
}

fn text_schema() -> Value {
    json!({"type": "string", "maxLength": MAX_TEXT})
}

/// Reads the query of a request.
///
/// # Errors
/// 422 with every parameter that is not right.
pub(crate) fn parse(request: &Request, sealer: &dyn Sealer) -> Result<UserListing, Problem> {
    let mut parameters = Parameters::of(request);
    let filter = UserFilter {
        search: parameters.optional("search", searched),
        email: parameters.optional("email", searched),
        first_name: parameters.optional("firstName", searched),
        last_name: parameters.optional("lastName", searched),
        role: parameters.optional("role", |text| {
            text.parse::<Role>().map_err(|unknown| Invalid::new("unknown-role", unknown.to_string()))
        }),
        is_active: parameters.optional("isActive", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Invalid::new("invalid-type", "must be true or false")),
        }),
    };
    let sort = parameters.optional("sortBy", |text| {
        SORTS.iter().find(|(name, _)| *name == text).map(|(_, sort)| *sort).ok_or_else(|| {
            Invalid::new("unknown-value", "one of createdAt, updatedAt, email, firstName, lastName")
        })
    });
    let direction = parameters.optional("sortOrder", |text| match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        _ => Err(Invalid::new("unknown-value", "asc or desc")),
    });
    let (sort, direction) = (sort.unwrap_or_default(), direction.unwrap_or_default());
    let limit = paging::limit(&mut parameters);
    let page_given = parameters.is_given("page");
    let page = paging::page(&mut parameters);
    let order = Order { filter: &filter, sort, direction };
    let cursor = parameters.optional("cursor", |text| {
        if page_given {
            return Err(Invalid::new("conflicting-parameters", "not together with page"));
        }
        cursor::open(sealer, text, order)
    });
    parameters.finish()?;
    let page = match cursor {
        Some(after) => PageRequest::Walk { after, limit },
        None => PageRequest::Numbered { page: page.unwrap_or(1), limit },
    };
    Ok(UserListing { filter, sort, direction, page })
}

/// A text that is searched for.
pub(crate) fn searched(text: &str) -> Result<String, Invalid> {
    if text.chars().count() > MAX_TEXT {
        return Err(Invalid::new("too-long", "at most 254 characters"));
    }
    Ok(text.to_owned())
}
