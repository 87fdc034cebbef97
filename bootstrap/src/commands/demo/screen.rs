//! What the demo prints: with colour, and lines that are drawn again, on a terminal; plain lines elsewhere.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::output;

/// The standard output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Whether a person sees it.
    pub(super) is_terminal: bool,
}

/// How a text is shown on a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        Self { is_terminal: stdout().is_terminal() }
    }

    /// Prints a line.
    #[expect(clippy::unused_self, reason = "whoever may print has a screen")]
    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        output::print(&format!("{text}\n"))
    }

    pub(super) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Good => 32,
            Style::Bad => 31,
        };
        if self.is_terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Draws these lines where the same number was drawn before.
    pub(super) fn draw_again(self, lines: &[String]) -> Result<(), Failure> {
        let up = format!("\x1b[{}A", lines.len());
        self.draw(lines, &up)
    }

    /// Draws lines that will be drawn again.
    pub(super) fn draw_first(self, lines: &[String]) -> Result<(), Failure> {
        self.draw(lines, "")
    }

    #[expect(clippy::unused_self, reason = "whoever may print has a screen")]
    fn draw(self, lines: &[String], up: &str) -> Result<(), Failure> {
        output::print(&format!("{up}\x1b[2K{}\n", lines.join("\n\x1b[2K")))
    }
}

/// A duration as a person reads it.
pub(super) fn readable(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// How far a job is, as its JSON says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: String,
    /// From 0 to 100.
    pub(super) percent: u64,
    /// The primes that it found.
    pub(super) count: Option<u64>,
}

impl Standing {
    pub(super) fn of(job: &Value) -> Self {
        let state = job["state"].as_str().unwrap_or("unknown").to_owned();
        let done = job["progress"]["done"].as_u64().unwrap_or_default();
        let total = job["progress"]["total"].as_u64().unwrap_or_default();
        let percent = if state == "succeeded" { 100 } else { (done * 100).checked_div(total).unwrap_or(0) };
        Self { state, percent: percent.min(100), count: job["result"]["count"].as_u64() }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "dead" | "cancelled")
    }

    /// A bar and words, such as `[#####...............]  25 %  running`.
    pub(super) fn bar(&self) -> String {
        format!("{}  {}", bar(self.percent), self.state)
    }
}

/// How much of something is done, such as `[#####...............]  25 %`.
pub(super) fn bar(percent: u64) -> String {
    let full = usize::try_from(percent / 5).unwrap_or_default();
    format!("[{:.<20}] {percent:>3} %", "#".repeat(full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bar_shows_how_far_a_job_is() {
        let bar = |job: Value| Standing::of(&job).bar();
        let running = json!({"state": "running", "progress": {"done": 26, "total": 100}});
        assert_eq!(bar(running), "[#####...............]  26 %  running");
        let ready = json!({"state": "ready", "progress": {"done": 0, "total": null}});
        assert_eq!(bar(ready), "[....................]   0 %  ready");
        let over =
            json!({"state": "succeeded", "progress": {"done": 7, "total": 10}, "result": {"count": 4}});
        assert_eq!(bar(over.clone()), "[####################] 100 %  succeeded");
        assert_eq!((Standing::of(&over).count, Standing::of(&over).is_over()), (Some(4), true));
    }

    #[test]
    fn nothing_but_text_is_printed_where_nobody_sees_it() {
        assert_eq!(Screen { is_terminal: false }.paint(Style::Good, "fine"), "fine");
        assert_eq!(Screen { is_terminal: true }.paint(Style::Good, "fine"), "\x1b[32mfine\x1b[0m");
        assert_eq!(readable(Duration::from_micros(1_250)), "1.2 ms");
        assert_eq!(readable(Duration::from_millis(1_250)), "1.2 s");
    }
}
