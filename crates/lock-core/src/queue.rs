//! Getting into the queue: first come, first served.
//!
//! Whoever has to wait gives its ticket a number for a name, one larger than all that it
//! sees: `<lock>.queue/<number>`. Numbers are taken outside the mutex, so that those who come
//! are not in the way of the one who goes. This is the doorway of Lamport's bakery: whoever
//! has a number before another begins to look for one is served first.
//!
//! No safety rests on the queue: it decides who tries, and the mutex who may. So whatever
//! fails here, the contender goes on without a number.
//!
//! [`Turn`](crate::turn::Turn) is the wait that follows.

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Flow, Machine, Medium};
use crate::own::Own;
use crate::snapshot::{FileId, Kind};
use crate::ticket::{Fresh, Prepare, Prepared};
use crate::time::Now;

/// A ticket's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// How roles are taken here, as making the ticket has shown.
    pub(crate) medium: Medium,
    pub(crate) number: u64,
    pub(crate) ticket: FileId,
    pub(crate) fresh: Fresh,
}

/// Where a place is, as a list of the queue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    Behind(Before),
    First,
    /// Not in it any more: somebody has removed our ticket's name by hand.
    Missing,
}

/// Who is before a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Before {
    /// How many.
    pub(crate) count: u32,
    /// The very first.
    pub(crate) first: u64,
    /// The one just before it.
    pub(crate) ahead: u64,
}

impl Place {
    pub(crate) fn find(&self, numbers: &[u64]) -> Found {
        if !numbers.contains(&self.number) {
            return Found::Missing;
        }
        let before = || numbers.iter().copied().filter(|number| *number < self.number);
        match (before().min(), before().max()) {
            (Some(first), Some(ahead)) => {
                let count = u32::try_from(before().count()).unwrap_or(u32::MAX);
                Found::Behind(Before { count, first, ahead })
            }
            _ => Found::First,
        }
    }
}

/// Looks whether anybody waits, as a newcomer must before it tries.
///
/// Where nobody has ever waited this is one call. An empty directory stays for those who will
/// wait next, and is removed by the first who finds it long unused and the lock free.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arrive {
    Open,
    Stat,
    List(Use),
    Close(Result<Arrived, Use>),
    LookLock(Use),
    RemoveDirectory,
}

/// When the directory was last used. Somebody may be about to, and must not be made to make it
/// again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Recent,
    LongAgo,
}

/// What a newcomer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arrived {
    /// Nobody has ever waited, or not for long: there is no directory.
    Nobody,
    /// Nobody waits now.
    First,
    /// Somebody waits, or will: this number is free.
    Behind(u64),
    /// What stands at the queue's path is none.
    NoQueue,
}

impl Arrive {
    pub(crate) const fn effect(&self) -> Effect {
        match self {
            Self::Open => Effect::Open { slot: Slot::Queue, name: Name::Queue, write: false },
            Self::Stat => Effect::Stat(Slot::Queue),
            Self::List(_) => Effect::List(Slot::Queue),
            Self::Close(_) => Effect::Close(Slot::Queue),
            Self::LookLock(_) => Effect::Look(Name::Lock),
            Self::RemoveDirectory => Effect::RemoveDirectory(Name::Queue),
        }
    }

    pub(crate) fn step(self, context: &Context, now: Now, event: &Event) -> Flow<Self, Arrived> {
        Flow::Go(match (self, event) {
            (Self::Open, Event::Done) => Self::Stat,
            (Self::Open, Event::Absent) => return Flow::Done(Arrived::Nobody),
            (Self::Open, _) => return Flow::Done(Arrived::NoQueue),
            (Self::Stat, Event::Stat(stat)) if stat.kind == Kind::Directory && !stat.foreign => {
                let unused = now.wall.since(stat.mtime);
                Self::List(match unused < context.policy.stale_after {
                    true => Use::Recent,
                    false => Use::LongAgo,
                })
            }
            (Self::List(used), Event::Listed(numbers)) if numbers.is_empty() => {
                Self::Close(Err(used))
            }
            (Self::List(_), Event::Listed(numbers)) => {
                Self::Close(Ok(Arrived::Behind(after(numbers))))
            }
            // It was removed meanwhile, because nobody was in it.
            (Self::List(_), Event::Absent) => Self::Close(Ok(Arrived::Nobody)),
            (Self::Stat | Self::List(_), _) => Self::Close(Ok(Arrived::NoQueue)),
            (Self::Close(Ok(arrived)), _) => return Flow::Done(arrived),
            (Self::Close(Err(used)), _) => Self::LookLock(used),
            (Self::LookLock(Use::LongAgo), Event::Absent) => Self::RemoveDirectory,
            (Self::LookLock(Use::Recent), Event::Absent) => return Flow::Done(Arrived::First),
            // An owner without waiters: we are the first to wait for it.
            (Self::LookLock(_), _) => return Flow::Done(Arrived::Behind(FIRST_NUMBER)),
            // If it is not empty any more, it stays.
            (Self::RemoveDirectory, _) => return Flow::Done(Arrived::Nobody),
        })
    }
}

