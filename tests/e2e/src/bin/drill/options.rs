//! [`Options`]: what a drill is told.

use std::path::PathBuf;
use std::time::Duration;

/// How it is called.
pub(crate) const USAGE: &str = "drill [--seed NUMBER] [--for 90s|3m|8h] [--binary PATH] [--plan]

  --seed    what faults and clients draw from; DRILL_SEED says it too, and without either it is another one each time
  --for     how long things fail, 20s at least; DRILL_LENGTH says it too; 3m is usual
  --binary  the server; the one beside this program is usual
  --plan    only says which faults there would be";

/// What a drill is told.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) binary: PathBuf,
    pub(crate) only_plan: bool,
}

impl Options {
    /// What the arguments and the environment say; arguments win. Otherwise what is wrong with them.
    pub(crate) fn of_this_run() -> Result<Self, String> {
        let beside = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("portwright");
        let mut options = Self {
            seed: u64::from(std::process::id()),
            length: Duration::from_mins(3),
            binary: beside,
            only_plan: false,
        };
        for (name, option) in [("DRILL_SEED", "--seed"), ("DRILL_LENGTH", "--for")] {
            if let Some(value) = variable(name) {
                options.take(option, &value)?;
            }
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--plan" {
                options.only_plan = true;
            } else {
                let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
                options.take(&argument, &value)?;
            }
        }
        if options.length < Duration::from_secs(20) {
            return Err("--for is 20s at least".to_owned());
        }
        if !options.binary.exists() {
            return Err(format!(
                "there is no {}: build it, or name it by --binary",
                options.binary.display()
            ));
        }
        Ok(options)
    }

    fn take(&mut self, option: &str, value: &str) -> Result<(), String> {
        match option {
            "--seed" => self.seed = value.parse().map_err(|_| format!("a seed is a number, not {value}"))?,
            "--for" => self.length = duration(value)?,
            "--binary" => self.binary = value.into(),
            other => return Err(format!("what is {other}?")),
        }
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a length is a number with s, m or h, not {text}");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_mins(number)),
        "h" => Ok(Duration::from_hours(number)),
        _ => Err(wrong()),
    }
}

#[expect(clippy::disallowed_methods, reason = "it chooses a run, not the program's configuration")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
