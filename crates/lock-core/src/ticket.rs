//! Making a ticket: the one inode that stands for a contender in every role.

use alloc::string::String;

use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Context, Failure, Flow, Medium};
use crate::snapshot::FileId;
use crate::time::Now;

/// Creates a file without a name, locks it, writes its record: only then is it given names,
/// so nobody ever sees a guard that is empty, half written or not yet locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prepare {
    medium: Medium,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Create,
    Lock,
    Stat,
    Write(FileId, String),
    /// The ticket was born with a name and must not keep it.
    Undo(Result<Prepared, Failure>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prepared {
    /// The ticket's inode.
    Ready(FileId),
    /// Not this way; try the next medium.
    Unsupported(Medium),
}

impl Prepare {
    pub(crate) fn new(medium: Medium) -> Self {
        Self {
            medium,
            at: At::Create,
        }
    }

    pub(crate) fn effect(&self) -> Effect {
        match &self.at {
            At::Create if self.medium == Medium::Anonymous => Effect::CreateAnonymous(Slot::Ticket),
            At::Create => Effect::Create(Slot::Ticket, Name::Ticket),
            At::Lock => Effect::Lock(Slot::Ticket, Share::Exclusive),
            At::Stat => Effect::Stat(Slot::Ticket),
            At::Write(_, text) => Effect::Write(Slot::Ticket, text.clone()),
            At::Undo(_) => Effect::Unlink(Name::Ticket),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Prepared, Failure>> {
        let outcome = match (&self.at, event) {
            (At::Create, Event::Done) => return self.go(At::Lock),
            (At::Create, Event::Unsupported) => return done(Prepared::Unsupported(Medium::Linked)),
            (At::Create, Event::Absent) => return Flow::Done(Err(Failure::DirectoryGone)),
            (At::Create, event) => return Flow::Done(Err(Failure::of(&self.effect(), event))),
            (At::Lock, Event::Done) => return self.go(At::Stat),
            (At::Lock, Event::Unsupported) => Ok(Prepared::Unsupported(Medium::Unarbitrated)),
            (At::Stat, Event::Stat(stat)) => {
                return self.go(At::Write(stat.id, context.record(now).encode(0)));
            }
            (At::Write(id, _), Event::Done) => return done(Prepared::Ready(*id)),
            (At::Undo(outcome), _) => return Flow::Done(outcome.clone()),
            (_, event) => Err(Failure::of(&self.effect(), event)),
        };
        if self.medium == Medium::Anonymous {
            return Flow::Done(outcome);
        }
        self.at = At::Undo(outcome);
        Flow::Go(self)
    }

    fn go(mut self, at: At) -> Flow<Self, Result<Prepared, Failure>> {
        self.at = at;
        Flow::Go(self)
    }
}

fn done(prepared: Prepared) -> Flow<Prepare, Result<Prepared, Failure>> {
    Flow::Done(Ok(prepared))
}
