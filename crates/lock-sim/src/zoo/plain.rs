//! Locks of one file: create it exclusively; if it is there, judge it; if it is stale, get
//! rid of it somehow. They differ in how they judge, how they break and how they release.

use lock_core::effect::{Effect, Event, Name, Slot};
use lock_core::machine::Reason;
use lock_core::time::Now;

use super::{Around, STALE, Said, Turn, is_late, is_mine, is_old, is_old_text, lines, nap};
use crate::world::{Call, Fate};

/// One contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plain {
    judge: Judge,
    breaks: Break,
    gate: Gate,
    began: u64,
    at: At,
}

/// How a lock that is there is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judge {
    /// By the stamp in it, and by the contender's patience.
    Stamp,
    /// By its mtime.
    Mtime,
    /// By whether the process named in it runs.
    Pid,
}

/// How a stale lock is got rid of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Break {
    /// Unlink it, then create anew.
    Unlink,
    /// Rename an own file over it, then read back whose it is.
    Over,
    /// Rename it aside, look whether it was the stale one, else put it back.
    Aside,
}

/// Whether release looks before it unlinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It does not.
    Blind,
    /// Only while the file has the own token.
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Create,
    Fill,
    Look,
    Open,
    Read,
    Nap,
    Unlink,
    CreateTemporary,
    FillTemporary,
    RenameOver,
    OpenBack,
    ReadBack,
    RenameAside,
    LookAside,
    RemoveAside,
    PutBack,
    OpenOwn,
    ReadOwn,
    RemoveOwn,
    Hold,
    Through,
}

impl Plain {
    pub(super) const fn new(judge: Judge, breaks: Break, gate: Gate, now: Now) -> Self {
        Self { judge, breaks, gate, began: now.wall.0, at: At::Create }
    }

    pub(super) fn call(&self, around: &Around<'_>) -> Option<Call> {
        Some(Call::Core(match self.at {
            At::Create => Effect::Create(Slot::Ticket, Name::Lock),
            At::Fill | At::FillTemporary => Effect::Write(Slot::Ticket, lines(around)),
            At::Look => Effect::Look(Name::Lock),
            At::Open | At::OpenBack | At::OpenOwn => {
                Effect::Open { slot: Slot::Judged, name: Name::Lock, write: false }
            }
            At::Read | At::ReadBack | At::ReadOwn => Effect::Read(Slot::Judged),
            At::Nap => return Some(nap(around)),
            At::Unlink | At::RemoveOwn => Effect::Unlink(Name::Lock),
            At::CreateTemporary => Effect::Create(Slot::Ticket, Name::Ticket),
            At::RenameOver | At::PutBack => Effect::Rename { from: Name::Ticket, to: Name::Lock },
            At::RenameAside => Effect::Rename { from: Name::Lock, to: Name::Ticket },
            At::LookAside => Effect::Look(Name::Ticket),
            At::RemoveAside => Effect::Unlink(Name::Ticket),
            At::Hold | At::Through => return None,
        }))
    }

    pub(super) fn step(mut self, around: &Around<'_>, event: &Event) -> Turn<Self> {
        let mut said = None;
        let own = |said: &mut Option<Said>| {
            *said = Some(Said::Owns);
            At::Hold
        };
        self.at = match (self.at, event) {
            (At::Create, Event::Done) => At::Fill,
            (At::Fill, Event::Done) => own(&mut said),
            (At::Create, Event::Exists) if self.judge == Judge::Mtime => At::Look,
            (At::Create, Event::Exists) => At::Open,
            (At::Look | At::Open, Event::Absent) => At::Create,
            (At::Open, Event::Done) => At::Read,
            (At::Look | At::Read, event) => match self.verdict(around, event) {
                Some(reason) => {
                    said = Some(Said::Breaks(reason));
                    self.break_it()
                }
                None => At::Nap,
            },
            (At::Nap | At::Unlink | At::RemoveAside, _) => At::Create,
            (At::CreateTemporary, Event::Done) => At::FillTemporary,
            (At::FillTemporary, Event::Done) => At::RenameOver,
            (At::RenameOver, Event::Done) => At::OpenBack,
            (At::OpenBack, Event::Done) => At::ReadBack,
            (At::ReadBack, Event::Bytes(bytes)) if is_mine(around, bytes) => own(&mut said),
            (At::OpenBack | At::ReadBack | At::PutBack, _) => At::Nap,
            (At::RenameAside, Event::Done) => At::LookAside,
            (At::RenameAside, _) => At::Create,
            (At::LookAside, Event::Stat(stat)) if !is_old(around, stat.mtime.0) => At::PutBack,
            (At::LookAside, _) => At::RemoveAside,
            (At::OpenOwn, Event::Done) => At::ReadOwn,
            (At::ReadOwn, Event::Bytes(bytes)) if is_mine(around, bytes) => At::RemoveOwn,
            (At::OpenOwn | At::ReadOwn, _) => {
                said = Some(Said::Ends(Fate::Lost));
                At::Through
            }
            (At::RemoveOwn, _) => {
                said = Some(Said::Ends(Fate::Released));
                At::Through
            }
            (At::Hold | At::Through, _) => self.at,
            (_, _) => {
                said = Some(Said::Ends(Fate::GaveUp));
                At::Through
            }
        };
        (self, said)
    }

    fn verdict(&self, around: &Around<'_>, event: &Event) -> Option<Reason> {
        let stale = match (self.judge, event) {
            (Judge::Mtime, Event::Stat(stat)) => is_old(around, stat.mtime.0),
            (Judge::Stamp, Event::Bytes(bytes)) => is_old_text(around, bytes),
            // An empty file is one that is being written.
            (Judge::Pid, Event::Bytes(bytes)) => {
                let text = String::from_utf8_lossy(bytes);
                let pid = text.lines().next().and_then(|line| line.parse().ok());
                pid.is_some_and(|pid| !around.living.contains(&pid))
            }
            _ => false,
        };
        if stale {
            return Some(STALE);
        }
        let late = self.judge == Judge::Stamp && is_late(around, self.began);
        late.then_some(Reason::TimedOut)
    }

    const fn break_it(&self) -> At {
        match self.breaks {
            Break::Unlink => At::Unlink,
            Break::Over => At::CreateTemporary,
            Break::Aside => At::RenameAside,
        }
    }

    pub(super) const fn release(mut self) -> Self {
        self.at = match self.gate {
            Gate::Blind => At::RemoveOwn,
            Gate::Token => At::OpenOwn,
        };
        self
    }

    pub(super) const fn releases(&self) -> bool {
        matches!(self.at, At::RemoveOwn)
    }
}
