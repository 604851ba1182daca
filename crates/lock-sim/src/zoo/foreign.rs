//! Holders beside ours that keep to the kernel's lock alone.

use lock_core::effect::{Effect, Event, Name, Share, Slot};

use super::{Around, Said, Turn, lines};
use crate::world::{Call, Fate};

/// `flock(1)` on the lock's path: it opens what is there, or makes it; locks it; and unlocks it
/// without a close, of which no watcher is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    share: Share,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    Lock,
    Hold,
    Unlock,
    Close(Fate),
    Through,
}

impl Foreign {
    pub(super) const fn new(share: Share) -> Self {
        Self { share, at: At::Open }
    }

    pub(super) const fn call(&self) -> Option<Call> {
        Some(match self.at {
            At::Open => Call::OpenOrCreate(Slot::Ticket, Name::Lock),
            At::Lock => Call::Core(Effect::Lock(Slot::Ticket, self.share)),
            At::Unlock => Call::Core(Effect::Unlock(Slot::Ticket)),
            At::Close(_) => Call::Core(Effect::Close(Slot::Ticket)),
            At::Hold | At::Through => return None,
        })
    }

    pub(super) const fn step(mut self, event: &Event) -> Turn<Self> {
        let mut said = None;
        self.at = match (self.at, event) {
            (At::Open, Event::Done) => At::Lock,
            (At::Lock, Event::Done) => {
                said = Some(Said::Holds);
                At::Hold
            }
            (At::Open | At::Lock, _) => At::Close(Fate::GaveUp),
            (At::Unlock, _) => At::Close(Fate::Released),
            (At::Close(fate), _) => {
                said = Some(Said::Ends(fate));
                At::Through
            }
            (At::Hold | At::Through, _) => self.at,
        };
        (self, said)
    }

    pub(super) const fn release(mut self) -> Self {
        self.at = At::Unlock;
        self
    }
}

/// A newer fleet: its record says a format that we do not know, with a key of its own and without
/// some of ours. Its ticket is kernel-locked before it becomes the lock, and for as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Newer {
    at: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Create,
    Lock,
    Write,
    Link,
    Hold,
    Unlink,
    Unlock(Fate),
    Through,
}

impl Newer {
    pub(super) const fn new() -> Self {
        Self { at: Stage::Create }
    }

    pub(super) fn call(self, around: &Around<'_>) -> Option<Call> {
        Some(Call::Core(match self.at {
            Stage::Create => Effect::CreateAnonymous(Slot::Ticket),
            Stage::Lock => Effect::Lock(Slot::Ticket, Share::Exclusive),
            Stage::Write => Effect::Write(Slot::Ticket, lines(around) + NEWER_LINES),
            Stage::Link => Effect::Link(Slot::Ticket, Name::Lock),
            Stage::Unlink => Effect::Unlink(Name::Lock),
            Stage::Unlock(_) => Effect::Unlock(Slot::Ticket),
            Stage::Hold | Stage::Through => return None,
        }))
    }

    pub(super) const fn step(mut self, event: &Event) -> Turn<Self> {
        let mut said = None;
        self.at = match (self.at, event) {
            (Stage::Create, Event::Done) => Stage::Lock,
            (Stage::Lock, Event::Done) => Stage::Write,
            (Stage::Write, Event::Done) => Stage::Link,
            (Stage::Link, Event::Done) => {
                said = Some(Said::Owns);
                Stage::Hold
            }
            (Stage::Create | Stage::Lock | Stage::Write | Stage::Link, _) => {
                Stage::Unlock(Fate::GaveUp)
            }
            (Stage::Unlink, _) => Stage::Unlock(Fate::Released),
            (Stage::Unlock(fate), _) => {
                said = Some(Said::Ends(fate));
                Stage::Through
            }
            (Stage::Hold | Stage::Through, _) => self.at,
        };
        (self, said)
    }

    pub(super) const fn release(mut self) -> Self {
        self.at = Stage::Unlink;
        self
    }

    pub(super) const fn releases(self) -> bool {
        matches!(self.at, Stage::Unlink)
    }
}

const NEWER_LINES: &str = "format=3\ngeneration=6\nhorizon=far\n";
