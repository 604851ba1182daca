//! How long those sleep that stand behind another.

use core::time::Duration;

use crate::time::Mono;

/// The first sleep, after which each is four times as long as the one before. The kernel tells of a
/// death a hair before it is complete, and a waiter that begins to watch in that moment is not told.
pub(crate) const FIRST_NAP: Duration = Duration::from_millis(64);

/// The first sleep of one who is told of nothing, because the system has no watch left (128 in use
/// by one user, by default). Each is then a quarter longer, so that its turn is noticed within
/// a quarter of the time that it has waited.
pub(crate) const FIRST_POLL: Duration = Duration::from_millis(1);

/// After being told of a death that is not complete yet.
pub(crate) const HAIR: Duration = Duration::from_millis(1);

/// How many times the fallback poll is the longest sleep behind the first.
pub(crate) const LONGEST_NAP: u32 = 8;

/// Behind more than one, the longest sleep is as many times as long, up to this. Those right
/// behind the first have to notice soon that it does not take a lock that can be taken, the others
/// later; but no event tells us of those further ahead who have left.
pub(crate) const DEEPEST: u32 = 8;

/// What ends a sleep early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wakes {
    Events,
    /// Nothing: this file system cannot watch, so look now and then.
    Polls,
}

/// A lock that is free, and that the first in the queue does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Idle {
    pub(crate) first: u64,
    pub(crate) since: Mono,
}

/// What the last look at the lock has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sight {
    /// It is held, and has to be looked at again by then; or not looked at yet.
    Held(Mono),
    /// It is free.
    Ripe,
}
