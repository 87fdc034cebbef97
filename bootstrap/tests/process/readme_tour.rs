//! The tour of the README does what it shows.
//!
//! Its `console` blocks are one session of a shell: a line that begins with `$ ` is a command, up to a line that does
//! not end in a backslash; what follows is what it prints, where `…` stands for anything within a line. Blank lines do
//! not count, and neither does the port.

use std::fs;

use tokio::process::Command;

use crate::place::{Place, ran};
use crate::server::Server;

/// A line that no command of a tour prints.
const MARK: &str = "=== the next command ===";

/// The port that the README shows.
const SHOWN: &str = "localhost:3000";

#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    command: String,
    output: Vec<String>,
}

#[tokio::test]
async fn the_tour_of_the_readme_does_what_it_shows() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let steps = steps(&fs::read_to_string(readme).expect("the README"));
    assert!(steps.len() > 5, "the tour is found: {steps:?}");

    let place = Place::empty();
    let server = Server::start(place.command(["serve"]).env("APP_ENV", "development")).await;
    let port = format!("localhost:{}", server.address.port());
    let script = steps.iter().map(|step| format!("{}\necho; echo '{MARK}'\n", step.command));
    let script = script.collect::<String>().replace(SHOWN, &port);
    let mut bash = Command::new("bash");
    place.confine(&mut bash);
    let ran = ran(bash.arg("-e").env("PATH", "/usr/local/bin:/usr/bin:/bin"), script.as_bytes()).await;
    assert_eq!(ran.stderr, "");

    let printed: Vec<&str> = ran.expect(0).split(MARK).collect();
    assert_eq!(printed.len(), steps.len() + 1, "{}", ran.stdout);
    for (step, printed) in steps.iter().zip(printed) {
        let printed = printed.replace(&port, SHOWN);
        let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
        let same = lines.len() == step.output.len()
            && step.output.iter().zip(&lines).all(|(shown, line)| matches(shown, line));
        assert!(same, "$ {}\nshows\n{}\nand prints\n{printed}", step.command, step.output.join("\n"));
    }
}

#[test]
fn the_service_that_the_readme_shows_is_the_example() {
    let text = |path| fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).expect("text");
    let (readme, example) = (text("README.md"), text("application/examples/texts.rs"));
    let mut blocks = readme.split("```rust\n").skip(1).map(|rest| rest.split("```").next().expect("a block"));
    let shown = blocks.next().expect("a block");
    assert!(shown.contains("#[compute(") && example.contains(shown), "{shown}");
    assert_eq!(blocks.next(), None);
}

/// The commands of all `console` blocks.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_block = false;
    let mut continued = false;
    for line in readme.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            _ if line.starts_with("```") => in_block = line == "```console",
            _ if !in_block => {}
            (Some(command), _) => steps.push(Step { command: command.to_owned(), output: Vec::new() }),
            (None, Some(step)) if continued => step.command.extend(["\n", line]),
            (None, Some(step)) if !line.trim().is_empty() => step.output.push(line.to_owned()),
            _ => {}
        }
        continued = in_block && line.ends_with('\\');
    }
    steps
}

/// Whether a line is what is shown, each `…` being anything.
fn matches(shown: &str, line: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == line };
    let Some(mut line) = line.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match line.find(part) {
            Some(at) => line = &line[at + part.len()..],
            None => return false,
        }
    }
    line.ends_with(end)
}

#[test]
fn blocks_are_read_as_a_person_reads_them() {
    let readme =
        "```sh\n$ not this\n```\n```console\n$ one \\\n    more\nits …\n\noutput\n$ two\n```\n$ nor this\n";
    let step = |command: &str, output: &[&str]| Step {
        command: command.to_owned(),
        output: output.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps(readme), [step("one \\\n    more", &["its …", "output"]), step("two", &[])]);
}

#[test]
fn an_ellipsis_stands_for_anything_and_everything_else_for_itself() {
    for (shown, line) in
        [("a", "a"), ("…", ""), ("a…", "abc"), ("…c", "abc"), ("a…c…e", "abcde"), ("a…a", "aa")]
    {
        assert!(matches(shown, line), "{shown} {line}");
    }
    for (shown, line) in
        [("a", "ab"), ("a…", "ba"), ("…c", "cb"), ("a…c…e", "aecd"), ("a…a", "a"), ("…b…b", "ab")]
    {
        assert!(!matches(shown, line), "{shown} {line}");
    }
}
