//! Tells what the configuration is: every value, where it came from, what it overrode — redacted, and also where there
//! are problems, since that is when somebody asks.

use std::fmt::Write;

use serde_json::{Value, json};

use super::misspelt::likely;
use super::reader::{Given, Reading, Setting};
use super::sources::Origin;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// One line per variable.
#[must_use]
pub fn table(reading: &Reading) -> String {
    const UNSET: &str = "-";
    let rows: Vec<[String; 3]> = reading.settings.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count().min(32)).max().unwrap_or(0);
    let (name_width, value_width) = (width(0), width(1));
    let mut text = String::new();
    for [name, value, origin] in &rows {
        let value = if value.is_empty() { UNSET } else { value };
        let _ = writeln!(text, "{name:name_width$}  {value:value_width$}  {origin}");
    }
    text
}

fn row(setting: &Setting) -> [String; 3] {
    let (value, mut origin) = match &setting.value {
        Some(given) => (given.shown.clone(), place(setting, given)),
        None => (String::new(), setting.spec.default.to_string()),
    };
    for given in &setting.overrode {
        let _ = write!(origin, "; overrode {given}");
    }
    [setting.spec.name.to_owned(), value, origin]
}

/// Where a value is from, and by which name if it was another.
fn place(setting: &Setting, given: &Given) -> String {
    if given.name == setting.spec.name {
        given.origin.to_string()
    } else {
        format!("{}, {}", given.name, given.origin)
    }
}

/// Everything about one variable, by its name, an alias, or `<name>_FILE`.
///
/// # Errors
/// `Usage` if this version has no such variable.
pub fn one<'a>(reading: &'a Reading, name: &str) -> Result<&'a Setting, Failure> {
    let wanted = name.to_ascii_uppercase();
    let found = reading.settings.iter().find(|setting| {
        setting.spec.names().any(|known| {
            known == wanted || setting.spec.secret && wanted.strip_suffix("_FILE") == Some(known)
        })
    });
    found.ok_or_else(|| {
        let problem = Problem::new(format!("there is no variable {wanted}"));
        let problem = problem.fix(match likely(&wanted, Origin::CommandLine("NAME")) {
            Some(known) => format!("did you mean {known}?"),
            None => "`portwright config show` lists them".to_owned(),
        });
        Failure::new(Exit::Usage, problem)
    })
}

/// A page about one variable.
#[must_use]
pub fn page(setting: &Setting) -> String {
    let spec = setting.spec;
    let mut text = format!("{}\n  {}\n\n", spec.name, spec.about);
    let mut line = |label: &str, content: &str| {
        let _ = writeln!(text, "  {label:<9} {content}");
    };
    line("must be", spec.expects);
    line("default", &spec.default.to_string());
    if !spec.aliases.is_empty() {
        line("alias", &spec.aliases.join(", "));
    }
    if spec.secret {
        line("file", &format!("{}_FILE names a file that has it", spec.name));
    }
    match &setting.value {
        Some(given) => {
            line("value", &given.shown);
            line("from", &place(setting, given));
        }
        None => line("value", "not set"),
    }
    for given in &setting.overrode {
        line("overrode", &given.to_string());
    }
    text
}

/// One setting for a program.
#[must_use]
pub fn json(setting: &Setting) -> Value {
    let spec = setting.spec;
    json!({
        "name": spec.name,
        "value": setting.value.as_ref().map(|given| &given.shown),
        "source": setting.value.as_ref().map(source),
        "overrode": setting.overrode.iter().map(|given| {
            json!({ "value": given.shown, "source": source(given) })
        }).collect::<Vec<_>>(),
        "secret": spec.secret,
        "aliases": spec.aliases,
        "expects": spec.expects,
        "default": spec.default.to_string(),
        "about": spec.about,
    })
}

fn source(given: &Given) -> Value {
    match given.origin {
        Origin::CommandLine(flag) => json!({ "kind": "command line", "name": given.name, "option": flag }),
        Origin::Environment => json!({ "kind": "environment", "name": given.name }),
        Origin::DotEnv(line) => json!({ "kind": ".env", "name": given.name, "line": line }),
        Origin::Default => json!({ "kind": "default" }),
    }
}
