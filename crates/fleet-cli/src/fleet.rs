//! `restart`, `start`, `stop` and `status`: roster, lock, plan and supervisor put together.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use lock_fs::Released;

use crate::args::Change;
use crate::error::{self, Error};
use crate::exit::Exit;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::locking::{self, Held};
use crate::outcome::{Ending, Outcome};
use crate::plan::{Plan, Verb};
use crate::report::Screen;
use crate::restart::Work;
use crate::supervisor::{self, Patience, State, Supervisor, SupervisorError};
use crate::{roster, signals};

/// Restarts, starts or stops the fleet, or some of its agents, under the restart lock.
///
/// # Errors
///
/// When it does not come to that. What becomes of the agents is reported on `screen`.
pub(crate) fn change(
    verb: Verb,
    home: &Home,
    change: &Change,
    patience: Patience,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    let plan = Plan::new(&roster, verb, &change.agents)?;
    let supervisor = supervisor::open(&roster, home, patience)?;
    let path = home.restart_lock();
    let lock = locking::open(&path, &change.lock, shown(verb, &change.agents))?;

    let interrupt = Arc::new(Interrupt::new().map_err(Error::Signals)?);
    let tripped = Arc::clone(&interrupt);
    signals::listen(&signals::ENDING, move |signal| tripped.trip(signal.number))
        .map_err(Error::Signals)?;
    let guard = locking::acquire(&lock, &path, &change.lock, &interrupt, screen)?;
    let (token, generation) = (guard.token().clone(), guard.generation());

    let fence = Held::new(&guard)?;
    let (plan, supervisor, jobs) = (&plan, &supervisor, change.jobs);
    let work = Work { plan, supervisor, fence: &fence, interrupt: &interrupt, jobs };
    let mut outcome = work.run(&mut |event| screen.event(verb, event));
    drop(fence);
    let released = guard.release();
    let exit = settle(&mut outcome, &path, released);
    screen.outcome(&path, &token, generation, &outcome);
    Ok(exit)
}

/// Shows the agents, and who changes them now.
///
/// # Errors
///
/// When they cannot be looked at.
pub(crate) fn status(home: &Home, screen: &mut Screen) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    // How long it waits for agents does not matter to one who only looks.
    let patience = Patience { grace: Duration::ZERO, settle: Duration::ZERO };
    let supervisor = supervisor::open(&roster, home, patience)?;
    let path = home.restart_lock();
    let lock = locking::look(&path)?;
    let unknown = |problem: SupervisorError| State::Unknown { error: error::chain(&problem) };
    let look = |agent| supervisor.state(agent).unwrap_or_else(unknown);
    let states: Vec<State> = roster.agents.iter().map(look).collect();
    screen.status(home, &path, lock.as_ref(), &roster.agents, &states);
    let all_known = !states.iter().any(|state| matches!(state, State::Unknown { .. }));
    Ok(if all_known { Exit::Done } else { Exit::Io })
}

/// Adds what the release showed, and finds the exit code.
fn settle(
    outcome: &mut Outcome<lock_fs::Error>,
    path: &Utf8Path,
    released: Result<Released, lock_fs::Error>,
) -> Exit {
    let problem = match released {
        Ok(Released::Released) => None,
        Ok(Released::AlreadyLost { to }) => {
            Some(lock_fs::Error::Lost { path: path.to_owned(), to })
        }
        Err(error) => Some(error),
    };
    match (&outcome.ending, problem) {
        // Nobody saw the loss before the last step was done, but lost is lost.
        (Ending::Complete | Ending::Interrupted(_), Some(problem)) => {
            outcome.ending = Ending::Refused(problem);
        }
        (Ending::Refused(_), _) | (_, None) => {}
    }
    match &outcome.ending {
        Ending::Refused(refusal) => error::lock_exit(refusal),
        Ending::Complete | Ending::Interrupted(_) => outcome.exit(),
    }
}

/// The command as others see it.
fn shown(verb: Verb, agents: &[String]) -> String {
    let mut words = vec!["fleet", verb.name()];
    words.extend(agents.iter().map(String::as_str));
    words.join(" ")
}
