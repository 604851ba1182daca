//! What a line of the journal says.

use lock_fs::{Record, Stale, Takeover};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One transition of a lock, as the process that made it wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Entry {
    /// What happened. It comes first: a line is recognised by it.
    #[serde(flatten)]
    pub(crate) what: What,
    /// When, by the wall clock, in milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// When, by the boot clock, in milliseconds.
    pub(crate) boot_ms: u64,
    /// Which boot that clock counts from.
    pub(crate) boot: String,
    /// On which machine.
    pub(crate) host: String,
    /// The process that wrote the line.
    pub(crate) pid: u32,
    /// When that process started, in clock ticks since boot: tells it from a later one with
    /// the same pid.
    pub(crate) start_ticks: u64,
    /// What it is, as a person would type it.
    pub(crate) command: String,
    /// Names the ownership, where the line is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) token: Option<String>,
    /// The ownership's fencing token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) generation: Option<u64>,
}

/// A transition of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// Began to wait for an owner.
    Waiting {
        /// For whom, if its file could be read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        owner: Option<Other>,
    },
    /// Sent a signal to a process, to end it before its lock is taken.
    Ends {
        /// Which process.
        target: u32,
        /// Which signal.
        signal: Signal,
        /// Which ownership it had, if that was seen.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        owner: Option<Other>,
    },
    /// Became owner of a free lock.
    Acquired {
        /// For how long it had tried.
        waited_ms: u64,
    },
    /// Became owner of a lock that another still had.
    TookOver {
        /// For how long it had tried.
        waited_ms: u64,
        /// Why that was allowed.
        reason: Reason,
        /// From whom, if its file could be read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<Other>,
    },
    /// Got on. Written ever more seldom, so that no ownership fills the journal.
    Step {
        /// How many steps it had taken.
        steps: u64,
        /// The latest.
        phrase: String,
    },
    /// Gave the lock up.
    Released {
        /// For how long it had it.
        held_ms: u64,
        /// The exit code of the work, where it came to one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        exit: Option<u8>,
    },
    /// Found that the lock is another's, or nobody's.
    Lost {
        /// For how long it had it, or thought so.
        held_ms: u64,
        /// Who has it now, if anybody.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        to: Option<Other>,
    },
    /// Could not give the lock up as it should.
    Failed {
        /// For how long it had it.
        held_ms: u64,
        /// What went wrong.
        problem: String,
    },
    /// Ended without having become owner.
    GaveUp {
        /// For how long it had tried.
        waited_ms: u64,
        /// Why.
        reason: GaveUp,
        /// Who was in the way, if that is known.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        owner: Option<Other>,
    },
    /// Took the lock away on a person's order.
    Broken {
        /// From whom, if its file could be read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<Other>,
    },
}

/// Another process, as its lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Other {
    /// Its process id.
    pub(crate) pid: u32,
    /// Names its ownership.
    pub(crate) token: String,
    /// Its fencing token; a peer that follows only the original's rules has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) generation: Option<u64>,
    /// Its machine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) host: Option<String>,
    /// What it is, as a person would type it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) command: Option<String>,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signal {
    /// SIGTERM, which it may answer as it likes.
    Term,
    /// SIGKILL, when SIGTERM has not done it.
    Kill,
}

/// Why a lock was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Its file was no record.
    Corrupt,
    /// Its owner was dead.
    OwnerDied,
    /// Its owner ran before the last reboot.
    Rebooted,
    /// Its owner had stopped renewing it.
    Silent,
    /// Its stamp was too old.
    Expired,
    /// Its owner made no progress for as long as the taker would wait.
    TimedOut,
}

/// Why a contender ended without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GaveUp {
    /// It would not wait.
    Busy,
    /// It would not wait longer.
    TimedOut,
    /// A process was stopped inside a transition.
    MutexHeld,
    /// The owner could not be ended.
    Survived,
    /// A signal ended the wait.
    Interrupted,
    /// The system refused a call.
    Error,
}

impl From<&Record> for Other {
    fn from(record: &Record) -> Self {
        let detail = record.detail.as_ref();
        Self {
            pid: record.pid,
            token: record.token.to_string(),
            generation: detail.map(|detail| detail.generation.0),
            host: detail.map(|detail| detail.host.name.clone()),
            command: detail.map(|detail| detail.command.clone()),
        }
    }
}

impl Signal {
    /// As people know it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }
}

impl From<lock_fs::Signal> for Signal {
    fn from(signal: lock_fs::Signal) -> Self {
        match signal {
            lock_fs::Signal::Term => Self::Term,
            lock_fs::Signal::Kill => Self::Kill,
        }
    }
}

impl From<&Takeover> for Reason {
    fn from(takeover: &Takeover) -> Self {
        match takeover.reason {
            lock_fs::Reason::TimedOut => Self::TimedOut,
            lock_fs::Reason::Stale(stale) => stale.into(),
        }
    }
}

impl From<Stale> for Reason {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Corrupt => Self::Corrupt,
            Stale::OwnerDied => Self::OwnerDied,
            Stale::Rebooted => Self::Rebooted,
            Stale::Silent => Self::Silent,
            Stale::Expired => Self::Expired,
        }
    }
}
