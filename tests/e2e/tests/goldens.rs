//! Payloads that an older program wrote are read by this one.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use portwright_application::compute::{Defaults, TaskRegistry};
use portwright_application::prelude::*;
use portwright_domain::ports::Unobserved;
use portwright_e2e::goldens::mistakes;
use portwright_memory::MemoryJobQueue;
use portwright_testkit::{ManualClock, SequentialIds};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Month {
    year: u16,
    month: u8,
}

impl Month {
    fn from_number(number: u16) -> Self {
        Self { year: 2000 + number / 100, month: u8::try_from(number % 100).unwrap_or(0) }
    }
}

struct Reports {
    #[expect(dead_code, reason = "nobody calls it here")]
    compute: Compute,
}

#[service(name = "reports")]
impl Reports {
    #[compute(version = 3, retired(1), upgrade(2 = Month::from_number))]
    async fn render(&self, month: Month) -> Result<u16, ComputeError> {
        Ok(month.year + u16::from(month.month))
    }
}

fn tasks() -> TaskRegistry {
    let clock = Arc::new(ManualClock::default());
    let (queue, ids) = (Arc::new(MemoryJobQueue::new(clock.clone())), Arc::new(SequentialIds::default()));
    let compute = Compute::new(queue, clock, ids, Arc::new(Unobserved), Defaults::default());
    TaskRegistry::default().serve(&Arc::new(Reports { compute }))
}

/// The mistakes in a folder with these files.
fn mistakes_in(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    let mistakes = mistakes(&tasks(), folder.path());
    let folder = folder.path().to_string_lossy().into_owned();
    mistakes.into_iter().map(|mistake| mistake.replace(&folder, "golden/tasks")).collect()
}

const TWO: (&str, &str) = ("reports.render/v2.args.json", "2601");
const THREE: (&str, &str) = ("reports.render/v3.args.json", r#"{"year": 2026, "month": 1}"#);

#[test]
fn a_golden_of_every_version_that_may_wait_is_enough() {
    assert_eq!(mistakes_in(&[TWO, THREE]), [""; 0]);
    let one = ("reports.render/v1.args.json", "a retired one may stay, whatever it is");
    assert_eq!(mistakes_in(&[one, TWO, THREE]), [""; 0]);
}

#[test]
fn what_is_missing_unreadable_or_left_over_is_told() {
    assert_eq!(
        mistakes_in(&[TWO]),
        ["reports.render: version 3 has no golden; write the arguments of a call to \
            golden/tasks/reports.render/v3.args.json"]
    );
    let changed = ("reports.render/v3.args.json", r#"{"year": 2026}"#);
    assert_eq!(
        mistakes_in(&[TWO, changed]),
        [
            "reports.render: v3.args.json: version 3 of the arguments: missing field `month` at line 1 column 14"
        ]
    );
    let newer = ("reports.render/v4.args.json", "{}");
    assert_eq!(mistakes_in(&[TWO, THREE, newer]), ["reports.render: v4.args.json is no version of it"]);
    assert_eq!(
        mistakes_in(&[TWO, THREE, ("reports.print/v1.args.json", "1")]),
        ["reports.print: there are goldens, and no such task; was it renamed? Pin its name"]
    );
}

#[test]
fn a_folder_that_is_missing_is_one_without_goldens() {
    assert_eq!(mistakes(&tasks(), Path::new("/nowhere")).len(), 2);
}
