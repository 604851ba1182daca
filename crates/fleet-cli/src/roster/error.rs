//! What can be wrong with a roster, each as one sentence with its place.

use std::fmt;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_saphyr::Location;

/// A roster, or an env file beside it, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RosterError {
    /// There is none.
    #[error("no roster at {path}; `fleet init` writes one, or name another fleet with --home DIR")]
    Absent {
        /// Where it should be.
        path: Utf8PathBuf,
    },
    /// A file is there but cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that holds something else than text.
    #[error("{place}: this is not UTF-8 text; save the file as UTF-8")]
    NotText {
        /// The first line that is none.
        place: Place,
    },
    /// A file with nothing in it.
    #[error("{path} is empty; remove it, and `fleet init` writes one")]
    Empty {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A key that version 1 does not have.
    #[error("{place}: unknown key `{key}`{}", hint(.nearest.as_deref()))]
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// As written.
        key: String,
        /// The known key that it may stand for.
        nearest: Option<String>,
    },
    /// A required key is not there.
    #[error("{place}: the key `{key}` is missing")]
    MissingKey {
        /// The mapping that lacks it.
        place: Place,
        /// The key.
        key: &'static str,
    },
    /// A word where only some words are allowed.
    #[error("{place}: `{value}` is not one of: {known}")]
    UnknownValue {
        /// Where it stands.
        place: Place,
        /// As written.
        value: String,
        /// The allowed ones.
        known: String,
    },
    /// A number where a list should be, and the like.
    #[error("{place}: expected {expected}, found {found}")]
    WrongType {
        /// Where it stands.
        place: Place,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// Not the YAML we read.
    #[error("{place}: {problem}")]
    Yaml {
        /// Where the parser stopped.
        place: Place,
        /// What it said.
        problem: String,
    },
    /// A roster of another version.
    #[error("{place}: this is a version {found} roster, and this fleet reads version 1")]
    Version {
        /// Where the version stands.
        place: Place,
        /// As written.
        found: u64,
    },
    /// A transport other than tmux.
    #[error("{place}: the transport is `{found}`, and the only one is `tmux`")]
    Transport {
        /// Where the transport stands.
        place: Place,
        /// As written.
        found: String,
    },
    /// A fleet of nobody.
    #[error("{place}: the roster names no agents; give it at least one")]
    NoAgents {
        /// Where the list stands.
        place: Place,
    },
    /// A name that cannot be a file, session and unit name.
    #[error(
        "{place}: `{name}` cannot name an agent: \
         use letters, digits and . _ -, and not just `.` or `..`"
    )]
    BadName {
        /// Where the name stands.
        place: Place,
        /// As written.
        name: String,
    },
    /// A name that is too long for the file that is called after it.
    #[error(
        "{place}: this name of an agent is {length} characters long, and the limit is {}; \
         choose a shorter one",
        super::NAME_LIMIT
    )]
    LongName {
        /// Where the name stands.
        place: Place,
        /// How long it is.
        length: usize,
    },
    /// Two agents that nobody could tell apart.
    #[error("{place}: the agent name `{name}` is already taken on line {first}")]
    SameName {
        /// Where the second one stands.
        place: Place,
        /// The name.
        name: String,
        /// Where the first one stands.
        first: u64,
    },
    /// Two agents that tmux could not tell apart.
    #[error(
        "{place}: tmux would call the session of `{name}` like that of {other}, \
         because it writes `_` for a dot; rename one of them"
    )]
    SameSession {
        /// Where the second one stands.
        place: Place,
        /// Its name.
        name: String,
        /// The first one.
        other: String,
    },
    /// A name that another program could not use.
    #[error("{place}: `{name}` cannot be used: {rule}")]
    BadForeignName {
        /// Where it stands.
        place: Place,
        /// As written.
        name: String,
        /// What is.
        rule: &'static str,
    },
    /// Nothing says how to run an agent.
    #[error(
        "{place}: the agent `{name}` has no command; \
         give it one, or give one to its runtime as `runtimes.{runtime}.command`"
    )]
    NoCommand {
        /// Where the agent stands.
        place: Place,
        /// Its name.
        name: String,
        /// Its runtime.
        runtime: String,
    },
    /// A variable name that no environment can hold.
    #[error("{place}: `{key}` is not the name of an environment variable")]
    BadVariable {
        /// The agent, or the line of the env file.
        place: Place,
        /// As written.
        key: String,
    },
    /// A line of an env file that is not `KEY=VALUE`.
    #[error("{place}: {problem}; write KEY=VALUE")]
    EnvLine {
        /// The line.
        place: Place,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A file and, where it is known, a line and column in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    path: Utf8PathBuf,
    line: u64,
    column: u64,
}

impl Place {
    /// Where the parser says.
    pub(super) fn new(path: &Utf8Path, location: Option<Location>) -> Self {
        let location = location.unwrap_or(Location::UNKNOWN);
        Self { path: path.to_owned(), line: location.line(), column: location.column() }
    }

    /// A whole line.
    pub(super) fn line(path: &Utf8Path, line: u64) -> Self {
        Self { path: path.to_owned(), line, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.path),
            (line, 0) => write!(f, "{}:{line}", self.path),
            (line, column) => write!(f, "{}:{line}:{column}", self.path),
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; the nearest known key is `{key}`"))
}
