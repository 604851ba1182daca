//! Is whoever took this role still alive?

use core::time::Duration;

use crate::claim::Role;
use crate::effect::{Effect, Event, Share, Slot};
use crate::machine::{Context, Failure, Flow, Medium, Refusal};
use crate::record::Record;
use crate::snapshot::{FileId, Stat};
use crate::time::Now;

/// Opens another's mutex or reclaim lock and asks the kernel whether its maker lives.
///
/// A file of ours answers for its maker by being kernel-locked. A file without our marker
/// was made by a peer that locks nothing, and its content proves nothing either, because it
/// is empty at first; so it is judged by its mtime.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Examine {
    role: Role,
    medium: Medium,
    /// An inode that we have kernel-locked already. A reaper that died between taking the
    /// mutex and dropping the reclaim lock leaves one inode under both names, and a second
    /// `flock` through another descriptor would make us wait for ourselves.
    twin: Option<FileId>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    Stat,
    Lock(Stat),
    Read(Stat),
}

/// What became of the maker. In every case but `Gone` the file is left open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Examined {
    /// The name was removed in the meantime.
    Gone,
    /// Alive: the inode is kernel-locked.
    Alive(Stat),
    /// No kernel lock, but too young to be taken for dead before `left` is over. The file
    /// is left locked by us where there are locks.
    Young { stat: Stat, left: Duration },
    /// Dead. The file is left locked by us where there are locks.
    Dead(FileId),
}

impl Examine {
    pub(crate) fn new(role: Role, medium: Medium, twin: Option<FileId>) -> Self {
        Self {
            role,
            medium,
            twin,
            at: At::Open,
        }
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
        match self.at {
            At::Open => Effect::Open {
                slot,
                name: self.role.name(),
                write: false,
            },
            At::Stat => Effect::Stat(slot),
            At::Lock(_) => Effect::Lock(slot, Share::Exclusive),
            At::Read(_) => Effect::Read(slot),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Examined, Failure>> {
        self.at = match (&self.at, event) {
            (At::Open, Event::Absent) => return done(Examined::Gone),
            (At::Open, Event::Done) => At::Stat,
            (At::Stat, Event::Stat(stat)) => match self.seen(*stat) {
                Ok(Some(at)) => at,
                Ok(None) => return done(self.by_mtime(context, now, stat)),
                Err(failure) => return Flow::Done(Err(failure)),
            },
            (At::Lock(stat), Event::Busy) => return done(Examined::Alive(*stat)),
            (At::Lock(stat), Event::Done) => At::Read(*stat),
            (At::Read(stat), Event::Bytes(bytes)) => {
                let marked = Record::parse(bytes).is_ok_and(|record| record.detail.is_some());
                return done(if marked {
                    Examined::Dead(stat.id)
                } else {
                    self.by_mtime(context, now, stat)
                });
            }
            (At::Read(stat), Event::Failed(_)) => return done(self.by_mtime(context, now, stat)),
            (_, event) => return Flow::Done(Err(Failure::of(&self.effect(), event))),
        };
        Flow::Go(self)
    }

    /// What to ask next of a file of this kind; nothing where only its age can tell.
    fn seen(&self, stat: Stat) -> Result<Option<At>, Failure> {
        if let Some(reason) = Refusal::of(stat.kind, stat.foreign) {
            return Err(Failure::Refused {
                name: self.role.name(),
                reason,
            });
        }
        if self.twin == Some(stat.id) {
            return Ok(Some(At::Read(stat)));
        }
        Ok(self.medium.has_kernel_locks().then_some(At::Lock(stat)))
    }

    /// A time from the future is as little proof of life as one from long ago.
    fn by_mtime(&self, context: &Context, now: Now, stat: &Stat) -> Examined {
        let limit = context.policy.stale_after;
        let age = now.wall.since(stat.mtime);
        let ahead = stat.mtime.since(now.wall);
        if age >= limit || ahead > limit {
            return Examined::Dead(stat.id);
        }
        Examined::Young {
            stat: *stat,
            left: limit - age + ahead,
        }
    }
}

fn done(examined: Examined) -> Flow<Examine, Result<Examined, Failure>> {
    Flow::Done(Ok(examined))
}
