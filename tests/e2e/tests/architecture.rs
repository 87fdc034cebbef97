//! The architecture, as rules that a change breaks visibly.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn packages() -> Vec<Value> {
    packages_of(&root())
}

fn packages_of(workspace: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace)
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

/// What cargo finds to build, by what its file is for.
fn targets(workspace: &Path) -> BTreeSet<String> {
    let packages = packages_of(workspace);
    let all = packages.iter().flat_map(|package| {
        let targets = package["targets"].as_array().expect("targets").iter();
        targets.map(|target| format!("{}: {} {}", package["name"], target["kind"], target["name"]))
    });
    all.collect()
}

/// The first stage of the image empties every file of code, but cargo wants each that a manifest names to be there.
#[test]
fn the_image_is_built_from_a_whole_workspace() {
    let read = |path| fs::read_to_string(root().join(path)).expect("text");
    let (ignored, dockerfile) = (read(".dockerignore"), read("deploy/docker/Dockerfile"));
    let context = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect::<Vec<_>>().join(" ");
    let (_, step) = dockerfile.split_once("RUN mkdir /skeleton").expect("the step");
    let (step, _) = step.split_once("\n\n").expect("its end");

    let place = tempfile::tempdir().expect("a directory");
    let skeleton = place.path().join("skeleton");
    let step = step.replace("/skeleton", skeleton.to_str().expect("UTF-8"));
    let script = format!(
        "tar --create --exclude=target --exclude=node_modules {context} | tar --extract --directory $PLACE
        cd $PLACE && mkdir skeleton {step}"
    );
    let mut shell = Command::new("sh");
    let ran = shell.args(["-c", &script]).env("PLACE", place.path()).current_dir(root()).output();
    let ran = ran.expect("a shell");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let missing: Vec<_> = targets(&root()).difference(&targets(&skeleton)).cloned().collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What each adapter implements, by the crate: the ports of the first column of `adapters/README.md`.
fn implemented(ports: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let in_sources = sources().into_iter().filter_map(|(path, text)| Some((adapter(&path, "src")?, text)));
    for (adapter, text) in in_sources {
        // What stands in a module of tests is none of the adapter.
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in product.lines().filter_map(|line| line.strip_prefix("impl")) {
            let what = line.split_once(" for ").and_then(|(port, _)| port.split_whitespace().last());
            found
                .entry(adapter.clone())
                .or_default()
                .extend(what.map(str::to_owned).filter(|it| ports.contains(it)));
        }
    }
    found.retain(|_, ports| !ports.is_empty());
    found
}

/// The adapter that a file is of, if it is in this folder of it.
fn adapter(path: &Path, folder: &str) -> Option<String> {
    let mut names = path.strip_prefix(root().join("adapters")).ok()?.iter();
    let name = names.next()?.to_str()?;
    (names.next()?.to_str()? == folder).then(|| name.to_owned())
}

/// The table of `adapters/README.md`: for each port, the adapters that implement it.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("adapters/README.md")).expect("the page");
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines = page.lines().filter(|line| line.starts_with('|')).map(cells);
    let adapters = lines.next().expect("a head");
    let mut table = BTreeMap::new();
    for row in lines.skip(1) {
        let by = adapters.iter().zip(&row).skip(2).filter(|(_, cell)| !cell.is_empty());
        let by: BTreeSet<_> = by.map(|(adapter, _)| adapter.clone()).collect();
        table.extend(row[1].split(", ").map(|port| (port.to_owned(), by.clone())));
    }
    assert!(table.len() > 8, "{table:?}");
    table
}

#[test]
fn the_table_of_adapters_is_what_they_implement() {
    let table = table();
    let ports = table.keys().cloned().collect();
    let mut written = BTreeMap::<_, BTreeSet<_>>::new();
    for (port, adapters) in table {
        for adapter in adapters {
            written.entry(adapter).or_default().insert(port.clone());
        }
    }
    assert_eq!(written, implemented(&ports), "adapters/README.md, and what is implemented");
}

/// The suite that has the promises of a port; the two halves of the queue share theirs.
fn suite(port: &str) -> String {
    let port = if port == "JobSource" { "JobQueue" } else { port };
    let snake: String = port
        .char_indices()
        .flat_map(|(at, c)| (at > 0 && c.is_uppercase()).then_some('_').into_iter().chain(c.to_lowercase()))
        .collect();
    format!("{snake}_contract!(")
}

#[test]
fn every_adapter_passes_the_suite_of_every_port_that_it_implements() {
    let ports = table().into_keys().collect();
    let mut missing = Vec::new();
    for (name, ports) in implemented(&ports) {
        let tests = sources().into_iter().filter(|(path, _)| adapter(path, "tests").as_ref() == Some(&name));
        let tests: String = tests.map(|(_, text)| text).collect();
        let suites = ports.iter().map(|port| suite(port)).filter(|suite| !tests.contains(suite));
        missing.extend(suites.map(|suite| format!("{name} does not call {suite}…)")));
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_test_that_a_table_of_faults_names_is_there() {
    let code: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut named = 0;
    for readme in
        ["adapters/postgres", "adapters/redis", "adapters/sqlite", "adapters/storage", "application"]
    {
        let text = fs::read_to_string(root().join(readme).join("README.md")).expect("a README");
        let rows = text.lines().skip_while(|line| !line.starts_with("| fault |"));
        let cells = rows.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit(" | ").next());
        for test in cells.flat_map(|cell| cell.split(", ")).filter(|test| test.contains('_')) {
            let name = test.trim_matches('`');
            assert!(code.contains(&format!("fn {name}(")), "{readme}: there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} tests are named");
}
