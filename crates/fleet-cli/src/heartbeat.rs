//! `fleet/run/<agent>.hb`: what an agent says of itself, in its own time.
//!
//! Three values: when it wrote this, its process, and a word or two on what it does. As lines in
//! that order, as `key=value` lines in any order (`ts`, `pid`, `status`), or as one JSON object
//! with these keys. The time is in seconds or milliseconds since 1970, or as RFC 3339 has it.

use std::io::ErrorKind;
use std::time::Duration;

use camino::Utf8Path;
use lock_fs::Wall;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// An agent's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// When it was given.
    pub(crate) at: Wall,
    /// By which process.
    pub(crate) pid: Option<u32>,
    /// What it said.
    pub(crate) status: String,
}

/// A sign of life as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct BeatData {
    /// How long ago it was given.
    pub(crate) age_ms: u64,
    /// By which process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// What it said.
    pub(crate) status: String,
}

/// Numbers from here on are milliseconds: as seconds, they would be in the year 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

impl Beat {
    /// The last one of an agent that gives any. What cannot be understood is none: an agent
    /// may write whatever it likes.
    pub(crate) fn read(path: &Utf8Path) -> Option<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => None,
        }
    }

    /// How long ago it was given.
    pub(crate) fn age(&self, now: Wall) -> Duration {
        now.since(self.at)
    }

    /// As data.
    pub(crate) fn data(&self, now: Wall) -> BeatData {
        let age_ms = crate::tenure::millis(self.age(now));
        BeatData { age_ms, pid: self.pid, status: self.status.clone() }
    }
}

fn parse(text: &str) -> Option<Beat> {
    if let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) {
        let value = |key| object.get(key).map(plain);
        return beat(value("ts"), value("pid"), value("status"));
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let named = |key: &str| {
        let mut pairs = lines().filter_map(|line| line.split_once('='));
        pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    let mut plain = lines().map(str::to_owned);
    match named("ts") {
        Some(ts) => beat(Some(ts), named("pid"), named("status")),
        None => beat(plain.next(), plain.next(), plain.next()),
    }
}

fn beat(ts: Option<String>, pid: Option<String>, status: Option<String>) -> Option<Beat> {
    let at = instant(&ts?)?;
    Some(Beat { at, pid: pid.and_then(|pid| pid.parse().ok()), status: status.unwrap_or_default() })
}

fn instant(text: &str) -> Option<Wall> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(timestamp.as_millisecond()).ok().map(Wall);
    }
    let (whole, _) = text.split_once('.').unwrap_or((text, ""));
    let number: u64 = whole.parse().ok()?;
    let millis = if number < MILLISECONDS_FROM { number.checked_mul(1000)? } else { number };
    Some(Wall(millis))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::lines("1700000000\n42\nthinking hard\n")]
    #[case::milliseconds("1700000000000\n42\nthinking hard")]
    #[case::named("pid=42\nstatus=thinking hard\nts=1700000000.25\n")]
    #[case::json(r#"{"ts": 1700000000, "pid": 42, "status": "thinking hard", "more": 1}"#)]
    #[case::json_with_a_date(
        r#"{"ts":"2023-11-14T22:13:20Z","pid":"42","status":"thinking hard"}"#
    )]
    #[case::date("2023-11-14T22:13:20Z\n42\nthinking hard\n")]
    fn a_beat_is_read(#[case] text: &str) {
        let beat =
            Beat { at: Wall(1_700_000_000_000), pid: Some(42), status: "thinking hard".to_owned() };
        assert_eq!(parse(text), Some(beat));
    }

    #[rstest]
    #[case::only_a_time("1700000000", Some((None, "")))]
    #[case::no_pid("1700000000\nx\nidle", Some((None, "idle")))]
    #[case::nothing("", None)]
    #[case::half("{\"ts\": 17", None)]
    #[case::words("alive and well", None)]
    fn what_is_missing_is_missing(#[case] text: &str, #[case] rest: Option<(Option<u32>, &str)>) {
        let read = parse(text);
        assert_eq!(read.as_ref().map(|beat| (beat.pid, beat.status.as_str())), rest);
    }

    #[test]
    fn its_age_is_told() {
        let beat = parse("1700000000\n42\nidle").expect("a beat");
        assert_eq!(beat.age(Wall(1_700_000_001_500)), Duration::from_millis(1500));
        // A clock may have been set back.
        assert_eq!(beat.age(Wall(1_600_000_000_000)), Duration::ZERO);
    }
}
