//! Is whoever took this role still alive?

use alloc::boxed::Box;
use core::time::Duration;

use crate::claim::Role;
use crate::effect::{Effect, Event, Share, Slot};
use crate::machine::{Context, Failure, Flow, Medium, Refusal};
use crate::record::{Arbitration, Record};
use crate::snapshot::{FileId, Stat};
use crate::time::Now;

/// Opens another's mutex or reclaim lock and asks the kernel whether its maker lives.
///
/// A file of ours answers for its maker by being kernel-locked. A file without our marker
/// was made by a peer that locks nothing, and its content proves nothing either, because it
/// is empty at first; so it is judged by its mtime. It is not even asked while it is young:
/// without hard links a contender of ours first creates and then locks, and an asker that
/// had the lock in between would cost it the role.
///
/// A mutex is asked in shared mode, because the reclaim lock arbitrates between those who
/// find it dead. A reclaim lock has nothing above it: there the exclusive lock arbitrates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Examine {
    role: Role,
    medium: Medium,
    /// Our own ticket. If the name leads there the role is ours already: an owner that could
    /// not remove its mutex would otherwise wait for itself.
    ours: Option<FileId>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    Stat,
    Read(Stat),
    Lock(Stat, Option<Box<Record>>),
    /// There is nothing to be learned from it.
    Close(Result<Examined, Failure>),
}

/// What became of the maker. In every case but `Gone` the file is left open; after a failure
/// it is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Examined {
    /// The name was removed in the meantime.
    Gone,
    /// It is our own ticket.
    Ours(FileId),
    /// Alive: the inode is kernel-locked.
    Alive(Stat, Option<Box<Record>>),
    /// Unmarked, and too young to be taken for dead before `left` is over.
    Young { stat: Stat, left: Duration },
    /// Dead. The file is left locked by us where there are locks.
    Dead(FileId),
}

impl Examine {
    pub(crate) fn new(role: Role, medium: Medium, ours: Option<FileId>) -> Self {
        Self { role, medium, ours, at: At::Open }
    }

    /// Where the other's file is kept.
    pub(crate) const fn slot(&self) -> Slot {
        match self.role {
            Role::Mutex => Slot::Guard,
            Role::Reclaim => Slot::Rival,
        }
    }

    pub(crate) fn effect(&self) -> Effect {
        let slot = self.slot();
        match &self.at {
            At::Open => Effect::Open { slot, name: self.role.name(), write: false },
            At::Stat => Effect::Stat(slot),
            At::Read(_) => Effect::Read(slot),
            At::Close(_) => Effect::Close(slot),
            At::Lock(..) => Effect::Lock(slot, self.share()),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Examined, Failure>> {
        let effect = self.effect();
        self.at = match (self.at.clone(), event) {
            (At::Open, Event::Absent) => return done(Examined::Gone),
            (At::Open, Event::Done) => At::Stat,
            (At::Open, event) => return Flow::Done(Err(Failure::of(&effect, event))),
            (At::Close(outcome), _) => return Flow::Done(outcome),
            // It lost its last name between our open and our look.
            (At::Stat, Event::Stat(stat)) if stat.links == 0 => At::Close(Ok(Examined::Gone)),
            (At::Stat, Event::Stat(stat)) => match Refusal::of(stat.kind, stat.foreign) {
                Some(reason) => At::Close(Err(Failure::Refused { name: self.role.name(), reason })),
                None if self.ours == Some(stat.id) => return done(Examined::Ours(stat.id)),
                None if !self.medium.has_kernel_locks() => {
                    return done(by_mtime(context, now, *stat));
                }
                None => At::Read(*stat),
            },
            (At::Read(stat), Event::Bytes(bytes)) => At::Lock(stat, ours(bytes)),
            (At::Read(stat), Event::Failed(_)) => At::Lock(stat, None),
            (At::Lock(stat, record), Event::Busy) => return done(Examined::Alive(stat, record)),
            (At::Lock(stat, _), Event::Done) => return done(Examined::Dead(stat.id)),
            (_, event) => At::Close(Err(Failure::of(&effect, event))),
        };
        if let At::Lock(stat, None) = self.at
            && let young @ Examined::Young { .. } = by_mtime(context, now, stat)
        {
            return done(young);
        }
        Flow::Go(self)
    }

    const fn share(&self) -> Share {
        match self.role {
            Role::Mutex => Share::Shared,
            Role::Reclaim => Share::Exclusive,
        }
    }
}

/// Only a record of ours says that its maker has, or had, a kernel lock.
fn ours(bytes: &[u8]) -> Option<Box<Record>> {
    let is_locked = |record: &Record| {
        record.detail.as_ref().is_some_and(|detail| detail.arbitration != Arbitration::Timed)
    };
    Record::parse(bytes).ok().filter(is_locked).map(Box::new)
}

/// A time from the future is as little proof of life as one from long ago.
fn by_mtime(context: &Context, now: Now, stat: Stat) -> Examined {
    let limit = context.policy.stale_after;
    let age = now.wall.since(stat.mtime);
    let ahead = stat.mtime.since(now.wall);
    if age >= limit || ahead > limit {
        return Examined::Dead(stat.id);
    }
    Examined::Young { stat, left: limit - age + ahead }
}

fn done(examined: Examined) -> Flow<Examine, Result<Examined, Failure>> {
    Flow::Done(Ok(examined))
}
