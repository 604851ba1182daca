//! `verify`: does every agent really run?

use super::panorama::is_suspended;
use super::{NO_PATIENCE, blind};
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::plan::{Plan, Verb};
use crate::processes::Process;
use crate::report::Screen;
use crate::roster;
use crate::supervisor::{self, State};

/// What became of the check of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Its name.
    pub(crate) agent: String,
    /// Its process, if it really runs; else what is wrong.
    pub(crate) result: Result<u32, Wrong>,
}

/// Why an agent does not really run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It does not even look as if it did, or cannot be looked at.
    State(State),
    /// Its process is stopped.
    Suspended(u32),
    /// Its supervisor takes it to run, but there is no such process.
    Gone(u32),
}

impl Checked {
    /// Whether it really runs, if that could be seen.
    pub(crate) const fn runs(&self) -> Option<bool> {
        match &self.result {
            Ok(_) => Some(true),
            Err(Wrong::State(state)) if !state.is_known() => None,
            Err(_) => Some(false),
        }
    }
}

/// Checks the agents named, or all.
///
/// # Errors
///
/// When they cannot be looked at, or a name is not in the roster.
pub(super) fn verify(home: &Home, names: &[String], screen: &mut Screen) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    let plan = Plan::new(&roster, Verb::Start, names)?;
    let supervisor = supervisor::open(&roster, home, NO_PATIENCE)?;
    let survey = supervisor.survey(&roster.agents);
    let seen = roster.agents.iter().zip(survey.agents);
    let wanted = seen.filter(|(agent, _)| plan.agents.iter().any(|it| it.name == agent.name));
    let checked: Vec<Checked> = wanted
        .map(|(agent, sight)| Checked { agent: agent.name.clone(), result: check(sight.state) })
        .collect();
    screen.verified(survey.holder.as_ref(), &checked);
    let states = checked.iter().filter_map(|checked| match &checked.result {
        Err(Wrong::State(state)) => Some(state),
        _ => None,
    });
    // Whoever acts on this must not take for dead what was not seen.
    if let Some(exit) = blind(states) {
        return Ok(exit);
    }
    let holder_is_well = !matches!(survey.holder, Some(Err(_)));
    let all_run = checked.iter().all(|checked| checked.result.is_ok());
    Ok(if holder_is_well && all_run { Exit::Done } else { Exit::SomeFailed })
}

/// Whether a process is behind what the supervisor says.
fn check(state: State) -> Result<u32, Wrong> {
    let State::Running { pid, .. } = state else { return Err(Wrong::State(state)) };
    match Process::find(pid).filter(|process| !process.is_zombie()) {
        None => Err(Wrong::Gone(pid)),
        Some(_) if is_suspended(&state) => Err(Wrong::Suspended(pid)),
        Some(_) => Ok(pid),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn running(pid: u32) -> State {
        State::Running { pid, uptime: Duration::ZERO }
    }

    #[test]
    fn a_living_process_is_enough() {
        let this = std::process::id();
        assert_eq!(check(running(this)), Ok(this));
    }

    #[test]
    fn nothing_less_is() {
        // Process numbers end far below.
        assert_eq!(check(running(u32::MAX)), Err(Wrong::Gone(u32::MAX)));
        assert_eq!(check(State::Starting), Err(Wrong::State(State::Starting)));
        assert_eq!(check(State::Stopped), Err(Wrong::State(State::Stopped)));
    }
}
