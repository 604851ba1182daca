//! Taking a role: making its name lead to an inode of ours, if the name is free.

use alloc::string::String;

use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Context, Failure, Flow, Medium};
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
    Link { ticket: FileId },
    Create,
    Stat,
    Lock(FileId),
    Look(FileId),
    Write(FileId, String),
    Undo(Result<Claimed, Failure>),
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
    pub(crate) fn new(role: Role, medium: Medium, ticket: Option<FileId>) -> Self {
        let at = ticket.map_or(At::Create, |ticket| At::Link { ticket });
        Self { role, medium, at }
    }

    pub(crate) fn effect(&self) -> Effect {
        let role = self.role;
        match &self.at {
            At::Link { .. } => Effect::Link(Slot::Ticket, role.name()),
            At::Create => Effect::Create(role.slot(), role.name()),
            At::Stat => Effect::Stat(role.slot()),
            At::Lock(_) => Effect::Lock(role.slot(), Share::Exclusive),
            At::Look(_) => Effect::Look(role.name()),
            At::Write(_, text) => Effect::Write(role.slot(), text.clone()),
            At::Undo(_) => Effect::Unlink(role.name()),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Claimed, Failure>> {
        let effect = self.effect();
        let text = || context.record(now).encode(0);
        self.at = match (self.at, event) {
            (At::Link { ticket }, Event::Done) => return done(Claimed::Taken(ticket)),
            (At::Link { .. }, Event::Absent) => return done(Claimed::Unlinkable),
            (At::Link { .. }, Event::Unsupported) => {
                return done(Claimed::Unsupported(Medium::Separate));
            }
            (At::Link { .. } | At::Create, Event::Exists) => return done(Claimed::Exists),
            (At::Create, Event::Done) => At::Stat,
            (At::Create, Event::Absent) => return Flow::Done(Err(Failure::DirectoryGone)),
            (At::Stat, Event::Stat(stat)) if self.medium.has_kernel_locks() => At::Lock(stat.id),
            (At::Stat, Event::Stat(stat)) => At::Write(stat.id, text()),
            (At::Lock(id), Event::Done) => At::Look(id),
            (At::Lock(_), Event::Busy) => return done(Claimed::Reaped),
            (At::Lock(_), Event::Unsupported) => {
                At::Undo(Ok(Claimed::Unsupported(Medium::Unarbitrated)))
            }
            (At::Look(id), event) if event.leads_to(id) => At::Write(id, text()),
            (At::Look(_), Event::Stat(_) | Event::Absent) => return done(Claimed::Reaped),
            (At::Write(id, _), Event::Done) => return done(Claimed::Taken(id)),
            // A guard that could not be filled is removed by its creator.
            (At::Write(..) | At::Stat | At::Lock(_), event) => {
                At::Undo(Err(Failure::of(&effect, event)))
            }
            (At::Undo(outcome), _) => return Flow::Done(outcome),
            (_, event) => return Flow::Done(Err(Failure::of(&effect, event))),
        };
        Flow::Go(self)
    }
}

fn done(claimed: Claimed) -> Flow<Claim, Result<Claimed, Failure>> {
    Flow::Done(Ok(claimed))
}
