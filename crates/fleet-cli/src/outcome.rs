//! What became of a plan: values, for `report` to turn into text and for `exit` into a code.

use std::fmt;

use crate::error::Error;
use crate::exit::Exit;
use crate::plan::Verb;
use crate::supervisor::{Settled, Step, SupervisorError};

/// Something that happened while a plan was carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// An agent's turn began.
    Began {
        /// Which one of how many.
        place: Place,
        /// Its name.
        agent: &'a str,
    },
    /// An agent's turn ended.
    Ended {
        /// Which one of how many.
        place: Place,
        /// How.
        report: &'a Report,
    },
}

/// `3/60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) of: usize,
}

/// What became of a plan; `E` says why the lock refused a step.
#[derive(Debug)]
pub(crate) struct Outcome<E> {
    /// What was to be done.
    pub(crate) verb: Verb,
    /// What became of the holder, if it had a turn.
    pub(crate) holder: Option<Turn>,
    /// What became of each agent, in the order of the plan.
    pub(crate) agents: Vec<Report>,
    /// How it ended.
    pub(crate) ending: Ending<E>,
    /// Why the lock could not be released afterwards, if so.
    pub(crate) unreleased: Option<Error>,
}

/// How the work on a plan ended.
#[derive(Debug)]
pub(crate) enum Ending<E> {
    /// Everything was attempted.
    Complete,
    /// A signal ended it.
    Interrupted(i32),
    /// An agent failed, and the others were not to have their turns then.
    HeldBack,
    /// The lock did not allow another step.
    Refused(E),
}

/// What became of one agent.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its name.
    pub(crate) agent: String,
    /// What became of it.
    pub(crate) turn: Turn,
}

/// What became of one agent's, or the holder's, turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It was done, or was so already.
    Done(Done),
    /// It failed.
    Failed(SupervisorError),
    /// We had to end in the middle of it.
    CutShort {
        /// What it was asked to do last; else it did not run in the first place.
        asked: Option<Step>,
    },
    /// Another had done it, before its restart came to an end too early.
    Earlier,
    /// Nothing was done to it.
    NotReached,
}

/// What the steps of one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// How many steps came to their end.
    steps: usize,
    /// Whether it had to be stopped, and how it went.
    pub(crate) stopped: Option<Stopped>,
    /// The process that was started.
    pub(crate) started: Option<u32>,
}

/// How a process ended that was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// By itself.
    Gently,
    /// By SIGKILL.
    Killed,
}

impl Done {
    /// Adds what one step did.
    pub(crate) fn add(&mut self, settled: Settled) {
        self.steps += 1;
        match settled {
            Settled::Already => {}
            Settled::Stopped { killed: false } => self.stopped = Some(Stopped::Gently),
            Settled::Stopped { killed: true } => self.stopped = Some(Stopped::Killed),
            Settled::Started { pid } => self.started = Some(pid),
            Settled::Restarted { pid } => {
                self.started = Some(pid);
                self.stopped = Some(Stopped::Gently);
            }
        }
    }

    /// What became of a turn that had come this far and no further.
    pub(crate) fn cut_short(self) -> Turn {
        match self.steps {
            0 => Turn::NotReached,
            _ => Turn::CutShort { asked: self.stopped.map(|_| Step::Stop) },
        }
    }
}

impl<E> Outcome<E> {
    /// Whether everything that was attempted succeeded.
    pub(crate) fn all_well(&self) -> bool {
        let mut turns = self.agents.iter().map(|report| &report.turn).chain(&self.holder);
        turns.all(|turn| !matches!(turn, Turn::Failed(_)))
    }

    /// The exit code, if the lock had no part in it.
    pub(crate) fn exit(&self) -> Exit {
        match self.ending {
            Ending::Interrupted(signal) => Exit::Signal(signal),
            Ending::Refused(_) => Exit::LockLost,
            Ending::Complete if self.all_well() => Exit::Done,
            Ending::Complete | Ending::HeldBack => Exit::SomeFailed,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}
