//! `GET /problems/{code}`: the page that the `type` of a problem leads to.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::PlainText;

use super::{Problem, ProblemCode};
use crate::refusals::refusals;

refusals!(PageRefused: NotFound);

/// The catalogue of problems, for people.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProblemPages;

#[expect(clippy::unused_async, reason = "operations are asynchronous")]
#[OpenApi]
impl ProblemPages {
    /// What an error means and how to mend it
    #[oai(path = "/problems/:code", method = "get", operation_id = "getProblem")]
    async fn problem(
        &self,
        /// The `code` of a problem.
        code: Path<String>,
    ) -> Result<PlainText<String>, PageRefused> {
        let code: ProblemCode = code.parse().map_err(|_| Problem::new(ProblemCode::NotFound))?;
        Ok(PlainText(page(code)))
    }
}

fn page(code: ProblemCode) -> String {
    format!(
        "{} ({}, {})\n\n{}\n\nWhat to do: {}\n",
        code.title(),
        code.as_str(),
        code.status().as_u16(),
        code.meaning(),
        code.remedy()
    )
}
