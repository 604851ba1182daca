//! What an owner does: renew, take a fenced step, release.
//!
//! All three enter the mutex and prove there that the lock is still ours: its path leads to
//! our inode, and the inode says our token. (A peer overwrites in place: same inode, other
//! token.) An owner that was taken over usually does not get that far: its ticket has lost
//! its last name, and the kernel refuses to link such an inode again.

use alloc::boxed::Box;
use alloc::string::String;
use core::mem;
use core::time::Duration;

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Slot};
use crate::entry::Entry;
use crate::inside::Inside;
use crate::look::{Look, Looked};
use crate::machine::{Context, Failure, Flow, Machine, Ownership};
use crate::mutex::Enter;
use crate::own::Own;
use crate::record::Record;
use crate::stall::Patience;
use crate::time::Now;

/// One act of an owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    ownership: Ownership,
    intent: Intent,
    /// Apart, because a machine is moved several times with each call that it makes.
    at: Box<At>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Intent {
    Renew,
    Step(String, Duration),
    Release,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// The stamp is fresh.
    Renewed(Ownership),
    /// We are in the mutex, and the lock is ours. Do what the step is for, keep it short,
    /// then run `leave`.
    Stepping {
        /// With the step's progress.
        ownership: Ownership,
        /// The way out of the mutex.
        leave: Chores,
    },
    /// The lock is gone from the disk, and so is our ticket.
    Released,
    /// The lock is another's, or nobody's; nothing was changed.
    Lost {
        /// Who has it now, if anybody.
        to: Option<Box<Record>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Enter(Enter),
    LookPath(Inside),
    ReadToken(Inside),
    Write {
        inside: Inside,
        record: Box<Record>,
        text: String,
    },
    Unlink(Inside),
    Leave {
        chores: Chores,
        then: Then,
    },
    /// It is not ours any more: whose is it?
    LookWhose(Look),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Done(Result<Held, Failure>),
    Lost,
}

type Outcome = Flow<Hold, Result<Held, Failure>>;

impl Hold {
    /// Refreshes the stamp.
    #[must_use]
    pub fn renew(context: &Context, now: Now, ownership: Ownership) -> Self {
        Self::new(context, now, ownership, Intent::Renew, context.policy.mutex_patience)
    }

    /// Proves that the lock is ours, records progress, and stays in the mutex. The step may be
    /// followed by so long a quiet before the next one.
    #[must_use]
    pub fn step(
        context: &Context,
        now: Now,
        ownership: Ownership,
        label: &str,
        quiet: Duration,
    ) -> Self {
        let patience = context.policy.mutex_patience;
        Self::new(context, now, ownership, Intent::Step(label.into(), quiet), patience)
    }

    /// Gives the lock up.
    #[must_use]
    pub fn release(context: &Context, now: Now, ownership: Ownership) -> Self {
        Self::release_within(context, now, ownership, context.policy.mutex_patience)
    }

    /// Gives the lock up, waiting no longer than `patience` for a mutex whose holder does not
    /// let go.
    #[must_use]
    pub fn release_within(
        context: &Context,
        now: Now,
        ownership: Ownership,
        patience: Duration,
    ) -> Self {
        Self::new(context, now, ownership, Intent::Release, patience)
    }

    /// Whether others may have inherited the ticket's descriptor.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.ownership.shared
    }

    fn new(
        context: &Context,
        now: Now,
        ownership: Ownership,
        intent: Intent,
        patience: Duration,
    ) -> Self {
        let patience = Patience::PerHolder(patience);
        let enter = Enter::with(Own::owning(&ownership), context, now, patience);
        Self { ownership, intent, at: Box::new(At::Enter(enter)) }
    }

    /// The lock is ours, and we are in the mutex.
    fn proved(self, now: Now, inside: Inside) -> Outcome {
        let record = match &self.intent {
            Intent::Release => return self.go(At::Unlink(inside)),
            Intent::Renew => self.ownership.record.clone().renewed(now),
            Intent::Step(label, quiet) => {
                self.ownership.record.clone().advanced(label, *quiet, now)
            }
        };
        let record = Box::new(record);
        let text = record.encode(self.ownership.text.len());
        self.go(At::Write { inside, record, text })
    }

    fn written(mut self, inside: &Inside, record: Box<Record>, text: String) -> Outcome {
        (self.ownership.record, self.ownership.text) = (record, text);
        let ownership = self.ownership.clone();
        match self.intent {
            Intent::Step(..) => Flow::Done(Ok(Held::Stepping { ownership, leave: inside.leave() })),
            Intent::Renew | Intent::Release => {
                self.leave(inside.leave(), Then::Done(Ok(Held::Renewed(ownership))))
            }
        }
    }

    fn leave(self, chores: Chores, then: Then) -> Outcome {
        self.go(At::Leave { chores, then })
    }

    fn left(self, outcome: Result<(), Failure>, then: Then) -> Outcome {
        match (outcome, then) {
            (_, Then::Done(Err(failure))) | (Err(failure), _) => Flow::Done(Err(failure)),
            (Ok(()), Then::Done(held)) => Flow::Done(held),
            (Ok(()), Then::Lost) => self.look_whose(),
        }
    }

    fn look_whose(self) -> Outcome {
        let look = self.whose();
        self.go(At::LookWhose(look))
    }

    /// Takes the state out, for a step that puts the next one there.
    fn take(&mut self) -> At {
        let other = At::LookWhose(self.whose());
        mem::replace(&mut *self.at, other)
    }

    /// Who has it now? Not through [`Slot::Judged`], where what we had waited for may be open.
    const fn whose(&self) -> Look {
        Look::through(Slot::Guard, self.ownership.medium)
    }

    fn go(mut self, at: At) -> Outcome {
        *self.at = at;
        Flow::Go(self)
    }
}

