//! The moment of becoming owner: the record with its generation, then the name.

use alloc::boxed::Box;
use alloc::string::String;

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::inside::Inside;
use crate::machine::{Context, Failure, Flow, Machine, Medium, Ownership, Takeover};
use crate::record::{Generation, Record};
use crate::snapshot::FileId;
use crate::time::Now;

/// Makes `<lock>` lead to our ticket. Runs under the mutex.
///
/// A free name is linked, which fails if the name exists after all. An old one is replaced:
/// the ticket gets a temporary name and that is renamed over it, so that nobody ever sees
/// the lock absent, empty or half written, and a full disk costs the old record nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Publish {
    medium: Medium,
    replaces: bool,
    record: Box<Record>,
    text: String,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Write(FileId),
    LinkLock(FileId),
    LinkTakeover(FileId),
    /// The temporary name is taken: a dead breaker's, whose mutex a peer has reaped. We are
    /// in the mutex, so nobody else has a use for it.
    ClearTakeover(Option<FileId>),
    Create,
    Lock,
    Stat,
    Rename(FileId),
    /// A rename goes by names, and moves whatever has this one: who follows no rule may have put
    /// another file there since we did. No call replaces a name by an open file, so look.
    Confirm(FileId),
    /// It was another file: ours has no part in the lock.
    Drop(Chores),
    Undo(Chores, Failure),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Published {
    /// The lock is ours.
    Owned(Ownership),
    /// The name that was free is not, or what was put there is not ours: it has to be looked at
    /// again. Nothing is open any more that was not before the look.
    Taken,
}

impl Publish {
    pub(crate) fn new(
        context: &Context,
        now: Now,
        inside: &Inside,
        generation: Generation,
        replaced: Option<&Takeover>,
    ) -> Self {
        let replaces = replaced.is_some();
        let after = replaced.and_then(|takeover| takeover.after);
        let record = context.record_on(inside.medium, now).owning(generation, now);
        let record = Box::new(record.replacing(after));
        let text = record.encode(0);
        let at = match inside.ticket {
            Some(ticket) if inside.medium.has_links() => At::Write(ticket),
            _ => At::Create,
        };
        Self { medium: inside.medium, replaces, record, text, at }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Write(_) => Effect::Write(Slot::Ticket, self.text.clone()),
            At::LinkLock(_) => Effect::Link(Slot::Ticket, Name::Lock),
            At::LinkTakeover(_) => Effect::Link(Slot::Ticket, Name::Takeover),
            At::ClearTakeover(_) => Effect::Unlink(Name::Takeover),
            At::Create => Effect::Create(Slot::Ticket, Name::Takeover),
            At::Lock => Effect::Lock(Slot::Ticket, Share::Exclusive),
            At::Stat => Effect::Stat(Slot::Ticket),
            At::Rename(_) => Effect::Rename { from: Name::Takeover, to: Name::Lock },
            At::Confirm(_) => Effect::Look(Name::Lock),
            At::Drop(chores) | At::Undo(chores, _) => chores.effect(context),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: Event,
    ) -> Flow<Self, Result<Published, Failure>> {
        let failed = |event| Failure::of(&self.effect(context), event);
        self.at = match (&self.at, &event) {
            (At::Write(id), Event::Done) if !self.medium.has_links() => At::Rename(*id),
            (At::Write(id), Event::Done) if self.replaces => At::LinkTakeover(*id),
            (At::Write(id), Event::Done) => At::LinkLock(*id),
            (At::LinkLock(_), Event::Exists) => return Flow::Done(Ok(Published::Taken)),
            (At::LinkTakeover(id), Event::Done) => At::Rename(*id),
            (At::LinkTakeover(id), Event::Exists) => At::ClearTakeover(Some(*id)),
            (At::Create, Event::Exists) => At::ClearTakeover(None),
            (At::ClearTakeover(Some(id)), Event::Done | Event::Absent) => At::LinkTakeover(*id),
            (At::ClearTakeover(None), Event::Done | Event::Absent) => At::Create,
            (At::Create, Event::Done) if self.medium.has_kernel_locks() => At::Lock,
            (At::Create | At::Lock, Event::Done) => At::Stat,
            (At::Stat, Event::Stat(stat)) => At::Write(stat.id),
            (At::LinkLock(ticket), Event::Done) => {
                let ticket = *ticket;
                return Flow::Done(Ok(self.owned(ticket)));
            }
            (At::Rename(ticket), Event::Done) => At::Confirm(*ticket),
            (At::Confirm(ticket), event) if event.leads_to(*ticket) => {
                let ticket = *ticket;
                return Flow::Done(Ok(self.owned(ticket)));
            }
            (At::Confirm(_), Event::Stat(_) | Event::Absent) => {
                let chores = self.drop();
                match chores.is_empty() {
                    true => return Flow::Done(Ok(Published::Taken)),
                    false => At::Drop(chores),
                }
            }
            (At::Drop(chores), event) => match chores.clone().step(context, now, event.clone()) {
                Flow::Go(chores) => At::Drop(chores),
                // What cannot be let go of harms nobody: it has no name.
                Flow::Done(_) => return Flow::Done(Ok(Published::Taken)),
            },
            (At::Undo(chores, failure), event) => {
                match chores.clone().step(context, now, event.clone()) {
                    Flow::Go(chores) => At::Undo(chores, failure.clone()),
                    Flow::Done(_) => return Flow::Done(Err(failure.clone())),
                }
            }
            // It may be ours, and must not be left so by one who does not know.
            (At::Confirm(ticket), event) => {
                At::Undo(Chores::new().vacate(Name::Lock, *ticket), failed(event))
            }
            (At::Rename(_) | At::Lock | At::Stat, event) => undo(failed(event)),
            (At::Write(_), event) if !self.medium.has_links() => undo(failed(event)),
            (_, event) => return Flow::Done(Err(failed(event))),
        };
        Flow::Go(self)
    }

    fn owned(self, ticket: FileId) -> Published {
        let Self { medium, record, text, .. } = self;
        Published::Owned(Ownership { ticket, record, text, medium, shared: false })
    }

    /// Lets go of what the next attempt opens anew: the file under judgement, and a ticket that
    /// had no name but the one it has lost.
    fn drop(&self) -> Chores {
        let judged = match self.replaces {
            true => Chores::new().close(Slot::Judged),
            false => Chores::new(),
        };
        match self.medium.has_links() {
            true => judged,
            false => judged.let_go(Slot::Ticket, self.medium),
        }
    }
}

/// The temporary name must not outlive a failed takeover. We are in the mutex, so it is ours.
fn undo(failure: Failure) -> At {
    At::Undo(Chores::new().remove(Name::Takeover), failure)
}
