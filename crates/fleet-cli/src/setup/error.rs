//! Why files were not written, each as one sentence with its path and remedy.

use std::io::{self, ErrorKind};

use camino::Utf8PathBuf;

use crate::exit::Exit;
use crate::roster::RosterError;
use crate::roster::edit::{self, NewAgent};
use crate::supervisor::SupervisorError;

/// What ends a command that writes files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// A file that is to be changed cannot be read.
    #[error("cannot read {path}; nothing was written")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than text.
    #[error(transparent)]
    NotText(RosterError),
    /// The new text of a file cannot be stored beside it.
    #[error("cannot {action} {path}; nothing was changed")]
    Stage {
        /// What we were about to do.
        action: &'static str,
        /// To which file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A stored text cannot take its place.
    #[error("cannot put {path} in place; {}", outcome(.left))]
    Commit {
        /// The file.
        path: Utf8PathBuf,
        /// The files before it that could not be put back.
        left: Vec<Utf8PathBuf>,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else was quicker.
    #[error("{path} changed while we were at work; {}; run the command again", outcome(.left))]
    Changed {
        /// The file.
        path: Utf8PathBuf,
        /// The files before it that could not be put back.
        left: Vec<Utf8PathBuf>,
    },
    /// Everything is in place, but a power cut might still undo it.
    #[error("{path} is written, but the disk does not confirm it")]
    Sync {
        /// The directory.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a roster already.
    #[error(
        "{path} exists and says something else; \
         --force writes over it, and `fleet add` adds an agent to it"
    )]
    Exists {
        /// The roster.
        path: Utf8PathBuf,
    },
    /// There is a unit file already.
    #[error(
        "{path} exists and says something else; --force writes over it \
         (changes of your own are safe in {path}.d/*.conf)"
    )]
    UnitExists {
        /// The unit file.
        path: Utf8PathBuf,
    },
    /// The roster's text has no place for a new agent.
    #[error(
        "cannot add an agent to {path} without changing more than that; \
         put this at the end of its `agents` yourself:\n{}", edit::snippet(.agent)
    )]
    NoPlace {
        /// The roster.
        path: Utf8PathBuf,
        /// The agent.
        agent: Box<NewAgent>,
    },
    /// An agent's text cannot be taken out of the roster.
    #[error(
        "cannot take `{name}` out of {path} without changing more than that; \
         take it out yourself"
    )]
    NoWayOut {
        /// The roster.
        path: Utf8PathBuf,
        /// The agent.
        name: String,
    },
    /// The roster has an agent of that name.
    #[error("{path} already has an agent called `{name}`")]
    NameTaken {
        /// The roster.
        path: Utf8PathBuf,
        /// The name.
        name: String,
    },
    /// The roster would be empty.
    #[error("`{name}` is the only agent in {path}, and a roster needs one; `fleet stop` stops it")]
    OnlyAgent {
        /// The roster.
        path: Utf8PathBuf,
        /// The agent.
        name: String,
    },
    /// The new agent is not one that a roster can have.
    #[error("cannot add `{name}`: {problem}")]
    NotAnAgent {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that no line of an env file can hold.
    #[error("the {key} of `{name}` has a control character in it; change it in the roster")]
    NotALine {
        /// The agent.
        name: String,
        /// Which value.
        key: &'static str,
    },
    /// A roster whose agents are no units.
    #[error(
        "{path} says `supervisor: {supervisor}`, which has no units to install; \
         change it to `supervisor: systemd` first"
    )]
    NoUnits {
        /// The roster.
        path: Utf8PathBuf,
        /// Its supervisor.
        supervisor: &'static str,
    },
    /// The agents' units are not instances of one file.
    #[error(
        "`systemd.agent_unit` in {path} does not end in `@{{name}}.service`, \
         so one file cannot be the unit of every agent; change it, or write the units yourself"
    )]
    NoTemplate {
        /// The roster.
        path: Utf8PathBuf,
    },
    /// Two agents whose units would make the same session.
    #[error("`{name}` and `{other}` would be one tmux session; rename one of them in {path}")]
    SameSession {
        /// The roster.
        path: Utf8PathBuf,
        /// The first.
        other: String,
        /// The second.
        name: String,
    },
    /// Nothing says what an agent's unit should run.
    #[error(
        "the roster does not say what to run for {}; \
         give each a `command`, or give one to its runtime as `runtimes.NAME.command`",
        .names.join(", ")
    )]
    NoCommands {
        /// The agents.
        names: Vec<String>,
    },
    /// No place for units.
    #[error("no directory for user units: pass --unit-dir DIR, or set HOME")]
    NoUnitDirectory,
    /// The path of this program cannot be written into a unit.
    #[error("cannot tell where this `fleet` is, which the units must call")]
    NoProgram(#[source] io::Error),
    /// systemctl cannot be run, or failed.
    #[error("{}{}", crate::error::chain(.problem), if *.written {
        "; the files are written: run the command again once that is mended"
    } else { "" })]
    Systemctl {
        /// What went wrong.
        problem: Box<SupervisorError>,
        /// Whether the files are in place.
        written: bool,
    },
}

impl SetupError {
    /// The code that the command ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } | Self::Sync { source, .. } | Self::NoProgram(source) => {
                match source.kind() {
                    ErrorKind::PermissionDenied => Exit::Permission,
                    _ => Exit::Io,
                }
            }
            Self::Stage { source, .. } | Self::Commit { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied => Exit::Permission,
                _ => Exit::CannotCreate,
            },
            Self::Exists { .. } | Self::UnitExists { .. } => Exit::CannotCreate,
            Self::Changed { .. } => Exit::Io,
            Self::NotText(_)
            | Self::NoPlace { .. }
            | Self::NoWayOut { .. }
            | Self::NotALine { .. }
            | Self::SameSession { .. }
            | Self::NoCommands { .. } => Exit::RosterInvalid,
            Self::NameTaken { .. }
            | Self::OnlyAgent { .. }
            | Self::NotAnAgent { .. }
            | Self::NoUnits { .. }
            | Self::NoTemplate { .. }
            | Self::NoUnitDirectory => Exit::Usage,
            Self::Systemctl { .. } => Exit::SupervisorMissing,
        }
    }
}

/// What a failure in the middle left.
fn outcome(paths: &[Utf8PathBuf]) -> String {
    let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
    match paths.as_slice() {
        [] => "nothing was changed".to_owned(),
        paths => format!("{} could not be put back and stays as written", paths.join(", ")),
    }
}
