//! What came of a run: facts, for the judge.

use std::time::Duration;

/// Everything that is known of one run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Whether it happened to the call that was meant.
    pub(crate) hit: bool,
    pub(crate) end: End,
    /// What it said, a line each; of a library, the messages of its errors.
    pub(crate) said: Vec<String>,
    /// Whether its work was begun.
    pub(crate) ran: bool,
    /// Whether it knows that it lost the lock.
    pub(crate) told: bool,
    /// How it went for the one who came while it was stopped.
    pub(crate) rescue: Option<Rescue>,
    /// What is wrong with whoever else was there, if anything.
    pub(crate) others: Option<String>,
    /// The names that it left behind, without the lock's own.
    pub(crate) left: Vec<String>,
    pub(crate) next: Next,
    /// Why two were at work at once, or a generation went back, if so.
    pub(crate) overlap: Option<String>,
    /// How many more descriptors it had afterwards, where it lives on.
    pub(crate) more_descriptors: Option<i64>,
}

/// How the subject ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
    /// It did not.
    Hangs,
}

/// What the one who came while the subject was stopped found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rescue {
    /// The lock was free, or another's that is dead or silent.
    Free,
    /// It took the lock from the stopped one, which lived and had agreed to that.
    TookOver,
    /// It waited for the stopped one, which has the lock, and gave up.
    Waited,
    /// It waited for somebody else who has the lock, and gave up.
    WaitedForAnother,
    /// The stopped one is in the mutex, and was named.
    Held,
    /// Somebody is in the mutex, but another was named.
    HeldByAnother,
    /// Likewise, and could not end it.
    Survived,
    /// It ended the stopped one, and took the lock.
    Ended,
    /// Something else.
    Failed(String),
}

/// The contender that comes when all is over.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    /// From its start to its end, which includes starting two processes.
    pub(crate) took: Duration,
    pub(crate) end: End,
    pub(crate) said: Vec<String>,
    pub(crate) ran: bool,
    /// The names that are left when it is gone.
    pub(crate) left: Vec<String>,
}
