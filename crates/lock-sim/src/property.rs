//! What must hold, by the names that the report uses.

use std::fmt;

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// Two processes never both own the lock without one having been taken over from.
    OneOwner,
    /// Nothing but a takeover takes an owner's file away or puts another in its place.
    OwnFile,
    /// The mutex excludes. Not promised beside a peer that knows no kernel locks.
    OneInMutex,
    /// A mutex or a reclaim lock whose holder is dead is free: no child of the holder keeps the
    /// kernel's lock on it.
    MutexFallsFree,
    /// Every transition of the lock runs under the mutex.
    UnderMutex,
    /// Leaving the mutex removes no one else's.
    OwnMutex,
    /// What one owner does under the mutex never falls into what another does there, and
    /// once a later owner has begun an earlier one never begins anything.
    StepsApart,
    /// The work of two owners never overlaps, unless the first has consented to be replaced, or a
    /// person has ordered it by hand or by an eviction.
    ///
    /// The work of an owner that has not consented is its whole ownership, from the moment at
    /// which it is told of it until it begins to release; of one that has, its fenced steps. To
    /// either belongs what its children still do after its death.
    WorkApart,
    /// Every ownership has a larger number than the one before.
    GenerationsGrow,
    /// Staleness is a verdict on the dead and the silent.
    RenewerFresh,
    /// An owner that gets on is not timed out.
    PatienceKept,
    /// A waiter ends an owner only when it has waited its whole limit for this very ownership, in
    /// its own time awake. A holder that is stopped inside the mutex is judged by another limit.
    EndedAfterWholeLimit,
    /// Whoever sleeps until a deadline is told when the lock changes before it.
    NoLostWake,
    /// Nobody is overtaken by one who came later: whoever has a place in the queue before
    /// another begins to look for one becomes owner before it. From this frees
    ///
    /// * a tick that passes while it could have made a call, or while somebody has the mutex: it
    ///   is paused, or kept from the lock by one who is, and passed over, as all behind a
    ///   paused first may be;
    /// * a call that was refused, to either: whoever cannot queue goes on without;
    /// * its end: killed, cancelled, out of patience.
    ///
    /// Who evicts does not queue, and a peer does not either.
    FirstComeFirstServed,
    /// Each file that is opened is closed by a call of its own, once: none is opened where another
    /// is still open, and none is closed that is not.
    OneCloseEach,
    /// No contender reports an error that nothing brought about.
    NoFalseAlarm,
    /// No file of a contender that has ended remains; the queue's empty directory may.
    NothingLeft,
    /// No deadlock and no livelock.
    CanEnd,
    /// Nobody is busy without getting anywhere, nor are sleepers that only wake each other.
    NoHotLoop,
}

impl Property {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 19] = [
        Self::OneOwner,
        Self::OwnFile,
        Self::OneInMutex,
        Self::MutexFallsFree,
        Self::UnderMutex,
        Self::OwnMutex,
        Self::StepsApart,
        Self::WorkApart,
        Self::GenerationsGrow,
        Self::RenewerFresh,
        Self::PatienceKept,
        Self::EndedAfterWholeLimit,
        Self::NoLostWake,
        Self::FirstComeFirstServed,
        Self::OneCloseEach,
        Self::NoFalseAlarm,
        Self::NothingLeft,
        Self::CanEnd,
        Self::NoHotLoop,
    ];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneOwner => "at most one unbroken owner",
            Self::OwnFile => "an unbroken owner's lock file is there and its own",
            Self::OneInMutex => "at most one in the mutex",
            Self::MutexFallsFree => "the mutex is never kept by a holder that is dead",
            Self::UnderMutex => "the lock changes only under the mutex",
            Self::OwnMutex => "whoever leaves the mutex removes only its own",
            Self::StepsApart => "steps of different generations never interleave",
            Self::WorkApart => "the work of two owners never overlaps",
            Self::GenerationsGrow => "generations strictly grow",
            Self::RenewerFresh => "a live owner that renews is never judged stale",
            Self::PatienceKept => "an owner that gets on is never timed out",
            Self::EndedAfterWholeLimit => {
                "an owner is ended only by a waiter that waited its whole limit for it"
            }
            Self::NoLostWake => "nobody sleeps through a change of the lock",
            Self::FirstComeFirstServed => "nobody is overtaken by one who came later",
            Self::OneCloseEach => "each file that is opened is closed once",
            Self::NoFalseAlarm => "no contender fails without a cause",
            Self::NothingLeft => "nothing is left behind once all have ended",
            Self::CanEnd => "each running contender can still reach an end",
            Self::NoHotLoop => "no loop without a sleep or an event",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
