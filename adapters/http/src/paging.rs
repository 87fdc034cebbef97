//! `page` and `limit` of every list, and what a numbered page says of itself.

use poem::Request;
use poem_openapi::Object;
use portwright_domain::Invalid;
use portwright_domain::page::Limit;
use serde::Serialize;
use serde_json::{Value, json};

use crate::link;
use crate::parameters::Parameters;

/// Where a page stands. A numbered page has `page`, `total` and `totalPages`; a walk has `nextCursor` until its end.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<u32>,
    pub(crate) limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total_pages: Option<u64>,
    /// Opaque; send it back as `cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

impl Pagination {
    /// The last page of a walk.
    pub(crate) const fn walking(limit: Limit) -> Self {
        Self { page: None, limit: limit.get(), total: None, total_pages: None, next_cursor: None }
    }
}

/// The highest page number.
const MAX_PAGE: u32 = 1_000_000_000;

pub(crate) fn page_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1})
}

pub(crate) fn limit_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": Limit::MAX.get(), "default": Limit::DEFAULT.get()})
}

/// `page`, if it is given.
pub(crate) fn page(parameters: &mut Parameters) -> Option<u32> {
    parameters.optional("page", |text| match number(text).map(u32::try_from) {
        Some(Ok(page @ 1..=MAX_PAGE)) => Ok(page),
        _ => Err(Invalid::new("out-of-range", "from 1 to 1000000000")),
    })
}

/// `limit`, or what it is if it is not given.
pub(crate) fn limit(parameters: &mut Parameters) -> Limit {
    let given = parameters.optional("limit", |text| {
        number(text).ok_or_else(|| Invalid::new("out-of-range", "from 1 to 100")).and_then(Limit::parse)
    });
    given.unwrap_or(Limit::DEFAULT)
}

/// A whole number in digits alone; the parser would take a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Where a numbered page of so many rows stands, and its `Link` header.
pub(crate) fn numbered(request: &Request, page: u32, limit: Limit, total: u64) -> (Pagination, String) {
    // The last one is perhaps not full.
    let total_pages = total.div_ceil(u64::from(limit.get()));
    let walking = Pagination::walking(limit);
    let pagination =
        Pagination { page: Some(page), total: Some(total), total_pages: Some(total_pages), ..walking };
    (pagination, link::numbered(request.uri(), page, total_pages))
}
