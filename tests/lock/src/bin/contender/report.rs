//! What a contender says: one line of JSON for each command and for each event.

use std::error::Error as _;
use std::io::{self, Write};

use lock_fs::{Error, Notice, Reason, Record, Released};
use serde_json::{Value, json};

/// Says one line. Nobody listening is no reason to fail: the test is over then.
pub(crate) fn say(line: &Value) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// An error as a test compares it: its name, its path, whom it names, its words.
pub(crate) fn error(error: &Error) -> Value {
    let debug = format!("{error:?}");
    let kind = debug.split([' ', '{']).next().unwrap_or_default();
    let (path, who) = match error {
        Error::Busy { path, owner: who }
        | Error::TimedOut { path, owner: who, .. }
        | Error::MutexHeld { path, holder: who, .. }
        | Error::Survived { path, owner: who, .. }
        | Error::Lost { path, to: who } => (Some(path), who.as_deref()),
        Error::NotAFile { path }
        | Error::NameTooLong { path }
        | Error::CreateDirectory { path, .. }
        | Error::UnsafeDirectory { path }
        | Error::Cancelled { path }
        | Error::Forked { path }
        | Error::InsideStep { path }
        | Error::NoFiles { path }
        | Error::Refused { path, .. }
        | Error::NoKernelLock { path }
        | Error::GenerationDamaged { path }
        | Error::DirectoryGone { path }
        | Error::System { path, .. } => (Some(path), None),
        _ => (None, None),
    };
    let message = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    json!({"error": kind, "path": path.map(|path| path.as_str()), "who": record(who), "message": message})
}

/// Whom a record names.
pub(crate) fn record(record: Option<&Record>) -> Value {
    record.map_or(Value::Null, |record| {
        json!({"pid": record.pid, "token": record.token.as_str(), "generation": record.generation().map(|g| g.0)})
    })
}

/// How a release ended.
pub(crate) fn released(released: &Released) -> Value {
    match released {
        Released::Released => json!({"released": true}),
        Released::AlreadyLost { to } => json!({"released": false, "to": record(to.as_deref())}),
    }
}

/// What a contender was told while it acquired.
#[derive(Default)]
pub(crate) struct Notices {
    waits: u32,
    takeover: Option<String>,
    from: Value,
    fallback: Vec<String>,
    signalled: Vec<u32>,
    settled: Vec<u32>,
    all_waits: bool,
}

impl Notices {
    /// That tell of each wait, or only of the first.
    pub(crate) fn telling(all_waits: bool) -> Self {
        Self { all_waits, ..Self::default() }
    }

    /// Takes one in. The first wait is told at once, because tests wait for it.
    pub(crate) fn take(&mut self, notice: Notice, aloud: bool) {
        match notice {
            Notice::Waiting { owner, .. } => {
                self.waits += 1;
                if aloud && (self.waits == 1 || self.all_waits) {
                    say(&json!({"event": "waiting", "who": record(owner.as_deref())}));
                }
            }
            Notice::Settling { holders, .. } => {
                if aloud && self.settled.is_empty() {
                    say(&json!({"event": "settling", "holders": holders}));
                }
                self.settled.extend(holders);
                self.settled.sort_unstable();
                self.settled.dedup();
            }
            Notice::Signalled { pids, .. } => self.signalled.extend(pids),
            Notice::TookOver(takeover) => {
                self.takeover = Some(match takeover.reason {
                    Reason::Stale(stale) => format!("{stale:?}"),
                    Reason::TimedOut => "TimedOut".to_owned(),
                });
                self.from = record(takeover.from.as_deref());
            }
            Notice::Fallback(medium) => self.fallback.push(format!("{medium:?}")),
            _ => {}
        }
    }

    /// As part of a reply.
    pub(crate) fn to_json(&self) -> Value {
        json!({"waits": self.waits, "takeover": self.takeover, "from": self.from, "fallback": self.fallback, "signalled": self.signalled, "settled": self.settled})
    }
}
