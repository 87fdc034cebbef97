//! The architecture, as rules that a change breaks visibly.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata");
    metadata["packages"].as_array().expect("packages").clone()
}

fn dependencies<'a>(package: &'a Value, kind: Option<&str>) -> BTreeSet<&'a str> {
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    all.filter(|dependency| dependency["kind"].as_str() == kind)
        .map(|dependency| dependency["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn who_depends_on_whom_is_what_was_agreed() {
    let packages = packages();
    let ours: BTreeSet<_> =
        packages.iter().map(|package| package["name"].as_str().expect("a name")).collect();
    let mut graph = Vec::new();
    for name in &ours {
        let package = packages.iter().find(|package| package["name"] == *name).expect("it is there");
        for (kind, label) in [(None, ""), (Some("dev"), " (tests)"), (Some("build"), " (build)")] {
            for dependency in dependencies(package, kind).intersection(&ours) {
                graph.push(format!("{name} -> {dependency}{label}\n"));
            }
        }
    }
    let graph = graph.concat();
    let file = root().join("tests/e2e/snapshots/dependency_graph.txt");
    let agreed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        graph == agreed,
        "the graph is now as follows; if that is intended, write it to {}:\n{graph}",
        file.display()
    );
}

#[test]
fn the_domain_depends_on_nothing_that_does_anything() {
    let packages = packages();
    let domain = packages.iter().find(|package| package["name"] == "portwright-domain").expect("the domain");
    // Decision record 3; a new entry is a new record.
    let agreed =
        ["async-trait", "bytes", "mockall", "serde", "thiserror", "time", "unicode-normalization", "uuid"];
    assert_eq!(dependencies(domain, None), BTreeSet::from(agreed));
    let mockall = domain["dependencies"].as_array().expect("dependencies").iter();
    assert!(mockall.filter(|dependency| dependency["name"] == "mockall").all(|it| it["optional"] == true));
}

#[test]
fn the_use_cases_know_no_driver() {
    let packages = packages();
    let application =
        packages.iter().find(|it| it["name"] == "portwright-application").expect("the application");
    for driver in
        ["sqlx", "redis", "poem", "poem-openapi", "opendal", "hyper", "jsonwebtoken", "argon2", "moka"]
    {
        assert!(!dependencies(application, None).contains(driver), "{driver}");
    }
}

/// Every source file of ours.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders =
        ["domain", "application", "adapters", "bootstrap", "tests"].map(|it| root().join(it)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50);
    found
}

#[test]
fn a_file_is_one_conversation() {
    for (path, text) in sources() {
        let in_src = path.parent().is_some_and(|folder| folder.ends_with("src"));
        let most = match path.file_name().and_then(|name| name.to_str()) {
            Some("lib.rs") if in_src => 80,
            Some("main.rs") if in_src => 60,
            _ => 400,
        };
        let lines = text.lines().count();
        let excused = text.contains("// Longer than the budget: ");
        assert!(lines <= most || excused, "{} has {lines} lines, more than {most}", path.display());
    }
}

#[test]
fn a_file_says_first_what_it_is_for() {
    for (path, text) in sources() {
        let documented = text.starts_with("//!") || text.starts_with("#![doc") || text.starts_with("// ");
        assert!(documented, "{} does not begin with what it is for", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    let leftovers = ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "dbg!("];
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("architecture.rs")) {
        for leftover in leftovers {
            assert!(!text.contains(leftover), "{} has {leftover}", path.display());
        }
    }
}

#[test]
fn migrations_count_without_gaps() {
    for database in fs::read_dir(root().join("migrations")).expect("migrations").flatten() {
        if !database.path().is_dir() {
            continue;
        }
        let files = fs::read_dir(database.path()).expect("a folder").flatten();
        let mut numbers: Vec<u32> = files
            .map(|file| file.file_name().to_string_lossy()[..4].parse().expect("NNNN_name.sql"))
            .collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=u32::try_from(numbers.len()).expect("few")), "{numbers:?}");
    }
}
