//! Durations as people write them: `500ms`, `2s`, `15m`, `1h`, `7d`.

use std::time::Duration;

/// What a number without a unit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Nothing: the unit has to be written (but nothing is nothing in every unit).
    Refused,
}

/// Reads one whole number with or without a unit.
pub fn parse(text: &str, bare: Bare) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| "it does not begin with a number that can be counted".to_owned())?;
    let milliseconds_each: u64 = match (unit, bare) {
        ("ms", _) | ("", Bare::Milliseconds) => 1,
        ("s", _) | ("", Bare::Seconds) => 1_000,
        ("m", _) => 60_000,
        ("h", _) => 3_600_000,
        ("d", _) => 86_400_000,
        ("", Bare::Refused) if number == 0 => 1,
        ("", Bare::Refused) => return Err("the unit is missing: ms, s, m, h or d".to_owned()),
        _ => return Err("the units are ms, s, m, h and d".to_owned()),
    };
    let milliseconds = number.checked_mul(milliseconds_each).ok_or("it is too long to be counted")?;
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_everywhere_and_bare_numbers_as_the_variable_says() {
        for (text, bare, milliseconds) in [
            ("500ms", Bare::Seconds, 500),
            ("2s", Bare::Milliseconds, 2_000),
            ("15m", Bare::Refused, 900_000),
            ("1h", Bare::Refused, 3_600_000),
            ("7d", Bare::Refused, 604_800_000),
            ("60000", Bare::Milliseconds, 60_000),
            ("900", Bare::Seconds, 900_000),
            ("0", Bare::Refused, 0),
        ] {
            assert_eq!(parse(text, bare), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5h", "15 m", "15M", "1h30m", "5", "１s", "99999999999999999999s"] {
            assert!(parse(text, Bare::Refused).is_err(), "{text}");
        }
        assert!(parse(&format!("{}d", u64::MAX), Bare::Seconds).is_err());
    }
}
