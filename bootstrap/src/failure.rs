//! Why a run cannot go on, for the person who can mend it: what, where from, why, and the fix — all of it at once.

use std::error::Error;
use std::fmt;

use portwright_domain::{ErrorKind, PortError};

use crate::exit::Exit;

/// One thing that is wrong. Nothing in it is secret, nor can it move the cursor of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    from: Vec<String>,
    fix: Option<String>,
}

impl Problem {
    /// A problem; `what` is lower case, one line, and names the cause in parentheses.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: printable(&what.into()), from: Vec::new(), fix: None }
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it comes from.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.from
    }

    /// What to do about it, if anybody knows.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.fix.as_deref()
    }

    /// The same, with a place that it comes from, such as `PORT=http (environment)`.
    #[must_use]
    pub fn from(mut self, origin: impl Into<String>) -> Self {
        self.from.push(printable(&origin.into()));
        self
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(printable(&fix.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        if !self.from.is_empty() {
            writeln!(f, "  from: {}", self.from.join(", "))?;
        }
        if let Some(fix) = &self.fix {
            writeln!(f, "  fix:  {fix}")?;
        }
        Ok(())
    }
}

/// Why a run ends, and the status it ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    problems: Vec<Problem>,
}

impl Failure {
    /// Ends with this status because of one problem.
    #[must_use]
    pub fn new(exit: Exit, problem: Problem) -> Self {
        Self { exit, problems: vec![problem] }
    }

    /// Ends with this status because of all of these.
    #[must_use]
    pub const fn all(exit: Exit, problems: Vec<Problem>) -> Self {
        Self { exit, problems }
    }

    /// The same failure, with these problems besides.
    #[must_use]
    pub fn and(mut self, problems: impl IntoIterator<Item = Problem>) -> Self {
        self.problems.extend(problems);
        self
    }

    /// The configuration has these problems.
    #[must_use]
    pub const fn config(problems: Vec<Problem>) -> Self {
        Self::all(Exit::Config, problems)
    }

    /// Ends with this status and says nothing more: everything has been said.
    #[must_use]
    pub const fn silent(exit: Exit) -> Self {
        Self { exit, problems: Vec::new() }
    }

    /// The status to end with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// What is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same failure, saying in which step of the start it happened.
    #[must_use]
    pub(crate) fn during(mut self, step: &str) -> Self {
        for problem in &mut self.problems {
            problem.what.insert_str(0, &format!("{step}: "));
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            problem.fmt(f)?;
        }
        let (count, code) = (self.problems.len(), self.exit.code());
        let noun = if count == 1 { "problem" } else { "problems" };
        match (count, self.exit.nothing_was_started()) {
            (0, _) => Ok(()),
            (_, true) => writeln!(f, "{count} {noun}, nothing was started (exit {code})"),
            (_, false) => writeln!(f, "{count} {noun} (exit {code})"),
        }
    }
}

impl Error for Failure {}

/// An adapter that cannot start, or an operator's command that cannot be carried out.
impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let exit = match error.kind() {
            ErrorKind::Unavailable => Exit::Unavailable,
            ErrorKind::Contended | ErrorKind::LeaseLost => Exit::TryAgain,
            // Like a mistake in the configuration, a damaged file stays as it is until somebody does something.
            ErrorKind::Misconfigured | ErrorKind::Unsupported | ErrorKind::Corrupt => Exit::Config,
            ErrorKind::Conflict => Exit::Failed,
            // `ErrorKind` may grow; what is not known here is a bug until it is.
            _ => Exit::Bug,
        };
        let problem = Problem::new(with_causes(&error));
        Self::new(
            exit,
            match error.kind() {
                ErrorKind::Corrupt => {
                    problem.fix("restore it from a backup, or move it away to begin without it")
                }
                _ => problem,
            },
        )
    }
}

/// The error and what caused it, in one line. Some errors end in the words of their cause, which are said once.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// Values come from outside: control characters are shown, not obeyed, and endless text is cut.
fn printable(text: &str) -> String {
    const LONGEST: usize = 400;
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        if at == LONGEST {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_printed_with_their_origins_and_fixes() {
        let failure = Failure::config(vec![
            Problem::new("cannot reach PostgreSQL at db.internal:5433 (connection refused)")
                .from("DB_HOST=db.internal (environment)")
                .from("DB_PORT=5433 (.env line 7)")
                .fix("is it 5432? `portwright doctor db` tries it"),
            Problem::new("unknown variable COMPUTE_MIN_WORKER, did you mean COMPUTE_MIN_WORKERS?"),
        ]);
        let expected = "\
error: cannot reach PostgreSQL at db.internal:5433 (connection refused)
  from: DB_HOST=db.internal (environment), DB_PORT=5433 (.env line 7)
  fix:  is it 5432? `portwright doctor db` tries it
error: unknown variable COMPUTE_MIN_WORKER, did you mean COMPUTE_MIN_WORKERS?
2 problems, nothing was started (exit 78)
";
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn a_failure_without_problems_prints_nothing() {
        assert_eq!(Failure::silent(Exit::Done).to_string(), "");
    }

    #[test]
    fn values_from_outside_cannot_command_the_terminal() {
        let problem = Problem::new("bad").from("PORT=\u{1b}[2J\nerror: forged (environment)");
        assert_eq!(problem.to_string().lines().count(), 2);
        assert!(!problem.to_string().contains('\u{1b}'));
        assert!(Problem::new("x".repeat(10_000)).to_string().len() < 500);
    }

    #[test]
    fn an_adapter_error_keeps_its_causes_and_chooses_the_status() {
        let io = std::io::Error::other("disk on fire");
        let error = PortError::new(ErrorKind::Unavailable, "store.init", "no file").with_source(io);
        let failure = Failure::from(error).during("open the database");
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(failure.to_string().starts_with("error: open the database: store.init"), "{failure}");
        assert!(failure.to_string().contains("disk on fire"));
    }

    #[test]
    fn a_cause_that_is_part_of_the_message_is_not_said_again() {
        #[derive(Debug)]
        struct Wrapped(std::io::Error);

        impl fmt::Display for Wrapped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "database: {}", self.0)
            }
        }

        impl Error for Wrapped {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }

        assert_eq!(with_causes(&Wrapped(std::io::Error::other("full"))), "database: full");
    }

    #[test]
    fn damaged_data_waits_for_somebody_to_do_something() {
        let failure = Failure::from(PortError::new(ErrorKind::Corrupt, "store.init", "a.db is damaged"));
        assert_eq!(failure.exit(), Exit::Config);
        assert!(failure.to_string().contains("fix:  restore it from a backup"), "{failure}");
    }
}
