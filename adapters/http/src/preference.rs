//! `Prefer` (RFC 7240): whether a client waits for an answer that takes its time, and how long.
//!
//! Of several headers, and of one header with several preferences, the first of each name counts. What is not known, or has
//! a value that makes no sense, is no preference. `respond-async, wait=10` is the RFC's way to say "wait, and then let it
//! go on", which is what `wait=10` alone means here.

use std::time::Duration;

use poem::Request;

/// The header.
pub(crate) const PREFER: &str = "Prefer";

/// The longest wait; more is taken as this.
pub(crate) use portwright_application::compute::call::LONGEST_WAIT;

/// How long a client waits that does not say.
const USUAL_WAIT: Duration = Duration::from_secs(10);

/// What becomes of a request that starts a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preference {
    /// It is answered as soon as the job ended, or after so long.
    Wait(Duration),
    /// It is answered at once.
    RespondAsync,
}

impl Preference {
    /// What a request asks for.
    pub(crate) fn of(request: &Request) -> Self {
        let lines = request.headers().get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
        let preferences: Vec<(String, String)> = lines.flat_map(preferences).collect();
        let first = |name: &str| {
            preferences.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        match (first("wait").and_then(|value| seconds(value)), first("respond-async")) {
            (Some(wait), _) => Self::Wait(wait.min(LONGEST_WAIT)),
            (None, Some(_)) => Self::RespondAsync,
            (None, None) => Self::Wait(USUAL_WAIT),
        }
    }

    /// `Preference-Applied`: what was done.
    pub(crate) fn applied(self) -> String {
        match self {
            Self::Wait(wait) => format!("wait={}", wait.as_secs()),
            Self::RespondAsync => "respond-async".to_owned(),
        }
    }
}

/// Seconds in digits; more than fit are as many as there are.
fn seconds(value: &str) -> Option<Duration> {
    let all_digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
}

/// Name and value of each preference in a line; without a value it is empty. Parameters are left out.
fn preferences(line: &str) -> impl Iterator<Item = (String, String)> {
    split(line, ',').into_iter().map(|preference| {
        let bare = split(preference, ';').first().copied().unwrap_or_default();
        let (name, value) = bare.split_once('=').unwrap_or((bare, ""));
        (name.trim().to_owned(), unquoted(value.trim()))
    })
}

/// The parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let separates = c == separator && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
    .collect()
}

/// The content of a quoted string; anything else as it is.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[&str]) -> String {
        let mut request = Request::builder().finish();
        for line in headers {
            request.headers_mut().append(PREFER, line.parse().expect("a header"));
        }
        Preference::of(&request).applied()
    }

    #[test]
    fn whoever_says_nothing_waits_ten_seconds() {
        for headers in [&[][..], &[""], &["return=minimal"], &["handling=strict; wait=3"], &["\"wait=3\""]] {
            assert_eq!(of(headers), "wait=10", "{headers:?}");
        }
    }

    #[test]
    fn a_wait_is_in_whole_seconds_and_at_most_55() {
        for (header, expected) in [
            ("wait=5", "wait=5"),
            ("WAIT = 5", "wait=5"),
            ("wait=\"5\"", "wait=5"),
            ("wait=\"\\5\"", "wait=5"),
            ("wait=0", "wait=0"),
            ("wait=055", "wait=55"),
            ("wait=56", "wait=55"),
            ("wait=99999999999999999999999", "wait=55"),
            ("wait=5; because=\"a, wait=9\"", "wait=5"),
        ] {
            assert_eq!(of(&[header]), expected, "{header}");
        }
        for header in ["wait", "wait=", "wait=-1", "wait=+1", "wait=1.5", "wait=soon", "waiting=5"] {
            assert_eq!(of(&[header]), "wait=10", "{header}");
        }
    }

    #[test]
    fn the_first_of_a_name_counts_wherever_it_stands() {
        assert_eq!(of(&["wait=3, wait=4"]), "wait=3");
        assert_eq!(of(&["return=minimal", "wait=3", "wait=4"]), "wait=3");
        assert_eq!(of(&["foo=\"x, wait=9\", wait=3"]), "wait=3");
        assert_eq!(of(&["foo=\"x\\\", wait=9\", wait=3"]), "wait=3");
        assert_eq!(of(&["wait=soon, wait=4"]), "wait=10");
    }

    #[test]
    fn a_client_may_not_want_to_wait_at_all() {
        assert_eq!(of(&["respond-async"]), "respond-async");
        assert_eq!(of(&["Respond-Async; foo=bar"]), "respond-async");
        assert_eq!(of(&["wait=soon", "respond-async"]), "respond-async");
        assert_eq!(of(&["respond-async, wait=7"]), "wait=7");
    }
}
