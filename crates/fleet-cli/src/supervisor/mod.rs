//! Who starts and stops the agents: one small trait, one more for those who only look, and the
//! way to the supervisor that a roster asks for.
//!
//! A verb is done in steps. A step is *fired* under the lock's mutex and is short: send the
//! signal, start the command. What takes time comes back as a [`Wait`], which runs outside.
//! So an owner that lost the lock cannot fire another step, and a slow agent holds up
//! nobody who only wants to look at the lock.
//!
//! Each wait has a limit, which is announced in the lock before it begins ([`Supervisor::limit`])
//! and is given to the wait as its deadline. What a wait does beyond its deadline is look and say
//! what came of it.
//!
//! | | `process` | `tmux` | `systemd` |
//! |---|---|---|---|
//! | the holder | none | a session that keeps the server | a unit, whose tmux server answers |
//! | an agent | leads a session | leads a session, in a pane | a unit: its main process, or its pane |
//! | restart | stop, start | stop, start | one job |
//! | what it wrote | a log file | the pane | the journal, the unit's file, the pane |
//!
//! `instance` and `stop` know which processes belong to an agent, `tool` runs the other programs.

mod error;
mod instance;
mod look;
mod process;
mod stop;
mod systemd;
mod tmux;
mod tool;
mod words;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub(crate) use self::error::{SupervisorError, SupervisorMissing};
pub(crate) use self::look::{
    Drift, Look, LookError, PaneSight, Sight, State, Stranger, Survey, UnitSight, View, last,
};
use self::process::Processes;
pub(crate) use self::systemd::Manager;
use self::systemd::Units;
use self::tmux::Sessions;
pub(crate) use self::tmux::client::{argument, exactly, session_name, unexpanded};
pub(crate) use self::tmux::pane;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::plan::Verb;
use crate::roster::{Agent, Roster, SupervisorKind};

/// Starts and stops agents and their holder, under the lock.
pub(crate) trait Supervisor: Sync {
    /// The steps that a verb takes, in order.
    fn steps(&self, verb: Verb) -> &'static [Step] {
        match verb {
            Verb::Restart => &[Step::Stop, Step::Start],
            Verb::Start => &[Step::Start],
            Verb::Stop => &[Step::Stop],
        }
    }

    /// How long the wait for one step may take, begun for all of `targets` at once. Runs outside of
    /// the lock's mutex.
    fn limit(&self, step: Step, targets: &[Target<'_>]) -> Duration;

    /// Begins one step, and returns the wait for its end. Runs under the lock's mutex.
    ///
    /// `ticket` is the lock's descriptor. What is started must keep it open until the next
    /// owner of the lock could see that it was started, and no longer.
    ///
    /// # Errors
    ///
    /// Why the step could not begin.
    fn fire<'a>(
        &'a self,
        step: Step,
        target: Target<'a>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError>;

    /// What is still under way for the holder and these agents, though its order's step is over.
    /// Of a child that `fleet` forks, and of the tools that it runs, the lock itself knows: they
    /// have its ticket.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    fn in_flight(&self, _agents: &[String]) -> Result<Vec<InFlight>, SupervisorError> {
        Ok(Vec::new())
    }

    /// Has what is in flight given up.
    ///
    /// # Errors
    ///
    /// When no supervisor can be asked to.
    fn cancel(&self, _in_flight: &[InFlight]) -> Result<(), SupervisorError> {
        Ok(())
    }

    /// Whether a step for several agents is better fired with [`Self::fire_together`].
    fn joins(&self, _step: Step) -> bool {
        false
    }

    /// Begins one step for several agents at once. Runs under the lock's mutex, as
    /// [`Self::fire`] does. For whom it could not begin, the wait tells.
    fn fire_together<'a>(
        &'a self,
        step: Step,
        agents: &[&'a Agent],
        ticket: BorrowedFd<'_>,
    ) -> WaitTogether<'a> {
        self.fire_each(step, agents, ticket)
    }

    /// Begins one step for each of several agents; they are waited for one after the other, but
    /// until the same deadline.
    fn fire_each<'a>(
        &'a self,
        step: Step,
        agents: &[&'a Agent],
        ticket: BorrowedFd<'_>,
    ) -> WaitTogether<'a> {
        // A tool that hangs for one agent hangs for each, and all the while others wait for the
        // mutex.
        let mut hangs = None;
        let mut fire = |agent: &&'a Agent| {
            if let Some((command, waited)) = hangs.clone() {
                return Err(SupervisorError::ToolHangs { command, waited });
            }
            let fired = self.fire(step, Target::Agent(agent), ticket);
            if let Err(SupervisorError::ToolHangs { command, waited }) = &fired {
                hangs = Some((command.clone(), *waited));
            }
            fired
        };
        let fired: Vec<_> = agents.iter().map(&mut fire).collect();
        Box::new(move |until, interrupt, ended| {
            for (index, fired) in fired.into_iter().enumerate() {
                ended(vec![(index, fired.and_then(|wait| wait(until, interrupt)))]);
            }
        })
    }
}

/// Something that has been begun for an agent or the holder, and goes on without the `fleet` that
/// began it: a job of systemd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// Its number.
    pub(crate) number: u32,
    /// The unit that it is for.
    pub(crate) unit: String,
    /// What it does to that.
    pub(crate) verb: String,
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of {}", self.verb, self.unit)
    }
}

/// What a roster's supervisor can do.
pub(crate) trait Keeper: Supervisor + Look {}

impl<T: Supervisor + Look> Keeper for T {}

/// The rest of a step: waits until it has taken effect, or the time that is given to it is over.
pub(crate) type Wait<'a> =
    Box<dyn FnOnce(Instant, &Interrupt) -> Result<Settled, SupervisorError> + Send + 'a>;

/// The rest of a step for several agents: tells of those whose step has taken effect, some at
/// a time, until it has told of each. They are named by their places in what was fired.
pub(crate) type WaitTogether<'a> = Box<dyn FnOnce(Instant, &Interrupt, &mut Ended<'_>) + 'a>;

/// Hears how the step of some agents ended.
pub(crate) type Ended<'e> = dyn FnMut(Vec<(usize, Result<Settled, SupervisorError>)>) + 'e;

/// One short action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask it to end.
    Stop,
    /// Run its command.
    Start,
    /// Both, for a supervisor whose `steps` say that it does them in one.
    Restart,
}

/// Whom a step is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// What the agents live in.
    Holder,
    /// One agent.
    Agent(&'a Agent),
}

/// How a step ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing had to be done: it was so already, or there is no such thing to do it to.
    Already,
    /// It ended.
    Stopped {
        /// Whether it took SIGKILL.
        killed: bool,
    },
    /// It runs.
    Started {
        /// Its process.
        pid: u32,
    },
    /// It ran, and runs anew.
    Restarted {
        /// Its process.
        pid: u32,
    },
}

/// How long the supervisor waits for agents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between the request to end and SIGKILL.
    pub(crate) grace: Duration,
    /// How long an agent must live to count as started.
    pub(crate) settle: Duration,
}

/// The supervisor that `roster` asks for.
///
/// # Errors
///
/// When what it needs is not there.
pub(crate) fn open<'r>(
    roster: &'r Roster,
    home: &Home,
    patience: Patience,
) -> Result<Box<dyn Keeper + 'r>, SupervisorMissing> {
    Ok(match roster.supervisor {
        SupervisorKind::Process => Box::new(Processes::new(home.clone(), patience)),
        SupervisorKind::Tmux => Box::new(Sessions::open(roster, home, patience)?),
        SupervisorKind::Systemd => Box::new(Units::open(roster, home, patience)?),
    })
}
