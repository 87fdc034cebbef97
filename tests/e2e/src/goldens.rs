//! Goldens: one payload of every version of every task, as a program of that version wrote it.
//!
//! Jobs outlive deployments, so what was written once must be read for as long as it may wait. A golden is added with
//! its version and never changed: `golden/tasks/<task>/v<version>.args.json` holds the arguments alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use portwright_application::compute::envelope::Args;
use portwright_application::compute::{TaskRegistry, TaskSpec};

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
    let expected: BTreeSet<String> = (1..=task.version).map(file_of).collect();
    for name in names_in(folder).difference(&expected) {
        mistakes.push(format!("{}: {name} is no version of it", task.name));
    }
    mistakes
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
