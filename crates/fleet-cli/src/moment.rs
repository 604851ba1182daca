//! Times of day, as people write and read them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use lock_fs::Wall;

use crate::duration;

/// A moment in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Wall),
}

/// A text is neither a time nor a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time: write one as in `2026-05-01 14:30`, or how long ago, as in 90m or 2h30m"
)]
pub(crate) struct NoMoment(String);

/// Reads a moment: how long ago, an instant with its offset, or a time of this time zone.
///
/// # Errors
///
/// Says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Since, NoMoment> {
    let text = text.trim();
    if let Ok(ago) = duration::parse(text) {
        return Ok(Since::Ago(ago));
    }
    let local = || {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned_datetime(TimeZone::system()).ok()?.timestamp())
    };
    let instant = text.parse::<Timestamp>().ok().or_else(local);
    let millis = instant.and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
    millis.map(|millis| Since::At(Wall(millis))).ok_or_else(|| NoMoment(text.to_owned()))
}

impl Since {
    /// As an instant.
    pub(crate) fn wall(self, now: Wall) -> Wall {
        match self {
            Self::At(wall) => wall,
            Self::Ago(ago) => Wall(now.0.saturating_sub(crate::tenure::millis(ago))),
        }
    }
}

/// An instant in this time zone.
pub(crate) fn local(wall: Wall) -> Option<ZonedDateTime> {
    let millis = i64::try_from(wall.0).ok()?;
    Some(Timestamp::from_millisecond(millis).ok()?.to_zoned_datetime(TimeZone::system()))
}

/// An instant in this time zone: `2026-05-01 14:30:00.123`.
pub(crate) fn format(wall: Wall) -> String {
    shown(wall, "%Y-%m-%d %H:%M:%S%.3f")
}

/// An instant in this time zone: `2026-05-01 14:30:00`.
pub(crate) fn seconds(wall: Wall) -> String {
    shown(wall, "%Y-%m-%d %H:%M:%S")
}

/// An instant on a scale of such steps, in milliseconds; with its day, if there are several.
pub(crate) fn tick(wall: Wall, step: u64, days: bool) -> String {
    let how = match (step, days) {
        (0..1_000, _) => "%H:%M:%S%.3f",
        (1_000..60_000, false) => "%H:%M:%S",
        (60_000..86_400_000, false) => "%H:%M",
        (1_000..60_000, true) => "%d %H:%M:%S",
        (60_000..86_400_000, true) => "%m-%d %H:%M",
        (86_400_000.., _) => "%Y-%m-%d",
    };
    shown(wall, how)
}

fn shown(wall: Wall, how: &str) -> String {
    local(wall).map_or_else(|| format!("{wall} ms"), |zoned| zoned.strftime(how).to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ago("90m", Since::Ago(Duration::from_secs(5_400)))]
    #[case::instant("2026-05-01T14:30:00Z", Since::At(Wall(1_777_645_800_000)))]
    #[case::offset("2026-05-01 14:30:00+02:00", Since::At(Wall(1_777_638_600_000)))]
    fn moments(#[case] text: &str, #[case] since: Since) {
        assert_eq!(parse(text), Ok(since));
    }

    #[rstest]
    #[case("2026-05-01")]
    #[case("2026-05-01 14:30")]
    #[case("2026-05-01T14:30:05")]
    fn times_of_this_zone(#[case] text: &str) {
        let Ok(Since::At(wall)) = parse(text) else { panic!("{text} is a time") };
        let shown = format(wall);
        assert!(shown.starts_with(&text.replace('T', " ")), "{shown}");
    }

    #[rstest]
    #[case("")]
    #[case("yesterday")]
    #[case("2026-13-01")]
    #[case("14:30")]
    #[case("1969-12-31T23:00:00Z")]
    fn no_moments(#[case] text: &str) {
        assert_eq!(parse(text), Err(NoMoment(text.to_owned())));
    }
}
