//! What a supervisor sees of its agents: for those who only look, without the lock.

use std::fs::File;
use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::Serialize;

use super::SupervisorError;
use crate::error;
use crate::roster::Agent;

/// Looks at agents.
pub(crate) trait Look {
    /// What each of `agents` is doing.
    fn states(&self, agents: &[Agent]) -> Vec<State>;

    /// The same from all sides, and what else there is that looks like an agent. `agents` are
    /// all that the roster has.
    fn survey(&self, agents: &[Agent]) -> Survey;

    /// How to see the last `lines` of what an agent wrote and, to `follow`, what it writes.
    ///
    /// # Errors
    ///
    /// When there is nothing to see.
    fn view(&self, agent: &Agent, lines: u32, follow: bool) -> Result<View, LookError>;

    /// The program that gets at an agent's terminal.
    ///
    /// # Errors
    ///
    /// When it has none.
    fn terminal(&self, agent: &Agent, read_only: bool) -> Result<Command, LookError>;
}

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum State {
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
        /// For how long.
        #[serde(rename = "uptime_ms", serialize_with = "as_millis")]
        #[schemars(with = "u64")]
        uptime: Duration,
    },
    /// It was asked to run and does not yet.
    Starting,
    /// It was asked to end and has not yet.
    Stopping {
        /// Its process.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// It was never started, or stopped on purpose.
    Stopped,
    /// It ended by itself.
    Dead {
        /// The process that it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        /// How it ended, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        how: Option<String>,
        /// Processes that it started and that still run.
        leftover: Vec<u32>,
    },
    /// It cannot be looked at.
    Unknown {
        /// Why not.
        error: String,
        /// Whether the system does not let us.
        #[serde(skip)]
        denied: bool,
    },
}

impl State {
    /// It cannot be looked at.
    pub(super) fn unknown(problem: &SupervisorError) -> Self {
        let denied = match problem {
            SupervisorError::Io { source, .. } => source.kind() == ErrorKind::PermissionDenied,
            _ => false,
        };
        Self::Unknown { error: error::chain(problem), denied }
    }

    /// Whether it can.
    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// Everything that a supervisor knows now.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// Whether the holder is of use, and if not, why; `None` where there is no such thing.
    pub(crate) holder: Option<Result<(), String>>,
    /// Each agent, in the order of the roster.
    pub(crate) agents: Vec<Sight>,
    /// What looks like an agent and is not in the roster.
    pub(crate) strangers: Vec<Stranger>,
}

/// One agent from all sides.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// What it is doing.
    pub(crate) state: State,
    /// Its unit, where it has one.
    pub(crate) unit: Option<UnitSight>,
    /// Its pane, where it has one.
    pub(crate) pane: Option<PaneSight>,
    /// In what it differs from the roster.
    pub(crate) drift: Vec<Drift>,
}

/// A unit, as far as a person wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct UnitSight {
    /// Its name.
    pub(crate) name: String,
    /// As `systemctl status` has it: `active (exited)`.
    pub(crate) active: String,
    /// Whether it is started at boot; absent where the unit leaves that to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
}

/// A pane, as far as a person wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct PaneSight {
    /// The session that it is in.
    pub(crate) session: String,
    /// Its number, as tmux writes it: `%7`.
    pub(crate) id: String,
    /// When it last wrote, in seconds since 1970.
    pub(crate) active_at: u64,
}

/// How a running agent differs from the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Drift {
    /// It runs another command.
    Command,
    /// It was started in another directory.
    Directory,
    /// Its unit's file was changed, and the manager has not read it again.
    UnitFile,
}

/// What looks like an agent and is not in the roster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) struct Stranger {
    /// A unit, a session or an agent of an earlier roster.
    pub(crate) name: String,
    /// Which of these: `unit`, `session` or `process`.
    pub(crate) kind: &'static str,
}

/// How to see what an agent writes.
#[derive(Debug)]
pub(crate) enum View {
    /// Run this in our place.
    Program(Command),
    /// This is all.
    Text(String),
    /// Talk to this, which is tmux in its control mode, about a pane.
    Control {
        /// The program, attached to the agent's session.
        program: Command,
        /// The number of the pane.
        pane: u32,
    },
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// A process has no terminal.
    #[error(
        "`{name}` is a process without a terminal to attach to; \
         `fleet logs {name} --follow` shows what it writes"
    )]
    NoTerminal {
        /// The agent.
        name: String,
    },
    /// There is no session.
    #[error(
        "`{name}` has no tmux session `{session}` to look at; `fleet start {name}` makes one, \
         if its supervisor is to"
    )]
    NoSession {
        /// The agent.
        name: String,
        /// The session.
        session: String,
    },
    /// There is no log.
    #[error("`{name}` has not written anything yet: there is no {path}")]
    NoLog {
        /// The agent.
        name: String,
        /// Where it would write.
        path: Utf8PathBuf,
    },
    /// We have no terminal ourselves.
    #[error("attaching needs a terminal; `fleet logs {name}` shows what `{name}` writes")]
    NotOnATerminal {
        /// The agent.
        name: String,
    },
    /// It cannot be asked.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// Whether a file is there.
///
/// # Errors
///
/// When it cannot be read, or it cannot even be seen whether there is one.
pub(super) fn is_readable(path: &Utf8Path) -> Result<bool, SupervisorError> {
    let opened = match path.metadata() {
        // Opening a pipe would wait for somebody to write.
        Ok(file) if file.is_file() => File::open(path).map(|_| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    let path = path.to_owned();
    opened.map_err(|source| SupervisorError::Io { action: "read", path, source })
}

/// The end of a file, and what is added to it. See first that it [`is_readable`]: `tail` would
/// say so in its own words, and wait for ever to be let in.
pub(super) fn tail(path: &Utf8Path, lines: u32, follow: bool) -> View {
    let mut program = Command::new("tail");
    program.arg(format!("--lines={lines}"));
    if follow {
        // By name: the file may be replaced by a new one.
        program.arg("--follow=name").arg("--retry");
    }
    program.arg("--").arg(path);
    View::Program(program)
}

/// The last `lines` of a text.
pub(crate) fn last(text: &str, lines: u32) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let first = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
    all.get(first..).unwrap_or_default().iter().map(|line| format!("{line}\n")).collect()
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(crate::tenure::millis(*duration))
}