/// What the first gets.
pub(crate) const FIRST_NUMBER: u64 = 1;

/// The number after all of these.
fn after(numbers: &[u64]) -> u64 {
    numbers.iter().max().map_or(FIRST_NUMBER, |last| last.saturating_add(1))
}

/// Gives a ticket a number; makes it first, if there is none yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Join {
    own: Own,
    /// The number to try first, if we have looked.
    number: Option<u64>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Prepare(Prepare),
    /// Which number is free? And is it a directory of ours, if another has made it?
    Arrive(Arrive),
    CreateDirectory,
    Link(u64),
    Tidy(Chores, Option<Place>),
}

impl Join {
    /// With a new ticket, and the number that is free.
    pub(crate) fn new(medium: Medium, number: Option<u64>) -> Self {
        let own = Own::none(medium);
        Self { own, number, at: At::Prepare(Prepare::new(medium, own.slot())) }
    }

    /// With a ticket that has no name yet but, at most, the one that it was born with.
    pub(crate) const fn with(own: Own) -> Self {
        Self { own, number: None, at: At::Arrive(Arrive::Open) }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Prepare(prepare) => prepare.effect(context),
            At::Arrive(arrive) => arrive.effect(),
            At::CreateDirectory => Effect::CreateDirectory(Name::Queue),
            At::Link(number) => Effect::Link(Slot::Ticket, Name::Queued(*number)),
            At::Tidy(chores, _) => chores.effect(context),
        }
    }

    /// Ends with the place, or without one.
    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: Event,
    ) -> Flow<Self, Option<Place>> {
        self.at = match (self.at.clone(), event) {
            (At::Prepare(prepare), event) => match prepare.step(context, now, &event) {
                Flow::Go(prepare) => At::Prepare(prepare),
                Flow::Done(Ok(Prepared::Ready(ticket))) => {
                    self.own = self.own.made(ticket, now);
                    self.number.map_or(At::Arrive(Arrive::Open), At::Link)
                }
                Flow::Done(Ok(Prepared::Unsupported(medium))) if medium.has_links() => {
                    self.own.medium = medium;
                    At::Prepare(Prepare::new(medium, self.own.slot()))
                }
                // Whoever enters the mutex meets the same, and can deal with it.
                Flow::Done(_) => return Flow::Done(None),
            },
            (At::Arrive(arrive), event) => match arrive.step(context, now, &event) {
                Flow::Go(arrive) => At::Arrive(arrive),
                Flow::Done(Arrived::Nobody) => At::CreateDirectory,
                Flow::Done(Arrived::First) => At::Link(FIRST_NUMBER),
                Flow::Done(Arrived::Behind(number)) => At::Link(number),
                Flow::Done(Arrived::NoQueue) => return self.give_up(),
            },
            (At::CreateDirectory, Event::Done) => At::Link(FIRST_NUMBER),
            (At::CreateDirectory, Event::Exists) => At::Arrive(Arrive::Open),
            (At::Link(number), Event::Done) => {
                let (place, chores) = (self.own.place(number), self.own.drop_birth_name());
                return self.tidy(chores, place);
            }
            // Someone was faster: the one behind it, then. Behind the last there is none.
            (At::Link(number), Event::Exists) => match number.checked_add(1) {
                Some(next) => At::Link(next),
                None => return self.give_up(),
            },
            // The directory was removed, because nobody was in it.
            (At::Link(_), Event::Absent) => At::CreateDirectory,
            (At::Link(_) | At::CreateDirectory, _) => return self.give_up(),
            (At::Tidy(chores, place), event) => match chores.step(context, now, event) {
                Flow::Go(chores) => At::Tidy(chores, place),
                Flow::Done(_) => return Flow::Done(place),
            },
        };
        Flow::Go(self)
    }

    fn give_up(mut self) -> Flow<Self, Option<Place>> {
        let chores = self.own.drop();
        self.tidy(chores, None)
    }

    fn tidy(mut self, chores: Chores, place: Option<Place>) -> Flow<Self, Option<Place>> {
        if chores.is_empty() {
            return Flow::Done(place);
        }
        self.at = At::Tidy(chores, place);
        Flow::Go(self)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
