//! Goldens: one payload of every version of every task, as a program of that version wrote it.
//!
//! Jobs outlive deployments, so what was written once must be read for as long as it may wait. A golden is added with
//! its version and never changed: `golden/tasks/<task>/v<version>.args.json` holds the arguments alone. Where these
//! decide what comes of it, `v<version>.outcome.json` beside it is that result.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use portwright_application::compute::envelope::Args;
use portwright_application::compute::{TaskRegistry, TaskSpec};
use serde_json::Value;

/// What is wrong between the tasks and the goldens in this folder; nothing, if all is well.
#[must_use]
pub fn mistakes(tasks: &TaskRegistry, folder: &Path) -> Vec<String> {
    let mut mistakes: Vec<String> =
        tasks.describe().flat_map(|task| mistakes_of(tasks, task, &folder.join(task.name))).collect();
    let known: BTreeSet<&str> = tasks.keys().collect();
    for name in names_in(folder).iter().filter(|name| !known.contains(name.as_str())) {
        mistakes.push(format!("{name}: there are goldens, and no such task; was it renamed? Pin its name"));
    }
    mistakes
}

fn mistakes_of(tasks: &TaskRegistry, task: &TaskSpec, folder: &Path) -> Vec<String> {
    let mut mistakes = Vec::new();
    let file_of = |version: u32| format!("v{version}.args.json");
    for version in (1..=task.version).filter(|version| !task.retired.contains(version)) {
        let (name, file) = (task.name, folder.join(file_of(version)));
        match fs::read_to_string(&file) {
            Ok(json) => {
                let read = Args::from_json(version, &json).and_then(|args| tasks.check(name, &args));
                mistakes.extend(read.err().map(|error| format!("{name}: {}: {error}", file_of(version))));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => mistakes.push(format!(
                "{name}: version {version} has no golden; write the arguments of a call to {}",
                file.display()
            )),
            Err(error) => mistakes.push(format!("{name}: {}: {error}", file_of(version))),
        }
    }
    let outcome_of = |version: u32| format!("v{version}.outcome.json");
    let expected: BTreeSet<String> =
        (1..=task.version).flat_map(|version| [file_of(version), outcome_of(version)]).collect();
    for name in names_in(folder).difference(&expected) {
        mistakes.push(format!("{}: {name} is no version of it", task.name));
    }
    mistakes
}

/// Every pair of arguments and their outcome in this folder, with the task and the version.
#[must_use]
pub fn outcomes(tasks: &TaskRegistry, folder: &Path) -> Vec<Golden> {
    let versions = tasks.describe().flat_map(|task| (1..=task.version).map(move |version| (task, version)));
    let read = |task: &TaskSpec, version: u32, what: &str| {
        let text = fs::read_to_string(folder.join(task.name).join(format!("v{version}.{what}.json"))).ok()?;
        Some(serde_json::from_str(&text).expect("JSON"))
    };
    let golden = |(task, version): (&'static TaskSpec, u32)| {
        let (args, outcome) = (read(task, version, "args")?, read(task, version, "outcome")?);
        Some(Golden { task: task.name, version, args, outcome })
    };
    versions.filter_map(golden).collect()
}

/// What a task once made of its arguments.
#[derive(Debug)]
pub struct Golden {
    /// The task.
    pub task: &'static str,
    /// The version of its arguments.
    pub version: u32,
    /// The arguments.
    pub args: Value,
    /// The result.
    pub outcome: Value,
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
