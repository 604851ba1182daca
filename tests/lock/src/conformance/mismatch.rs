//! Where a trace and the machines part.

use std::fmt;

use lock_core::effect::Effect;

use crate::strace::{Call, Outcome};

/// A call, and the effect that it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What the machine was for.
    pub what: &'static str,
    /// What it asked for.
    pub effect: Effect,
    /// What was called.
    pub call: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Where it stands in the trace.
    pub line: usize,
}

/// A trace that the machines cannot explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// How many calls were explained before.
    pub position: usize,
    /// The last of them.
    before: Vec<Pair>,
    /// What is wrong then.
    pub what: Box<What>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The machine asks for one thing, the thread does another, or nothing.
    Another {
        /// What the machine is for.
        machine: &'static str,
        /// What it asks for.
        effect: Effect,
        /// That effect as a call.
        wanted: String,
        /// The thread's next call, in the same words.
        seen: Option<(String, Call)>,
    },
    /// A call on the lock's paths for which nothing asks.
    Unasked {
        /// The call, in the words of the table of calls that need no effect.
        seen: String,
        /// The call itself.
        call: Call,
    },
    /// What came of a call is nothing that a machine can be told.
    Outcome(Call),
    /// Something else is waited for than the cancel and the news of a watch.
    Polled(Call),
    /// A sleep is as long as this call says, and should be this many milliseconds.
    Limit(Call, u64),
    /// The trace is over, and this has not been done.
    Undone(String),
    /// The trace is over, and these are still open.
    LeftOpen(Vec<String>),
    /// An owner saw that its ticket has no name, and did not renew.
    NotRenewed,
    /// Before any call on it, the lock's directory was not looked at.
    NoDirectory,
}

/// How much of what was right is told.
const CONTEXT: usize = 6;

impl Mismatch {
    pub(crate) fn new(what: What, pairs: &[Pair]) -> Self {
        let before = pairs.get(pairs.len().saturating_sub(CONTEXT)..).unwrap_or_default();
        Self { position: pairs.len(), before: before.to_vec(), what: Box::new(what) }
    }
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after {} calls that were asked for:", self.position)?;
        for (pair, number) in self.before.iter().zip(1 + self.position - self.before.len()..) {
            writeln!(f, "{number:5}  {pair}")?;
        }
        self.what.fmt(f)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, effect, call, outcome, .. } = self;
        write!(f, "{what}: {effect} is {call} = {outcome}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Another { machine, effect, wanted, seen } => {
                write!(f, "{machine} asks for {effect}:\nwanted {wanted}\nseen   ")?;
                match seen {
                    Some((seen, call)) => {
                        write!(f, "{seen} = {}\nin line {}: {call}", call.outcome, call.line)
                    }
                    None => f.write_str("nothing more by this thread"),
                }
            }
            Self::Unasked { seen, call } => {
                write!(f, "nothing asks for {seen}\nin line {}: {call}", call.line)
            }
            Self::Outcome(call) => {
                write!(f, "not understood: what came of line {}: {call}", call.line)
            }
            Self::Polled(call) => {
                write!(f, "not what there is to wait for, in line {}: {call}", call.line)
            }
            Self::Limit(call, left) => {
                write!(f, "a sleep of {left} ms was asked for\nin line {}: {call}", call.line)
            }
            Self::Undone(act) => write!(f, "the trace is over before: {act}"),
            Self::LeftOpen(files) => write!(f, "still open at the end: {}", files.join(", ")),
            Self::NotRenewed => f.write_str("a ticket without a name was not renewed"),
            Self::NoDirectory => f.write_str("the lock's directory has not been opened yet"),
        }
    }
}
