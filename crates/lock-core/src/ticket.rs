//! Making a ticket: the one inode that stands for a contender in every role, and for an owner
//! whose ticket is shared in the mutex alone.

use alloc::string::String;

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::record::Record;
use crate::snapshot::FileId;
use crate::time::{Boot, Now};

/// Creates a file without a name, locks it, writes its record: only then is it given names,
/// so nobody ever sees a guard that is empty, half written or not yet locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prepare {
    medium: Medium,
    slot: Slot,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Create,
    Lock,
    Stat,
    Write(FileId, String),
    /// It did not work out: the file goes, with the name that it may have been born with.
    Undo(Chores, Result<Prepared, Failure>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prepared {
    /// The ticket's inode.
    Ready(FileId),
    /// Not this way; try the next medium.
    Unsupported(Medium),
}

/// When a ticket was last written or touched. A peer judges our mutex by its mtime, so a
/// ticket must not look old when it becomes the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fresh(Boot);

impl Fresh {
    pub(crate) const NEVER: Self = Self(Boot(0));

    pub(crate) const fn since(now: Now) -> Self {
        Self(now.boot)
    }

    /// An owner's ticket was written when it renewed.
    pub(crate) fn of(record: &Record) -> Self {
        record.detail.as_ref().map_or(Self::NEVER, |detail| Self(detail.renewed))
    }

    /// Whether it is to be touched now, which is then done. Not more often than a renewal
    /// would write it: a touch wakes whoever watches, and two waiters that still watch each
    /// other's tickets would give each other no rest.
    pub(crate) fn wants_touch(&mut self, context: &Context, now: Now) -> bool {
        let wanted = now.boot.since(self.0) >= context.policy.renew_every;
        if wanted {
            *self = Self::since(now);
        }
        wanted
    }
}

impl Prepare {
    pub(crate) fn new(medium: Medium, slot: Slot) -> Self {
        Self { medium, slot, at: At::Create }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        let slot = self.slot;
        match &self.at {
            At::Create if self.medium == Medium::Anonymous => Effect::CreateAnonymous(slot),
            At::Create => Effect::Create(slot, Name::Ticket),
            At::Lock => Effect::Lock(slot, Share::Exclusive),
            At::Stat => Effect::Stat(slot),
            At::Write(_, text) => Effect::Write(slot, text.clone()),
            At::Undo(chores, _) => chores.effect(context),
        }
    }

    pub(crate) fn step(
        self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Prepared, Failure>> {
        let failed = |event| Failure::of(&self.effect(context), event);
        match (&self.at, event) {
            (At::Create, Event::Done) => self.go(At::Lock),
            (At::Create, Event::Unsupported) => done(Prepared::Unsupported(Medium::Linked)),
            (At::Create, Event::Absent) => Flow::Done(Err(Failure::DirectoryGone)),
            (At::Create, event) => Flow::Done(Err(failed(event))),
            (At::Lock, Event::Done) => self.go(At::Stat),
            (At::Lock, event) => {
                let outcome = match event {
                    Event::Unsupported => Ok(Prepared::Unsupported(Medium::Unarbitrated)),
                    event => Err(failed(event)),
                };
                let chores = self.forget_name().close(self.slot);
                self.go(At::Undo(chores, outcome))
            }
            (At::Stat, Event::Stat(stat)) => {
                let text = context.record_on(self.medium, now).encode(0);
                self.go(At::Write(stat.id, text))
            }
            (At::Write(id, _), Event::Done) => done(Prepared::Ready(*id)),
            // A full disk must not keep an owner from its release. The kernel lock says all that
            // counts; the record in a mutex only tells people who is in it.
            (At::Write(id, _), Event::Failed(_)) if self.slot == Slot::Mutex => {
                done(Prepared::Ready(*id))
            }
            (At::Stat | At::Write(..), event) => {
                let chores = self.forget_name().let_go(self.slot, self.medium);
                let failure = failed(event);
                self.go(At::Undo(chores, Err(failure)))
            }
            (At::Undo(chores, outcome), event) => {
                let outcome = outcome.clone();
                match chores.clone().step(context, now, event.clone()) {
                    Flow::Go(chores) => self.go(At::Undo(chores, outcome)),
                    Flow::Done(_) => Flow::Done(outcome),
                }
            }
        }
    }

    /// Nobody else has a use for a name with our token in it.
    fn forget_name(&self) -> Chores {
        match self.medium {
            Medium::Anonymous => Chores::new(),
            _ => Chores::new().remove(Name::Ticket),
        }
    }

    fn go(mut self, at: At) -> Flow<Self, Result<Prepared, Failure>> {
        self.at = at;
        Flow::Go(self)
    }
}

fn done(prepared: Prepared) -> Flow<Prepare, Result<Prepared, Failure>> {
    Flow::Done(Ok(prepared))
}
