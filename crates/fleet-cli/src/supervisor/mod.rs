//! Who starts and stops the agents: one small trait, and the way to the one that a roster
//! asks for.
//!
//! A verb is done in steps. A step is *fired* under the lock's mutex and is short: send the
//! signal, start the command. What takes time comes back as a [`Wait`], which runs outside.
//! So an owner that lost the lock cannot fire another step, and a slow agent holds up
//! nobody who only wants to look at the lock.
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
mod process;
mod stop;
mod systemd;
mod tmux;
mod tool;
mod words;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use self::error::{SupervisorError, SupervisorMissing};
use self::process::Processes;
pub(crate) use self::process::launch;
pub(crate) use self::systemd::Manager;
use self::systemd::Units;
use self::tmux::Sessions;
pub(crate) use self::tmux::client::{argument, exactly, session_name, unexpanded};
pub(crate) use self::tmux::pane;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::plan::Verb;
use crate::roster::{Agent, Roster, SupervisorKind};

/// Starts, stops and looks at agents and their holder.
pub(crate) trait Supervisor: Sync {
    /// The steps that a verb takes, in order.
    fn steps(&self, verb: Verb) -> &'static [Step] {
        match verb {
            Verb::Restart => &[Step::Stop, Step::Start],
            Verb::Start => &[Step::Start],
            Verb::Stop => &[Step::Stop],
        }
    }

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

    /// Looks at each of `agents`, without the lock.
    fn states(&self, agents: &[Agent]) -> Vec<State>;
}

/// The rest of a step: waits until it has taken effect.
pub(crate) type Wait<'a> =
    Box<dyn FnOnce(&Interrupt) -> Result<Settled, SupervisorError> + Send + 'a>;

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

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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
) -> Result<Box<dyn Supervisor + 'r>, SupervisorMissing> {
    Ok(match roster.supervisor {
        SupervisorKind::Process => Box::new(Processes::new(home.clone(), patience)),
        SupervisorKind::Tmux => Box::new(Sessions::open(roster, home, patience)?),
        SupervisorKind::Systemd => Box::new(Units::open(roster, home, patience)?),
    })
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(duration.as_millis())
}
