//! A lock's owner, in words and as data.

use std::fmt;
use std::time::Duration;

use lock_fs::{Now, Reason, Record, Stale};
use schemars::JsonSchema;
use serde::Serialize;

use crate::tenure::millis;

/// What a person needs to find an owner: `pid 42 on build-3 (fleet restart)`.
pub(crate) struct Who<'a>(pub(crate) Option<&'a Record>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = self.0 else { return f.write_str("an unknown process") };
        write!(f, "pid {}", record.pid)?;
        let Some(detail) = &record.detail else { return Ok(()) };
        write!(f, " on {}", printable(&detail.host.name))?;
        match detail.command.as_str() {
            "" => Ok(()),
            command => write!(f, " ({})", printable(command)),
        }
    }
}

/// Which ownership: `generation 7, token 0b7e…`.
pub(crate) struct Which<'a>(pub(crate) &'a Record);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(detail) = &self.0.detail {
            write!(f, "generation {}, ", detail.generation)?;
        }
        write!(f, "token {}", self.0.token)
    }
}

/// An owner as data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Owner<'a> {
    /// Its process.
    pid: u32,
    /// Names the ownership.
    token: &'a str,
    /// When it last gave a sign of life, by its wall clock, in milliseconds since the epoch.
    stamp_ms: u64,
    /// The fencing token. A peer that follows only the original's rules has none, and says
    /// nothing of what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Its machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    /// What it is, as a person would type it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    /// How many steps it has taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    /// What it is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a str>,
    /// For how long it has had the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<u64>,
}

impl<'a> Owner<'a> {
    /// What `record` says, as of `now`.
    pub(crate) fn new(record: &'a Record, now: Now) -> Self {
        let detail = record.detail.as_ref();
        Self {
            pid: record.pid,
            token: record.token.as_str(),
            stamp_ms: record.stamp.0,
            generation: detail.map(|detail| detail.generation.0),
            host: detail.map(|detail| detail.host.name.as_str()),
            command: detail.map(|detail| detail.command.as_str()),
            steps: detail.map(|detail| detail.progress.count),
            progress: detail.map(|detail| detail.progress.phrase.as_str()),
            held_ms: held_for(record, now).map(millis),
        }
    }
}

/// Somebody else's words for a terminal: whatever could command it is taken out.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// For how long the owner has had the lock. A peer's record does not say.
pub(crate) fn held_for(record: &Record, now: Now) -> Option<Duration> {
    record.detail.as_ref().map(|detail| now.boot.since(detail.since))
}

/// How long ago the owner gave its last sign of life.
pub(crate) fn silent_for(record: &Record, now: Now) -> Duration {
    match &record.detail {
        Some(detail) => now.boot.since(detail.renewed),
        None => now.wall.since(record.stamp),
    }
}

/// Why a lock is stale.
pub(crate) const fn stale(stale: Stale) -> &'static str {
    match stale {
        Stale::Corrupt => "its file is not a lock record",
        Stale::OwnerDied => "its owner died",
        Stale::Rebooted => "its owner ran before the last reboot",
        Stale::Silent => "its owner does not renew it any more",
        Stale::Expired => "its owner has given no sign of life for too long",
    }
}

/// Why a lock was taken over.
pub(crate) fn why(reason: Reason) -> String {
    match reason {
        Reason::Stale(why) => format!("stale: {}", stale(why)),
        Reason::TimedOut => "timed out: its owner lives, but took no step for too long".to_owned(),
    }
}
