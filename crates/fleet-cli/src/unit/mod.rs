//! What the units run: the other side of `fleet install`.
//!
//! The holder's unit starts the tmux server and is the server. An agent's unit runs a
//! *minder*, which makes the agent's session, waits for the agent's end and ends as it did.
//! tmux, not the minder, is the agent's parent, so the agent starts as `pane`: it moves into
//! the unit's control group, takes over the unit's environment, and becomes the agent's
//! command. So the unit has what belongs to the agent, and nothing outlives it.
//!
//! Units know only their agent's name; everything else is asked of the roster.

mod agent;
mod holder;
mod pane;
mod tmux;

use std::ffi::OsString;

use crate::error;
use crate::exit::Exit;
use crate::home::{Environment, Home, HomeError};
use crate::report;
use crate::roster::{self, Agent, NoDirectory, Roster, RosterError};

/// The first argument of what units run. No command line for people, so clap does not know
/// it.
pub(crate) const COMMAND: &str = "__unit";

/// Why a unit fails.
#[derive(Debug, thiserror::Error)]
enum UnitError {
    #[error("called without {0}")]
    Called(&'static str),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error("there is no agent `{0}` in the roster; `systemctl --user disable` its unit")]
    NoAgent(String),
    #[error(
        "the roster does not say what to run for `{name}`; \
         give it a `command`, or give one to its runtime as `runtimes.{runtime}.command`"
    )]
    NoCommand { name: String, runtime: String },
    #[error(transparent)]
    NoDirectory(#[from] NoDirectory),
    #[error(
        "a tmux server that is not this unit's answers on {0}; \
         end it, or give the fleet its own with `tmux.socket_name` in the roster"
    )]
    ForeignServer(String),
    #[error("cannot run tmux; install it")]
    NoTmux(#[source] std::io::Error),
    #[error("tmux did not make the session: {0}")]
    NoSession(String),
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
    #[error("cannot run `{program}`")]
    Exec { program: String, source: std::io::Error },
}

/// Runs what a unit asks for.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Exit {
    dispatch(arguments).unwrap_or_else(|problem| {
        report::plain(&error::chain(&problem));
        match problem {
            UnitError::Exec { .. } => Exit::NotFound,
            UnitError::Roster(_) | UnitError::NoAgent(_) | UnitError::NoCommand { .. } => {
                Exit::RosterInvalid
            }
            UnitError::NoTmux(_) => Exit::SupervisorMissing,
            _ => Exit::SomeFailed,
        }
    })
}

fn dispatch(arguments: impl Iterator<Item = OsString>) -> Result<Exit, UnitError> {
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let what = arguments.next().unwrap_or_default();
    let home = Home::find(None, &Environment::read())?;
    let mut roster = roster::load(&home)?;
    let mut name = || arguments.next().ok_or(UnitError::Called("the name of an agent"));
    let mut with_env = |name: &String| roster.read_env_files(&home, std::slice::from_ref(name));
    match what.as_str() {
        "holder" => holder::become_server(&roster.tmux),
        "agent" => {
            let agent = name()?;
            with_env(&agent)?;
            agent::mind(&roster, find(&roster, &agent)?)
        }
        "pane" => {
            let agent = name()?;
            with_env(&agent)?;
            let agent = find(&roster, &agent)?;
            let minder = name()?.parse().map_err(|_| UnitError::Called("the minder's number"))?;
            pane::become_agent(&home, agent, minder)
        }
        "end" => {
            tmux::Server::of(&roster.tmux).end_session(&name()?);
            Ok(Exit::Done)
        }
        _ => Err(UnitError::Called("holder, agent, pane or end")),
    }
}

fn find<'r>(roster: &'r Roster, name: &str) -> Result<&'r Agent, UnitError> {
    let found = roster.agents.iter().find(|agent| agent.name == name);
    found.ok_or_else(|| UnitError::NoAgent(name.to_owned()))
}
