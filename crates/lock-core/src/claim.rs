//! Taking a role: making its name lead to an inode of ours, if the name is free.

use alloc::string::String;

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::own::Linkable;
use crate::snapshot::FileId;
use crate::time::Now;

/// One attempt at a role.
///
/// With hard links this is one call that nobody can come between: `linkat` fails if the
/// name exists, and that *is* the test-and-set. Without them the file is created, locked
/// and written in three calls, and a contender that is held up in between may find that it
/// was taken for dead and reaped; so it looks once more after locking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) role: Role,
    pub(crate) medium: Medium,
    at: At,
}

/// A role that several processes may want at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Mutex,
    Reclaim,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Link(Linkable),
    Create,
    Stat,
    Lock(FileId),
    /// The kernel has refused its lock, not because another has it. Who took the file for dead
    /// meanwhile relies on its name's staying, so ours goes only with the lock: ask once more.
    LockToUndo(FileId, Failure),
    Look(FileId),
    Write(FileId, String),
    /// Not this time: our own file goes, if there is one.
    Undo(Chores, Result<Claimed, Failure>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Claimed {
    /// We have the role; the name leads to this inode of ours.
    Taken(FileId),
    /// Another has it.
    Exists,
    /// Our file was reaped before we had locked it.
    Reaped,
    /// The ticket has no name left, or its directory is gone: it cannot be linked again.
    Unlinkable,
    /// Roles cannot be taken this way here.
    Unsupported(Medium),
}

impl Role {
    pub(crate) const fn name(self) -> Name {
        match self {
            Self::Mutex => Name::Mutex,
            Self::Reclaim => Name::Reclaim,
        }
    }

    /// Where the role's own file is kept on a medium without links.
    pub(crate) const fn slot(self) -> Slot {
        match self {
            Self::Mutex => Slot::Mutex,
            Self::Reclaim => Slot::Reclaim,
        }
    }
}

impl Claim {
    /// `ticket` is the inode to link; without links there is none yet.
    pub(crate) fn new(role: Role, medium: Medium, ticket: Option<Linkable>) -> Self {
        let at = ticket.map_or(At::Create, At::Link);
        Self { role, medium, at }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        let role = self.role;
        match &self.at {
            At::Link(ticket) => Effect::Link(ticket.slot, role.name()),
            At::Create => Effect::Create(role.slot(), role.name()),
            At::Stat => Effect::Stat(role.slot()),
            At::Lock(_) | At::LockToUndo(..) => Effect::Lock(role.slot(), Share::Exclusive),
            At::Look(_) => Effect::Look(role.name()),
            At::Write(_, text) => Effect::Write(role.slot(), text.clone()),
            At::Undo(chores, _) => chores.effect(context),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Claimed, Failure>> {
        let failed = |event| Failure::of(&self.effect(context), event);
        let text = || context.record_on(self.medium, now).encode(0);
        self.at = match (&self.at, event) {
            (At::Link(ticket), Event::Done) => return done(Claimed::Taken(ticket.id)),
            (At::Link(_), Event::Absent) => return done(Claimed::Unlinkable),
            (At::Link(_), Event::Unsupported) => {
                return done(Claimed::Unsupported(Medium::Separate));
            }
            (At::Link(_) | At::Create, Event::Exists) => return done(Claimed::Exists),
            (At::Create, Event::Done) => At::Stat,
            (At::Create, Event::Absent) => return Flow::Done(Err(Failure::DirectoryGone)),
            (At::Stat, Event::Stat(stat)) if self.medium.has_kernel_locks() => At::Lock(stat.id),
            (At::Stat, Event::Stat(stat)) => At::Write(stat.id, text()),
            // Without the inode's identity it cannot be removed safely; empty and unlocked,
            // it will be taken for dead in time.
            (At::Stat, event) => At::Undo(self.close(), Err(failed(event))),
            (At::Lock(id), Event::Done) => At::Look(*id),
            (At::Lock(_), Event::Busy) => At::Undo(self.close(), Ok(Claimed::Reaped)),
            (At::Lock(id), Event::Unsupported) => {
                let unsupported = Claimed::Unsupported(Medium::Unarbitrated);
                At::Undo(self.withdraw(*id), Ok(unsupported))
            }
            (At::Look(id), event) if event.leads_to(*id) => At::Write(*id, text()),
            (At::Look(_), Event::Stat(_) | Event::Absent) => {
                At::Undo(self.unlock(), Ok(Claimed::Reaped))
            }
            (At::Write(id, _), Event::Done) => return done(Claimed::Taken(*id)),
            (At::Lock(id), event) => At::LockToUndo(*id, failed(event)),
            (At::LockToUndo(id, failure), Event::Done) => {
                At::Undo(self.withdraw(*id), Err(failure.clone()))
            }
            (At::LockToUndo(_, failure), _) => At::Undo(self.close(), Err(failure.clone())),
            // A guard that could not be filled is removed by its creator.
            (At::Look(id) | At::Write(id, _), event) => {
                At::Undo(self.withdraw(*id), Err(failed(event)))
            }
            (At::Undo(chores, outcome), event) => {
                match chores.clone().step(context, now, event.clone()) {
                    Flow::Go(chores) => At::Undo(chores, outcome.clone()),
                    Flow::Done(_) => return Flow::Done(outcome.clone()),
                }
            }
            (_, event) => return Flow::Done(Err(failed(event))),
        };
        Flow::Go(self)
    }

    fn close(&self) -> Chores {
        Chores::new().close(self.role.slot())
    }

    fn unlock(&self) -> Chores {
        Chores::new().let_go(self.role.slot(), self.medium)
    }

    fn withdraw(&self, id: FileId) -> Chores {
        Chores::new().vacate(self.role.name(), id).then(self.unlock())
    }
}

fn done(claimed: Claimed) -> Flow<Claim, Result<Claimed, Failure>> {
    Flow::Done(Ok(claimed))
}

#[cfg(test)]
#[path = "medium_tests.rs"]
mod tests;
