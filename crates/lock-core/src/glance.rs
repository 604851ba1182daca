//! An owner's look at its own lock, between two renewals.
//!
//! That the lock's path does not lead to its ticket any more is what being taken over looks like
//! from here. It is only a hint: the owner then renews at once, and so finds out for certain.

use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Flow, Machine};
use crate::snapshot::FileId;
use crate::time::Now;

/// Looks whether the lock is still the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glance {
    ticket: FileId,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Watch,
    Look,
}

/// What a glance shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Glimpse {
    /// Nothing that speaks against our owning the lock.
    Named,
    /// The lock is not our ticket any more.
    Replaced,
}

impl Glance {
    /// Has the ticket watched from now on, and then looks: a takeover in between must not go
    /// unnoticed.
    #[must_use]
    pub const fn first(ticket: FileId) -> Self {
        Self { ticket, at: At::Watch }
    }

    /// Looks again, after the watch has told of a change.
    #[must_use]
    pub const fn again(ticket: FileId) -> Self {
        Self { ticket, at: At::Look }
    }
}

impl Machine for Glance {
    type Output = Glimpse;

    fn effect(&self, _: &Context) -> Effect {
        match self.at {
            At::Watch => Effect::Watch(Slot::Ticket),
            At::Look => Effect::Look(Name::Lock),
        }
    }

    fn step(self, _: &Context, _: Now, event: Event) -> Flow<Self, Glimpse> {
        match (self.at, event) {
            // Where nothing can be watched, the renewals find out in time.
            (At::Watch, _) => Flow::Go(Self { at: At::Look, ..self }),
            (At::Look, event) if event.leads_to(self.ticket) => Flow::Done(Glimpse::Named),
            (At::Look, Event::Stat(_) | Event::Absent) => Flow::Done(Glimpse::Replaced),
            (At::Look, _) => Flow::Done(Glimpse::Named),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::effect::{Errno, Name};
    use crate::testing::disk::Disk;
    use crate::testing::worker::Worker;
    use crate::testing::{owner, preemptible_owner};

    #[rstest]
    #[case::first(Glance::first)]
    #[case::again(Glance::again)]
    fn an_evicted_owner_sees_that_the_lock_is_gone(#[case] glance: fn(FileId) -> Glance) {
        let mut disk = Disk::new();
        let (context, ownership) = owner(&mut disk, "o");
        let glance = glance(ownership.ticket);
        let seen = Worker::new(context.clone(), glance.clone()).run(&mut disk);
        assert_eq!(seen, Glimpse::Named);
        disk.remove(Name::Lock);
        let seen = Worker::new(context.clone(), glance.clone()).run(&mut disk);
        assert_eq!(seen, Glimpse::Replaced);
        preemptible_owner(&mut disk, "other");
        assert_eq!(Worker::new(context, glance).run(&mut disk), Glimpse::Replaced);
    }

    #[test]
    fn a_takeover_between_the_watch_and_the_look_is_seen() {
        let mut disk = Disk::new();
        let (context, ownership) = owner(&mut disk, "o");
        let glance =
            Worker::new(context, Glance::first(ownership.ticket)).until(&mut disk, "Look(Lock)");
        disk.remove(Name::Lock);
        assert_eq!(glance.run(&mut disk), Glimpse::Replaced);
    }

    #[test]
    fn who_cannot_look_leaves_it_to_the_renewal() {
        let mut disk = Disk::new();
        let (context, ownership) = owner(&mut disk, "o");
        let mut glance = Worker::new(context, Glance::first(ownership.ticket));
        glance.feed(&mut disk, Event::Unsupported);
        glance.feed(&mut disk, Event::Failed(Errno(5)));
        assert_eq!(glance.run(&mut disk), Glimpse::Named);
    }
}
