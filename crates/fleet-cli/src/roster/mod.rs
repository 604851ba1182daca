//! The roster: which agents there are and how each is run.
//!
//! `file` is the shape of `fleet/roster.yaml`, `check` turns it into the values below or
//! into an error that names the line, `env_file` reads what lies beside it.

mod check;
pub(crate) mod edit;
pub(crate) mod env_file;
mod error;
mod file;
mod names;
mod schema;
mod template;
mod tree;

use std::collections::BTreeMap;
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::Serialize;

use self::error::Place;
pub(crate) use self::error::RosterError;
pub(crate) use self::file::{SupervisorKind, nearest};
pub(crate) use self::schema::schema;
use crate::home::Home;

/// A checked roster.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// Who starts and stops the agents.
    pub(crate) supervisor: SupervisorKind,
    /// Where the sessions are.
    pub(crate) tmux: Tmux,
    /// What the units are called.
    pub(crate) units: Units,
    /// In the order of the file, which is the order of a restart.
    pub(crate) agents: Vec<Agent>,
}

/// Where the sessions of a fleet are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tmux {
    /// The socket of the fleet's own server; `None` for the user's default one.
    pub(crate) socket_name: Option<String>,
    /// The session that keeps the server.
    pub(crate) holder_session: String,
}

/// What systemd calls the parts of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Units {
    /// The holder's unit.
    pub(crate) holder: String,
    /// An agent's unit, with `{name}` for its name.
    agent: String,
}

impl Units {
    /// The unit of the agent called `name`.
    pub(crate) fn agent(&self, name: &str) -> String {
        self.agent.replace(NAME, name)
    }

    /// The file that is the unit of every agent, `mosaic-agent@.service`; `None` if their
    /// names are not those of instances of a template.
    pub(crate) fn template(&self) -> Option<String> {
        let template = self.agent.replace(NAME, "");
        (self.agent.ends_with("@{name}.service")).then_some(template)
    }

    /// The agent whose unit this would be.
    pub(crate) fn agent_of<'u>(&self, unit: &'u str) -> Option<&'u str> {
        let (before, after) = self.agent.split_once(NAME)?;
        unit.strip_prefix(before)?.strip_suffix(after).filter(|name| !name.is_empty())
    }
}

/// What stands for an agent's name in the name of a unit.
const NAME: &str = "{name}";

/// How long an agent's name may be. Files and systemd's units have at most 255 characters, and
/// theirs are longer than the agent's.
pub(crate) const NAME_LIMIT: usize = 200;

/// One agent, with every default filled in.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Agent {
    /// Unique in the roster, and safe as a file name.
    pub(crate) name: String,
    /// The program family, as `claude` or `codex`.
    pub(crate) runtime: String,
    /// What it is for.
    pub(crate) class: String,
    /// The command line; empty where the supervisor knows it (systemd's unit file).
    pub(crate) command: Vec<String>,
    /// Where it starts.
    pub(crate) working_directory: Utf8PathBuf,
    /// Whether that is so because the roster does not say where.
    pub(crate) default_directory: bool,
    /// Its variables: the env file's, once that is read, and the roster's over them.
    pub(crate) env: BTreeMap<String, String>,
    /// What the roster says that fleet itself does not use.
    pub(crate) kept: Kept,
}

impl Agent {
    /// Whether there is a directory to start in.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be entered.
    pub(crate) fn check_directory(&self) -> Result<(), NoDirectory> {
        // The name in it is found only by whoever may enter it.
        let problem = match std::fs::metadata(self.working_directory.join(".")) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                "cannot be entered: Permission denied; let this user in with chmod"
            }
            Err(_) => "is not a directory; create it",
        };
        let (path, is_default) = (self.working_directory.clone(), self.default_directory);
        Err(NoDirectory { path, problem, is_default })
    }
}

/// An agent cannot start in its directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the working directory {path} {problem}, or {}",
    if *.is_default {
        "set `defaults.working_directory` in the roster, which does not say where agents start"
    } else {
        "change the roster"
    }
)]
pub(crate) struct NoDirectory {
    /// The directory.
    path: Utf8PathBuf,
    /// What is wrong with it, and what to do.
    problem: &'static str,
    /// Whether the roster does not say where.
    is_default: bool,
}

/// Keys that other tools put in the roster; read, and handed on in `status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub(crate) struct Kept {
    /// The host that the agent is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// How to reach that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssh: Option<String>,
    /// A tmux socket of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<String>,
    /// Which model it should use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_hint: Option<String>,
    /// Whether it forgets between tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reset_between_tasks: Option<bool>,
}

/// Reads and checks the roster of `home`. The env files are only for whoever starts agents, see
/// [`Roster::read_env_files`]: a mistake in one is in nobody else's way.
///
/// # Errors
///
/// Names the file and, where there is one, the line and column of the mistake.
pub(crate) fn load(home: &Home) -> Result<Roster, RosterError> {
    let path = home.roster();
    let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => RosterError::Absent { path: path.clone() },
        _ => RosterError::Read { path: path.clone(), source },
    })?;
    parse(home, &text(&path, bytes)?)
}

impl Roster {
    /// Adds what the env files say to the variables of the agents named, or of all when none is.
    ///
    /// # Errors
    ///
    /// Names the file and, where there is one, the line of the mistake.
    pub(crate) fn read_env_files(
        &mut self,
        home: &Home,
        names: &[String],
    ) -> Result<(), RosterError> {
        let wanted = |agent: &&mut Agent| names.is_empty() || names.contains(&agent.name);
        for agent in self.agents.iter_mut().filter(wanted) {
            let mut env = env_file::read(&home.env_file(&agent.name))?;
            env.append(&mut agent.env);
            agent.env = env;
        }
        Ok(())
    }
}

/// What was read from the file at `path`, as text.
///
/// # Errors
///
/// Names the first line that is none.
pub(crate) fn text(path: &Utf8Path, bytes: Vec<u8>) -> Result<String, RosterError> {
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.fold(1, |line, byte| line + u64::from(*byte == b'\n'));
        RosterError::NotText { place: Place::line(path, line) }
    })
}

/// Checks a roster of `home` that need not be on the disk.
///
/// # Errors
///
/// As [`load`].
pub(crate) fn parse(home: &Home, text: &str) -> Result<Roster, RosterError> {
    let path = home.roster();
    check::check(&path, file::parse(&path, text)?, home)
}

#[cfg(test)]
pub(crate) mod tests;
