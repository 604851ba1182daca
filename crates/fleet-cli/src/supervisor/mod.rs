//! Who starts and stops the agents: one small trait, and the way to the one that a roster
//! asks for.
//!
//! A verb is done in steps. A step is *fired* under the lock's mutex and is short: send the
//! signal, start the command. What takes time comes back as a [`Wait`], which runs outside.
//! So an owner that lost the lock cannot fire another step, and a slow agent holds up
//! nobody who only wants to look at the lock.

mod process;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;

pub(crate) use self::process::{Processes, launch};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::plan::Verb;
use crate::roster::{Agent, Roster, SupervisorKind};

/// Starts, stops and looks at agents and their holder.
pub(crate) trait Supervisor: Sync {
    /// The steps that a verb takes, in order.
    fn steps(&self, verb: Verb) -> &'static [Step];

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

    /// Looks at an agent, without the lock.
    ///
    /// # Errors
    ///
    /// When the answer cannot be had.
    fn state(&self, agent: &Agent) -> Result<State, SupervisorError>;
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
}

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum State {
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
        /// For how long.
        #[serde(rename = "uptime_ms", serialize_with = "as_millis")]
        uptime: Duration,
    },
    /// It was asked to end and has not yet.
    Stopping {
        /// Its process.
        pid: u32,
    },
    /// It was never started, or stopped on purpose.
    Stopped,
    /// It ended by itself.
    Dead {
        /// The process that it was.
        pid: u32,
        /// Processes that it started and that still run.
        leftover: Vec<u32>,
    },
    /// It cannot be looked at.
    Unknown {
        /// Why not.
        error: String,
    },
}

/// Why a step failed, or an agent cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    /// The directory to start in is not there.
    #[error("the working directory {path} is not a directory; create it, or change the roster")]
    NoDirectory {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// The command cannot be run at all.
    #[error("{problem}")]
    NotLaunched {
        /// What the launcher said.
        problem: String,
    },
    /// The command ran and ended before it could be called started.
    #[error("it ended at once, with {status}{}", quote(.tail, .log))]
    EndedAtOnce {
        /// As the system describes it.
        status: String,
        /// The last lines it wrote.
        tail: String,
        /// Where it wrote them.
        log: Utf8PathBuf,
    },
    /// Processes of the last run are in the way of a new one.
    #[error(
        "its last run ended but left processes behind ({}); `fleet restart {name}` ends them",
        join(.pids)
    )]
    Leftover {
        /// The agent.
        name: String,
        /// The processes.
        pids: Vec<u32>,
    },
    /// It was asked to end and has not yet.
    #[error("it is still ending (process {pid}); `fleet restart {name}` waits for it")]
    StillEnding {
        /// The agent.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// Stopping the agent would end us in the middle.
    #[error(
        "this very `fleet` runs inside it and would end with it; \
         run `setsid fleet restart {name}` instead"
    )]
    Inside {
        /// The agent.
        name: String,
    },
    /// Not even SIGKILL ended it.
    #[error("it is still there {} after SIGKILL (processes {})",
        crate::duration::format(*.waited), join(.pids))]
    Immortal {
        /// The processes.
        pids: Vec<u32>,
        /// How long we waited.
        waited: Duration,
    },
    /// A signal told us to stop waiting.
    #[error("interrupted while waiting for it to end")]
    Interrupted,
    /// A system call failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What we were about to do.
        action: &'static str,
        /// To which file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call that concerns no file failed.
    #[error("cannot {action}")]
    System {
        /// What we were about to do.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The roster asks for a supervisor that this build does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "the roster asks for the supervisor `{wanted}`, and this build has only `process`; \
     set `supervisor: process` in {roster}"
)]
pub(crate) struct SupervisorMissing {
    wanted: &'static str,
    roster: Utf8PathBuf,
}

/// How long the supervisor waits for agents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// How long an agent must live to count as started.
    pub(crate) settle: Duration,
}

/// The supervisor that `roster` asks for.
///
/// # Errors
///
/// When this build does not have it.
pub(crate) fn open(
    roster: &Roster,
    home: &Home,
    patience: Patience,
) -> Result<Processes, SupervisorMissing> {
    let missing = |wanted| Err(SupervisorMissing { wanted, roster: home.roster() });
    match roster.supervisor {
        SupervisorKind::Process => Ok(Processes::new(home.clone(), patience)),
        SupervisorKind::Systemd => missing("systemd"),
        SupervisorKind::Tmux => missing("tmux"),
    }
}

fn quote(tail: &str, log: &Utf8PathBuf) -> String {
    if tail.is_empty() {
        return format!("; it wrote nothing to {log}");
    }
    let lines: String = tail.lines().map(|line| format!("\n    | {line}")).collect();
    format!("; its last words in {log}:{lines}")
}

fn join(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(duration.as_millis())
}
