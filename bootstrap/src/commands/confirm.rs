//! Asks before something is destroyed.

use std::io::{IsTerminal, Write, stdin, stdout};

use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::output;

/// Asks a person; a program must have said `--yes`. `consequence` is what a program is told.
pub(super) fn confirm(question: &str, consequence: &str) -> Result<(), Failure> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        let problem = Problem::new(format!("{consequence}, and nobody is there to ask"));
        return Err(Failure::new(Exit::Usage, problem.fix("add --yes")));
    }
    output::print(&format!("{question} [y/N] "))?;
    let _ = stdout().flush();
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Failed, Problem::new("nothing was changed"))),
    }
}
