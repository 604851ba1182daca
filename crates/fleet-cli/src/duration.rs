//! Durations as people write them: `250ms`, `30s`, `2m`, `1h30m`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// Nothing, or no number where one should be.
    #[error("expected a number and a unit, as in 250ms, 30s, 2m or 1h")]
    NoNumber,
    /// A bare number says nothing about seconds or milliseconds.
    #[error("the unit is missing: write {0}ms, {0}s, {0}m or {0}h")]
    NoUnit(String),
    /// `1.5s`.
    #[error("a number has a fraction: write whole ones, as in 1s500ms for 1.5s")]
    Fraction,
    /// A unit nobody knows.
    #[error("unknown unit `{0}`: use ms, s, m, h or d")]
    UnknownUnit(String),
    /// More than a clock can count.
    #[error("too long")]
    TooLong,
}

/// Reads a duration: one or more whole numbers, each followed by its unit.
///
/// # Errors
///
/// Says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(DurationError::NoNumber);
    }
    while !rest.is_empty() {
        let (number, tail) = split_while(rest, |c| c.is_ascii_digit());
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        let (unit, tail) = split_while(tail, |c| !c.is_ascii_digit());
        let part = unit_millis(number, unit.trim())?
            .checked_mul(number.parse().map_err(|_| DurationError::TooLong)?)
            .ok_or(DurationError::TooLong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    Ok(total)
}

fn split_while(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn unit_millis(number: &str, unit: &str) -> Result<u64, DurationError> {
    match unit {
        "ms" => Ok(1),
        "s" => Ok(1_000),
        "m" | "min" => Ok(60_000),
        "h" => Ok(3_600_000),
        "d" => Ok(86_400_000),
        "" => Err(DurationError::NoUnit(number.to_owned())),
        "." | "," => Err(DurationError::Fraction),
        _ => Err(DurationError::UnknownUnit(unit.to_owned())),
    }
}

/// Writes a duration for people: the two largest units, tenths below a minute.
pub(crate) fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{}.{}s", seconds, millis % 1000 / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("250ms", 250)]
    #[case("30s", 30_000)]
    #[case("2m", 120_000)]
    #[case("1h", 3_600_000)]
    #[case("1d", 86_400_000)]
    #[case("1h30m", 5_400_000)]
    #[case("1m 30s", 90_000)]
    #[case(" 5s ", 5_000)]
    #[case("0s", 0)]
    fn reads(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(parse(text), Ok(Duration::from_millis(millis)));
    }

    #[rstest]
    #[case("", DurationError::NoNumber)]
    #[case("s", DurationError::NoNumber)]
    #[case("-5s", DurationError::NoNumber)]
    #[case("1.5s", DurationError::Fraction)]
    #[case("30", DurationError::NoUnit("30".into()))]
    #[case("1h30", DurationError::NoUnit("30".into()))]
    #[case("5 weeks", DurationError::UnknownUnit("weeks".into()))]
    #[case("99999999999999999999s", DurationError::TooLong)]
    #[case("9999999999999999999h", DurationError::TooLong)]
    fn refuses(#[case] text: &str, #[case] error: DurationError) {
        assert_eq!(parse(text), Err(error));
    }

    #[rstest]
    #[case(0, "0ms")]
    #[case(999, "999ms")]
    #[case(1_250, "1.2s")]
    #[case(59_999, "59.9s")]
    #[case(61_000, "1m01s")]
    #[case(3_720_000, "1h02m")]
    #[case(90_000_000, "1d01h")]
    fn writes(#[case] millis: u64, #[case] text: &str) {
        assert_eq!(format(Duration::from_millis(millis)), text);
    }
}
