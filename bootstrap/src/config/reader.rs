//! Finds the value of a variable, remembers what it overrode, and collects what is wrong.

use std::path::Path;

use super::misspelt::is_service_link;
use super::secret::{REDACTED, without_password};
use super::sources::{Entry, Origin, Sources, read_text};
use super::variables::{Spec, Variable};
use super::{AppEnv, Config};
use crate::failure::{Failure, Problem};

/// What a configuration is made of, and the configuration if there is no problem.
#[derive(Debug)]
pub struct Reading {
    /// Every variable of this version.
    pub settings: Vec<Setting>,
    /// The configuration, or everything that is wrong.
    pub config: Result<Config, Failure>,
}

/// One variable as it stands.
#[derive(Debug)]
pub struct Setting {
    /// Which.
    pub spec: &'static Spec,
    /// The value that counts, redacted; `None` if there is none.
    pub value: Option<Given>,
    /// What else was said, and did not count.
    pub overrode: Vec<Given>,
}

/// A value where somebody gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The name it was given by: the variable's, an alias, or that of a file.
    pub name: String,
    /// The value; [`REDACTED`] for a secret.
    pub shown: String,
    /// Where.
    pub origin: Origin,
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={} ({})", self.name, self.shown, self.origin)
    }
}

/// Reads one variable after the other.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    /// The kind of place, for the defaults.
    pub(super) app_env: AppEnv,
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// The largest file that may hold a secret.
    const SECRET_BYTES: u64 = 64 << 10;

    pub(super) fn new(sources: &'a Sources) -> Self {
        let problems = sources.problems.clone();
        Self { sources, app_env: AppEnv::Development, settings: Vec::new(), problems }
    }

    /// The value, or its default; `None` where there is neither, and after a problem.
    pub(super) fn read<T>(&mut self, variable: &'static Variable<T>) -> Option<T> {
        let spec = &variable.spec;
        let mut candidates = self.candidates(spec);
        let overrode =
            candidates.split_off(candidates.len().min(1)).iter().map(|entry| given(spec, entry)).collect();
        let winner = candidates.pop();
        let value = match winner {
            Some(entry) => Some(given(spec, entry)),
            None => spec.default.text(self.app_env).map(|text| Given {
                name: spec.name.to_owned(),
                shown: text.to_owned(),
                origin: Origin::Default,
            }),
        };
        let text = match winner {
            Some(entry) => Some(text_of(spec, entry)),
            None => spec.default.text(self.app_env).map(|text| Ok(text.to_owned())),
        };
        let parsed = text.and_then(|text| match text.and_then(|text| (variable.parse)(&text)) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let problem = Problem::new(format!("{} must be {} ({why})", spec.name, spec.expects));
                let fix = format!("write that, or remove it; the default is {}", spec.default);
                self.problems.push(
                    value.iter().fold(problem, |problem, given| problem.from(given.to_string())).fix(fix),
                );
                None
            }
        });
        self.settings.push(Setting { spec, value, overrode });
        parsed
    }

    /// A problem with values that can be read, and names where they came from.
    pub(super) fn refuse(&mut self, specs: &[&Spec], what: impl Into<String>, fix: impl Into<String>) {
        let concerned =
            self.settings.iter().filter(|setting| specs.iter().any(|spec| spec.name == setting.spec.name));
        let values = concerned.filter_map(|setting| setting.value.as_ref());
        let problem = values.fold(Problem::new(what), |problem, given| problem.from(given.to_string()));
        self.problems.push(problem.fix(fix));
    }

    /// Whether somebody gave it a value.
    pub(super) fn is_given(&self, spec: &Spec) -> bool {
        let setting = self.settings.iter().find(|setting| setting.spec.name == spec.name);
        setting
            .and_then(|setting| setting.value.as_ref())
            .is_some_and(|value| value.origin != Origin::Default)
    }

    /// Everything that was said about the variable, the strongest first. To be empty is not to be set: that is what
    /// container files do with what they pass on; and what Kubernetes tells of a service that is named like one of ours is
    /// not about us.
    fn candidates(&mut self, spec: &Spec) -> Vec<&'a Entry> {
        let mut found = Vec::new();
        for name in spec.names() {
            let file = spec.secret.then(|| format!("{name}_FILE"));
            let entries = self.sources.entries.iter().filter(|entry| {
                (entry.name == name || file.as_ref() == Some(&entry.name))
                    && entry.value.as_deref() != Some("")
                    && !is_service_link(entry)
            });
            let entries: Vec<&Entry> = entries.collect();
            for pair in entries.windows(2) {
                if pair[0].name != pair[1].name && pair[0].origin.is_beside(pair[1].origin) {
                    let problem = Problem::new(format!("{name} and {name}_FILE are both set"))
                        .from(given(spec, pair[0]).to_string())
                        .from(given(spec, pair[1]).to_string());
                    self.problems.push(problem.fix("remove one of them"));
                }
            }
            found.extend(entries);
        }
        found
    }
}

/// How a value is shown, and where it is from.
fn given(spec: &Spec, entry: &Entry) -> Given {
    let shown = match &entry.value {
        Some(text) if is_file(spec, entry) => text.clone(),
        Some(text) if !spec.secret => without_password(text),
        Some(_) => REDACTED.to_owned(),
        None => "(no UTF-8)".to_owned(),
    };
    Given { name: entry.name.clone(), shown, origin: entry.origin }
}

fn is_file(spec: &Spec, entry: &Entry) -> bool {
    spec.secret && spec.names().all(|name| name != entry.name)
}

fn text_of(spec: &Spec, entry: &Entry) -> Result<String, String> {
    let text = entry.value.as_ref().ok_or("it is no UTF-8")?;
    if !is_file(spec, entry) {
        return Ok(text.clone());
    }
    let content = read_text(Path::new(text), Reader::SECRET_BYTES).map_err(|error| error.to_string())?;
    // Editors end a file with a line feed that nobody means.
    let content = content.strip_suffix('\n').unwrap_or(&content);
    let content = content.strip_suffix('\r').unwrap_or(content);
    if content.is_empty() { Err("the file is empty".to_owned()) } else { Ok(content.to_owned()) }
}
