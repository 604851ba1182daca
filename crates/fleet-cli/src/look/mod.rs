//! The commands that look at agents and change nothing.

pub(crate) mod args;
mod control;
pub(crate) mod panorama;
mod ps;
mod terminal;
pub(crate) mod verify;

use std::time::Duration;

use self::args::LookCommand;
use crate::error::Error;
use crate::exit::Exit;
use crate::report::Screen;
use crate::run::Find;
use crate::supervisor::{Patience, State};

/// How long it waits for agents does not matter to one who only looks.
pub(crate) const NO_PATIENCE: Patience = Patience { grace: Duration::ZERO, settle: Duration::ZERO };

/// With which code it ends that some of these could not be looked at; `None` if all could.
pub(crate) fn blind<'s>(states: impl IntoIterator<Item = &'s State>) -> Option<Exit> {
    let denied = states.into_iter().filter_map(|state| match state {
        State::Unknown { denied, .. } => Some(*denied),
        _ => None,
    });
    let any_denied = denied.reduce(|one, other| one || other)?;
    Some(if any_denied { Exit::Permission } else { Exit::Io })
}

/// Carries out one of them.
///
/// # Errors
///
/// When it cannot be done.
pub(crate) fn dispatch(
    command: LookCommand,
    find: &Find,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let home = find.home()?;
    match command {
        LookCommand::Ps(args) => ps::ps(&home, &args, screen),
        LookCommand::Verify { agents, .. } => verify::verify(&home, &agents, screen),
        LookCommand::Logs(args) => terminal::logs(&home, &args, screen),
        LookCommand::Attach { agent, read_only } => terminal::attach(&home, &agent, read_only),
    }
}
