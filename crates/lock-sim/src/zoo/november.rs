//! The rules of 27 November: one inode, kernel-locked by its maker, is ticket, mutex and lock;
//! a living owner is replaced when its stamp is old or the waiter's limit is over. What an owner
//! starts, it starts in the mutex, and that inherits the inode.
//!
//! A dead holder's mutex stays here; how it was cleared is not what this subject is about.

use lock_core::effect::{Effect, Event, Name, Share, Signal, Slot};
use lock_core::machine::Reason;
use lock_core::policy::OnTimeout;
use lock_core::time::Now;
use lock_core::verdict::Stale;

use super::{Around, Said, Turn, is_old_text, lines, nap, token};
use crate::world::{Call, Fate};

/// One contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct November {
    limit: Limit,
    /// Which owner it waits for, and since when; its token is empty before the first.
    owner: String,
    since: u64,
    at: At,
}

/// What a waiter's limit counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Its first look at the present owner.
    PerOwner,
    /// Its own start.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Create,
    Lock,
    Fill,
    Enter,
    Open,
    Ask,
    Read,
    Link,
    LinkAside,
    Replace,
    /// It is owner, and starts its command in the mutex.
    Start,
    Leave(After),
    Signal(u32),
    Drop,
    Nap,
    Hold,
    EnterAgain,
    NapAgain,
    Remove,
    Through,
}

/// What follows the way out of the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    Wait,
    Hold,
    End,
}

const SILENT: Reason = Reason::Stale(Stale::Silent);

impl November {
    pub(super) const fn new(limit: Limit, now: Now) -> Self {
        Self { limit, owner: String::new(), since: now.boot.0, at: At::Create }
    }

    pub(super) fn call(&self, around: &Around<'_>) -> Option<Call> {
        Some(Call::Core(match self.at {
            At::Create => Effect::CreateAnonymous(Slot::Ticket),
            At::Lock => Effect::Lock(Slot::Ticket, Share::Exclusive),
            At::Fill | At::Start => Effect::Write(Slot::Ticket, lines(around)),
            At::Enter | At::EnterAgain => Effect::Link(Slot::Ticket, Name::Mutex),
            At::Open => Effect::Open { slot: Slot::Judged, name: Name::Lock, write: false },
            At::Ask => Effect::Lock(Slot::Judged, Share::Shared),
            At::Read => Effect::Read(Slot::Judged),
            At::Link => Effect::Link(Slot::Ticket, Name::Lock),
            At::LinkAside => Effect::Link(Slot::Ticket, Name::Takeover),
            At::Replace => Effect::Rename { from: Name::Takeover, to: Name::Lock },
            At::Leave(_) => Effect::Unlink(Name::Mutex),
            At::Signal(first) => {
                let (slot, spared, signal) = (Slot::Judged, false, Signal::Kill);
                Effect::Signal { slot, first, spared, signal }
            }
            At::Drop => Effect::Close(Slot::Ticket),
            At::Nap | At::NapAgain => return Some(nap(around)),
            At::Remove => Effect::Unlink(Name::Lock),
            At::Hold | At::Through => return None,
        }))
    }

    pub(super) fn step(mut self, around: &Around<'_>, event: &Event) -> Turn<Self> {
        let mut said = None;
        self.at = match (self.at, event) {
            (At::Create | At::Nap, Event::Woken(_)) => At::Create,
            (At::Create, Event::Done) => At::Lock,
            (At::Lock, Event::Done) => At::Fill,
            (At::Fill, Event::Done) => At::Enter,
            (At::Enter, Event::Done) => At::Open,
            (At::Enter, Event::Exists) => At::Drop,
            (At::Open, Event::Absent) => At::Link,
            (At::Open, Event::Done) => At::Ask,
            (At::Ask, Event::Done) => At::LinkAside,
            (At::Ask, Event::Busy) => At::Read,
            (At::Read, Event::Bytes(bytes)) => {
                let (at, what) = self.judge(around, bytes);
                said = what;
                at
            }
            (At::LinkAside, Event::Done) => At::Replace,
            (At::Link | At::Replace, Event::Done) => {
                said = Some(Said::Owns);
                At::Start
            }
            (At::Start, _) => At::Leave(After::Hold),
            (At::Signal(_), _) => At::Leave(After::Wait),
            (At::Drop, _) => At::Nap,
            (At::EnterAgain, Event::Done) => At::Remove,
            (At::EnterAgain, Event::Exists) => At::NapAgain,
            (At::NapAgain, _) => At::EnterAgain,
            (At::Remove, _) => At::Leave(After::End),
            (At::Leave(After::Wait), _) => At::Drop,
            (At::Leave(After::Hold), _) | (At::Hold, _) => At::Hold,
            (At::Leave(After::End), _) => {
                said = Some(Said::Ends(Fate::Released));
                At::Through
            }
            (At::Through, _) => At::Through,
            // Its ticket has lost its last name: another is owner.
            (_, _) => {
                said = Some(Said::Ends(Fate::Lost));
                At::Through
            }
        };
        (self, said)
    }

    /// What to do about a living owner.
    fn judge(&mut self, around: &Around<'_>, bytes: &[u8]) -> (At, Option<Said>) {
        let now = around.now.boot.0;
        let owner = token(bytes).unwrap_or_default();
        if self.limit == Limit::PerOwner && self.owner != owner {
            self.since = now;
        }
        self.owner = owner;
        let late = now.saturating_sub(self.since) >= around.limit;
        let reason = match is_old_text(around, bytes) {
            true => SILENT,
            false if late => Reason::TimedOut,
            false => return (At::Leave(After::Wait), None),
        };
        match process(bytes).filter(|_| around.me.policy.on_timeout == OnTimeout::Stop) {
            Some(pid) => (At::Signal(pid), None),
            None => (At::LinkAside, Some(Said::Breaks(reason))),
        }
    }

    pub(super) const fn release(mut self) -> Self {
        self.at = At::EnterAgain;
        self
    }

    pub(super) const fn releases(&self) -> bool {
        matches!(self.at, At::Remove)
    }

    pub(super) const fn leaves_mutex(&self) -> bool {
        matches!(self.at, At::Leave(_))
    }
}

/// The process named in the first line.
fn process(bytes: &[u8]) -> Option<u32> {
    String::from_utf8_lossy(bytes).lines().next()?.parse().ok()
}
