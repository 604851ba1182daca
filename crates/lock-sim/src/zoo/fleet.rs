//! The original: everything under a mutex; a dead holder's mutex is removed under a reclaim
//! lock; a dead reclaim lock is removed by whoever finds it old. Both are judged by mtime.

use lock_core::effect::{Effect, Event, Name, Slot};
use lock_core::machine::Reason;
use lock_core::time::Now;

use super::{Around, STALE, Said, Turn, is_late, is_mine, is_old, is_old_text, lines, nap};
use crate::world::{Call, Fate};

/// One contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fleet {
    began: u64,
    errand: Errand,
    at: At,
}

/// What it wants the mutex for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Errand {
    Acquire,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    CreateMutex,
    FillMutex,
    JudgeMutex,
    Nap,
    CreateReclaim,
    JudgeReclaim,
    RemoveReclaim,
    JudgeAgain,
    RemoveMutex,
    DropReclaim,
    OpenLock,
    ReadLock,
    Truncate,
    Write,
    OpenOwn,
    ReadOwn,
    RemoveOwn,
    OpenMutex(After),
    ReadMutex(After),
    LeaveMutex(After),
    Hold,
    Through,
}

/// What follows the way out of the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    Wait,
    Own,
    End(Fate),
}

impl Fleet {
    pub(super) const fn new(now: Now) -> Self {
        Self { began: now.wall.0, errand: Errand::Acquire, at: At::CreateMutex }
    }

    pub(super) fn call(&self, around: &Around<'_>) -> Option<Call> {
        let open = |name| Effect::Open { slot: Slot::Judged, name, write: false };
        Some(Call::Core(match self.at {
            At::CreateMutex => Effect::Create(Slot::Mutex, Name::Mutex),
            At::FillMutex => Effect::Write(Slot::Mutex, lines(around)),
            At::JudgeMutex | At::JudgeAgain => Effect::Look(Name::Mutex),
            At::Nap => return Some(nap(around)),
            At::CreateReclaim => Effect::Create(Slot::Reclaim, Name::Reclaim),
            At::JudgeReclaim => Effect::Look(Name::Reclaim),
            At::RemoveReclaim | At::DropReclaim => Effect::Unlink(Name::Reclaim),
            At::RemoveMutex | At::LeaveMutex(_) => Effect::Unlink(Name::Mutex),
            At::OpenLock | At::OpenOwn => open(Name::Lock),
            At::ReadLock | At::ReadOwn => Effect::Read(Slot::Judged),
            At::Truncate => return Some(Call::Truncate(Slot::Ticket, Name::Lock)),
            At::Write => Effect::Write(Slot::Ticket, lines(around)),
            At::RemoveOwn => Effect::Unlink(Name::Lock),
            At::OpenMutex(_) => Effect::Open { slot: Slot::Guard, name: Name::Mutex, write: false },
            At::ReadMutex(_) => Effect::Read(Slot::Guard),
            At::Hold | At::Through => return None,
        }))
    }

    pub(super) fn step(mut self, around: &Around<'_>, event: &Event) -> Turn<Self> {
        let mut said = None;
        self.at = match (self.at, event) {
            (At::CreateMutex, Event::Done) => At::FillMutex,
            (At::CreateMutex, Event::Exists) => At::JudgeMutex,
            (At::FillMutex, Event::Done) => match self.errand {
                Errand::Acquire => At::OpenLock,
                Errand::Release => At::OpenOwn,
            },
            (At::JudgeMutex, event) => match is_old_file(around, event) {
                true => At::CreateReclaim,
                false => At::Nap,
            },
            (At::Nap, _) => At::CreateMutex,
            (At::CreateReclaim, Event::Done) => At::JudgeAgain,
            (At::CreateReclaim, Event::Exists) => At::JudgeReclaim,
            (At::JudgeReclaim, event) if is_old_file(around, event) => At::RemoveReclaim,
            (At::JudgeReclaim | At::RemoveReclaim | At::DropReclaim, _) => At::CreateMutex,
            (At::JudgeAgain, event) if is_old_file(around, event) => At::RemoveMutex,
            (At::JudgeAgain | At::RemoveMutex, _) => At::DropReclaim,
            (At::OpenLock, Event::Absent) => At::Truncate,
            (At::OpenLock, Event::Done) => At::ReadLock,
            (At::ReadLock, Event::Bytes(bytes)) => match self.verdict(around, bytes) {
                Some(reason) => {
                    said = Some(Said::Breaks(reason));
                    At::Truncate
                }
                None => At::OpenMutex(After::Wait),
            },
            (At::Truncate, Event::Done) => At::Write,
            (At::Write, Event::Done) => At::OpenMutex(After::Own),
            (At::OpenOwn, Event::Done) => At::ReadOwn,
            (At::OpenOwn, _) => At::OpenMutex(After::End(Fate::Lost)),
            (At::ReadOwn, Event::Bytes(bytes)) if is_mine(around, bytes) => At::RemoveOwn,
            (At::ReadOwn, _) => At::OpenMutex(After::End(Fate::Lost)),
            (At::RemoveOwn, _) => At::OpenMutex(After::End(Fate::Released)),
            (At::OpenMutex(after), Event::Done) => At::ReadMutex(after),
            (At::ReadMutex(after), Event::Bytes(bytes)) if is_mine(around, bytes) => {
                At::LeaveMutex(after)
            }
            (At::OpenMutex(after) | At::ReadMutex(after) | At::LeaveMutex(after), _) => {
                let (at, what) = after.next();
                said = what;
                at
            }
            (At::Hold | At::Through, _) => self.at,
            (_, _) => {
                said = Some(Said::Ends(Fate::GaveUp));
                At::Through
            }
        };
        (self, said)
    }

    fn verdict(&self, around: &Around<'_>, bytes: &[u8]) -> Option<Reason> {
        if is_old_text(around, bytes) {
            return Some(STALE);
        }
        is_late(around, self.began).then_some(Reason::TimedOut)
    }

    pub(super) const fn release(mut self) -> Self {
        self.errand = Errand::Release;
        self.at = At::CreateMutex;
        self
    }

    pub(super) const fn releases(&self) -> bool {
        matches!(self.at, At::RemoveOwn)
    }

    pub(super) const fn leaves_mutex(&self) -> bool {
        matches!(self.at, At::LeaveMutex(_))
    }
}

impl After {
    const fn next(self) -> (At, Option<Said>) {
        match self {
            Self::Wait => (At::Nap, None),
            Self::Own => (At::Hold, Some(Said::Owns)),
            Self::End(fate) => (At::Through, Some(Said::Ends(fate))),
        }
    }
}

/// What is gone, or cannot be asked, is not old.
fn is_old_file(around: &Around<'_>, event: &Event) -> bool {
    matches!(event, Event::Stat(stat) if is_old(around, stat.mtime.0))
}
