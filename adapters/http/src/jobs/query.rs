//! The query of `GET /jobs`: filters and page, all mistakes told at once.
//!
//! [`PARAMETERS`] documents them; [`parse`] reads them. What is not in the table is an unknown parameter.

use poem::Request;
use portwright_domain::Invalid;
use portwright_domain::job::{JobState, QueueName, TaskName};
use portwright_domain::page::Limit;
use portwright_domain::ports::job_queue::JobFilter;
use serde_json::{Value, json};

use crate::paging::{self, limit_schema, page_schema};
use crate::parameters::{Parameter, Parameters};
use crate::problem::Problem;

/// Every parameter of the list, for the document.
pub(crate) const PARAMETERS: [Parameter; 5] = [
    Parameter { name: "page", doc: "The number of the page, from 1.", schema: page_schema },
    Parameter { name: "limit", doc: "Rows on a page.", schema: limit_schema },
    Parameter {
        name: "state",
        doc: "Only jobs that stand like this.",
        schema: || json!({"type": "string", "enum": JobState::ALL.map(JobState::as_str)}),
    },
    Parameter { name: "task", doc: "Only jobs of exactly this task.", schema: name_schema },
    Parameter { name: "queue", doc: "Only jobs of exactly this queue.", schema: name_schema },
];

fn name_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[a-z0-9._-]+$"})
}

/// Which jobs a caller wants to see.
pub(super) struct Listing {
    pub(super) filter: JobFilter,
    pub(super) page: u32,
    pub(super) limit: Limit,
}

/// Reads the query of a request.
///
/// # Errors
/// 422 with every parameter that is not right.
pub(super) fn parse(request: &Request) -> Result<Listing, Problem> {
    let mut parameters = Parameters::of(request);
    let filter = JobFilter {
        state: parameters.optional("state", |text| {
            let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
            found.ok_or_else(|| Invalid::new("unknown-value", "not a state of a job"))
        }),
        task: parameters.optional("task", TaskName::parse),
        queue: parameters.optional("queue", QueueName::parse),
    };
    let (limit, page) = (paging::limit(&mut parameters), paging::page(&mut parameters));
    parameters.finish()?;
    Ok(Listing { filter, page: page.unwrap_or(1), limit })
}
