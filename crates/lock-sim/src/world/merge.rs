//! Which calls no other process can tell from the one before.
//!
//! To let others come between such a call and the one before leads to no state that could
//! not be reached without: so scopes too large for single calls are explored in steps of
//! one telling call and the private ones after it. What a call is to others:
//!
//! * a file without a name, and one that is only a mutex, is read by nobody but its maker;
//! * what `fstat` says of a file of ours changes with the clock only;
//! * what we have locked for ourselves, nobody else writes, and nobody else takes a name
//!   from;
//! * the generation file is the mutex holder's alone: of all that is done with it, only the
//!   write that gives out a number makes a difference to a crash;
//! * what a lock file that has just been found says is written only while its name leads to it: so
//!   to find it and to read it is one moment, whether the name goes or the text changes in between;
//! * closing what is not locked may free a number, and the sooner that is reused the worse.
//!
//! None of this holds beside a peer that locks nothing, so such scopes are not merged. The
//! deep run does without merging where that is feasible, and must find the same.

use lock_core::effect::{Effect, Name, Slot};

use super::files::{Ino, Inode, Pid};
use super::kernel::Call;
use super::{Action, World};
use crate::scope::Universe;

impl World {
    /// Whether the next call of a process is private to it.
    #[must_use]
    pub fn is_private(&self, universe: &Universe, pid: Pid) -> bool {
        match self.call(universe, pid) {
            Some(Call::Core(effect)) => self.is_private_effect(pid, &effect),
            _ => false,
        }
    }

    fn is_private_effect(&self, pid: Pid, effect: &Effect) -> bool {
        match effect {
            // Whether a ticket has a name left is its maker's to say.
            Effect::Stat(Slot::Ahead) => false,
            Effect::Stat(_)
            | Effect::Open { slot: Slot::Generation, .. }
            | Effect::Read(Slot::Generation | Slot::Ticket)
            | Effect::Sync(_)
            | Effect::SyncDirectory => true,
            Effect::Lock(slot @ (Slot::Ticket | Slot::Mutex), _)
            | Effect::Unlock(slot @ (Slot::Ticket | Slot::Mutex)) => {
                self.open(pid, *slot).is_some_and(|(_, inode)| inode.links == 0)
            }
            Effect::Write(slot @ (Slot::Ticket | Slot::Mutex), _) => self.is_unread(pid, *slot),
            Effect::Read(Slot::Judged) => true,
            Effect::Read(slot) => self.is_locked(pid, *slot),
            Effect::Close(slot) => !self.is_locked(pid, *slot),
            Effect::Look(name) => self.is_own(pid, *name),
            _ => false,
        }
    }

    fn open(&self, pid: Pid, slot: Slot) -> Option<(Ino, &Inode)> {
        let ino = self.process(pid)?.fd(slot)?.ino;
        Some((ino, self.files.inode(ino)?))
    }

    fn is_unread(&self, pid: Pid, slot: Slot) -> bool {
        let read = [Name::Lock, Name::Takeover, Name::Reclaim, Name::Ticket];
        self.open(pid, slot).is_some_and(|(ino, _)| {
            read.iter().all(|name| self.files.lookup(*name, pid) != Some(ino))
        })
    }

    fn is_locked(&self, pid: Pid, slot: Slot) -> bool {
        self.open(pid, slot).is_some_and(|(_, inode)| {
            inode.exclusive == Some((pid, slot)) || inode.shared.contains(&(pid, slot))
        })
    }

    /// Whether the name leads to a file that this process has locked for itself.
    fn is_own(&self, pid: Pid, name: Name) -> bool {
        let holder = self.files.file(name, pid).and_then(|inode| inode.exclusive);
        holder.is_some_and(|(holder, _)| holder == pid)
    }
}

impl Action {
    /// Whose step it is.
    #[must_use]
    pub const fn whose(self) -> Option<Pid> {
        match self {
            Self::Crash(_)
            | Self::Orphan(_)
            | Self::WorkEnds(_)
            | Self::Unlock(_)
            | Self::SetWall(..) => None,
            _ => self.befalls(),
        }
    }

    /// Whom it happens to.
    #[must_use]
    pub const fn befalls(self) -> Option<Pid> {
        match self {
            Self::Step(pid)
            | Self::Fault(pid, _)
            | Self::Deed(pid, _)
            | Self::Wake(pid)
            | Self::Doze(pid)
            | Self::Cancel(pid)
            | Self::Return(pid)
            | Self::Crash(pid)
            | Self::Orphan(pid)
            | Self::Outlive(pid)
            | Self::WorkEnds(pid)
            | Self::Unlock(pid)
            | Self::SetWall(Some(pid), _) => Some(pid),
            Self::SetWall(None, _) | Self::Tick | Self::Suspend | Self::Hand(_) => None,
        }
    }
}
