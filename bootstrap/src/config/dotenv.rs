//! Reads the `.env` file: `NAME=value` lines, with quotes and comments, and nothing cleverer.
//!
//! A value ends at white space and `#`, unless it is quoted; `'…'` means what it says, `"…"` knows `\n`, `\t`, `\"` and
//! `\\`. `export` before a name is allowed. There is deliberately no substitution of `$NAME`, and no value of several
//! lines: whatever the file cannot say clearly is reported with its line.

use std::collections::HashMap;

use crate::failure::Problem;

/// One variable, and the line (from 1) that sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The name.
    pub(super) name: String,
    /// The value without its quotes.
    pub(super) value: String,
    /// Where it stands.
    pub(super) number: usize,
}

/// Everything that the file sets, and everything in it that cannot be read.
pub(super) fn parse(text: &str) -> (Vec<Line>, Vec<Problem>) {
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = at + 1;
        match parse_line(raw.trim()) {
            Ok(None) => {}
            Ok(Some((name, value))) => {
                if let Some(first) = seen.insert(name.to_owned(), number) {
                    let problem = Problem::new(format!("{name} is set twice"))
                        .from(format!(".env line {first}"))
                        .from(format!(".env line {number}"));
                    problems.push(problem.fix("remove one of the lines"));
                }
                lines.push(Line { name: name.to_owned(), value, number });
            }
            // The line itself is not shown: there may be a secret in it.
            Err(why) => problems.push(
                Problem::new(format!("cannot read a line of the .env file ({why})"))
                    .from(format!(".env line {number}"))
                    .fix("write NAME=value, or begin the line with # to make it a comment"),
            ),
        }
    }
    (lines, problems)
}

fn parse_line(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=').ok_or("there is no =")?;
    let name = name.trim_end();
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| !c.is_ascii_digit());
    if !is_name {
        return Err("what stands before the = is no name");
    }
    Ok(Some((name, parse_value(value.trim_start())?)))
}

fn parse_value(text: &str) -> Result<String, &'static str> {
    let (value, rest) = if let Some(text) = text.strip_prefix('\'') {
        let (value, rest) = text.split_once('\'').ok_or("the ' is not closed on this line")?;
        (value.to_owned(), rest)
    } else if let Some(text) = text.strip_prefix('"') {
        double_quoted(text)?
    } else {
        let comment = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
        let value = if text.starts_with('#') { "" } else { &text[..comment] };
        return Ok(value.trim_end().to_owned());
    };
    match rest.trim_start() {
        "" => Ok(value),
        comment if comment.starts_with('#') => Ok(value),
        _ => Err("there is more after the closing quote"),
    }
}

/// The value up to the closing quote, and what follows it.
fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some(escaped @ ('"' | '\\' | '$')) => value.push(escaped),
                _ => return Err("after \\ comes n, t, $, \" or \\"),
            },
            _ => value.push(c),
        }
    }
    Err("the \" is not closed on this line")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_quoted() {
        for (text, value) in [
            ("A=1", "1"),
            ("  A = spaced out  ", "spaced out"),
            ("export A=1", "1"),
            ("A=", ""),
            ("A= # only a comment", ""),
            ("A=before # a comment", "before"),
            ("A=with#hash", "with#hash"),
            ("A='single # quoted' # comment", "single # quoted"),
            ("A='no \\n escape'", "no \\n escape"),
            (r#"A="double \"quoted\" \\ \n end""#, "double \"quoted\" \\ \n end"),
            ("A=$HOME", "$HOME"),
            ("\u{feff}A=1\r", "1"),
            ("A=key=value==", "key=value=="),
        ] {
            let (lines, problems) = parse(text);
            assert_eq!(problems, [], "{text}");
            assert_eq!(lines, [Line { name: "A".to_owned(), value: value.to_owned(), number: 1 }], "{text}");
        }
    }

    #[test]
    fn every_line_that_cannot_be_read_is_reported_with_its_number_and_without_its_text() {
        let text = "# comment\n\nhunter2\n2A=1\nA='open\nB=\"open\nC='x' y\nD=\"\\q\"\nGOOD=1\n";
        let (lines, problems) = parse(text);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].name.as_str(), lines[0].number), ("GOOD", 9));
        let printed: String = problems.iter().map(Problem::to_string).collect();
        for number in 3..=8 {
            assert!(printed.contains(&format!(".env line {number}\n")), "{printed}");
        }
        assert_eq!(problems.len(), 6);
        assert!(!printed.contains("hunter2"));
    }

    #[test]
    fn a_name_that_is_set_twice_is_a_problem() {
        let (_, problems) = parse("A=1\nB=2\nA=3");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains(".env line 1, .env line 3"));
    }
}