impl At {
    fn effect(&self, context: &Context) -> Effect {
        match self {
            Self::Enter(enter) => enter.effect(context),
            Self::LookPath(_) => Effect::Look(Name::Lock),
            Self::ReadToken(_) => Effect::Read(Slot::Ticket),
            Self::Write { text, .. } => Effect::Write(Slot::Ticket, text.clone()),
            Self::Unlink(_) => Effect::Unlink(Name::Lock),
            Self::Leave { chores, .. } => chores.effect(context),
            Self::LookWhose(look) => look.effect(),
        }
    }
}

impl Machine for Hold {
    type Output = Result<Held, Failure>;

    fn effect(&self, context: &Context) -> Effect {
        self.at.effect(context)
    }

    fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        match (self.take(), event) {
            (At::Enter(enter), event) => match enter.step(context, now, event) {
                Flow::Go(enter) => self.go(At::Enter(enter)),
                Flow::Done(Ok(Entry::Entered(inside))) => self.go(At::LookPath(inside)),
                Flow::Done(Ok(Entry::Crowded(_) | Entry::Stuck { .. } | Entry::Lost)) => {
                    self.look_whose()
                }
                Flow::Done(Err(failure)) => Flow::Done(Err(failure)),
            },
            (At::LookPath(inside), event) if event.leads_to(self.ownership.ticket) => {
                self.go(At::ReadToken(inside))
            }
            (At::ReadToken(inside), Event::Bytes(bytes)) if self.ownership.is_said_by(&bytes) => {
                self.proved(now, inside)
            }
            (At::LookPath(inside), Event::Stat(_) | Event::Absent)
            | (At::ReadToken(inside), Event::Bytes(_))
            | (At::Unlink(inside), Event::Absent) => self.leave(inside.leave(), Then::Lost),
            (At::Write { inside, record, text }, Event::Done) => {
                self.written(&inside, record, text)
            }
            (At::Unlink(inside), Event::Done) => {
                let chores = inside.leave().let_go(Slot::Ticket, inside.medium);
                self.leave(chores, Then::Done(Ok(Held::Released)))
            }
            (
                at @ (At::LookPath(inside)
                | At::ReadToken(inside)
                | At::Write { inside, .. }
                | At::Unlink(inside)),
                event,
            ) => {
                let failure = Failure::of(&at.effect(context), &event);
                self.leave(inside.leave(), Then::Done(Err(failure)))
            }
            (At::Leave { chores, then }, event) => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Leave { chores, then }),
                Flow::Done(outcome) => self.left(outcome, then),
            },
            (At::LookWhose(look), event) => match look.step(context, now, &event) {
                Flow::Go(look) => self.go(At::LookWhose(look)),
                Flow::Done(Ok(Looked { snapshot, .. })) => {
                    Flow::Done(Ok(Held::Lost { to: snapshot.record().cloned().map(Box::new) }))
                }
                // It is lost either way; whose it is only serves the message.
                Flow::Done(Err(_)) => Flow::Done(Ok(Held::Lost { to: None })),
            },
        }
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "shared_tests.rs"]
mod shared_tests;
