//! Where values come from: the command line, the process environment, the `.env` file.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::dotenv;
use crate::failure::Problem;

/// Where a value comes from; an earlier one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line, such as `--port`.
    CommandLine(&'static str),
    /// The environment of the process.
    Environment,
    /// This line, from 1, of the `.env` file.
    DotEnv(usize),
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// Whether both are the same kind of place.
    pub(super) const fn is_beside(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::CommandLine(_), Self::CommandLine(_))
                | (Self::Environment, Self::Environment)
                | (Self::DotEnv(_), Self::DotEnv(_))
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(flag) => write!(f, "command line, {flag}"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv(line) => write!(f, ".env line {line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The variable that it stands for.
    pub name: &'static str,
    /// The option, such as `--port`.
    pub flag: &'static str,
    /// The value.
    pub value: String,
}

/// One variable in one place.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    /// `None` if it is no UTF-8.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// Everything that was said anywhere.
#[derive(Debug)]
pub struct Sources {
    /// The strongest first.
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

impl Sources {
    /// The largest `.env` file that is read.
    const DOTENV_BYTES: u64 = 1 << 20;

    /// These options, the environment of this process, and the `.env` file of its working directory.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn of_process(overrides: impl IntoIterator<Item = Override>) -> Self {
        Self::new(overrides, std::env::vars_os(), read_dotenv(Path::new(".env")))
    }

    /// These options and nothing else.
    #[must_use]
    pub fn only(overrides: impl IntoIterator<Item = Override>) -> Self {
        Self::new(overrides, [], Ok(None))
    }

    pub(super) fn new(
        overrides: impl IntoIterator<Item = Override>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        dotenv: io::Result<Option<String>>,
    ) -> Self {
        let overrides = overrides.into_iter().map(|given| Entry {
            name: given.name.to_owned(),
            value: Some(given.value),
            origin: Origin::CommandLine(given.flag),
        });
        // A name that is no UTF-8 is nobody's that we know.
        let environment = environment.into_iter().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok());
            Some(Entry { name, value, origin: Origin::Environment })
        });
        let mut entries: Vec<Entry> = overrides.chain(environment).collect();
        let problems = match dotenv {
            Ok(None) => Vec::new(),
            Ok(Some(text)) => {
                let (lines, problems) = dotenv::parse(&text);
                entries.extend(lines.into_iter().map(|line| Entry {
                    name: line.name,
                    value: Some(line.value),
                    origin: Origin::DotEnv(line.number),
                }));
                problems
            }
            Err(error) => {
                let problem = Problem::new(format!("cannot read the .env file ({error})"));
                vec![problem.fix("make it a readable text file, or remove it")]
            }
        };
        Self { entries, problems }
    }
}

fn read_dotenv(path: &Path) -> io::Result<Option<String>> {
    match read_text(path, Sources::DOTENV_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Reads a text file that has no reason to be longer than this.
pub(super) fn read_text(path: &Path, most_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = open_file(path)?.take(most_bytes + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > most_bytes) {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("more than {most_bytes} bytes")));
    }
    Ok(text)
}

/// Opens a regular file. To open a pipe would wait for its other end.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"))
    }
}
