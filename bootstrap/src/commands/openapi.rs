//! `portwright openapi`: the document of the API, as it is committed.

use std::path::Path;

use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::output;

/// Where it is committed, seen from the root of the source.
const FILE: &str = "openapi/openapi.json";

/// Prints the document, or writes it where it is committed.
pub(super) fn run(write: bool) -> Result<(), Failure> {
    let document = portwright_http::document().json();
    if !write {
        return output::print(&document);
    }
    std::fs::write(Path::new(FILE), document).map_err(|error| {
        let problem = Problem::new(format!("cannot write {FILE} ({error})"));
        Failure::new(Exit::CannotCreate, problem.fix("run it in the root of the source"))
    })?;
    output::print(&format!("written to {FILE}\n"))
}
