//! The kernel's locks, and those who have them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::effect::{Errno, Event, Share, Signal, Slot};
use crate::testing::disk::{Disk, Lack, Nerve, Open};

const EBADF: Errno = Errno(9);

impl Disk {
    pub(super) fn lock(&mut self, pid: u32, slot: Slot, share: Share) -> Event {
        if self.lacks.contains(&Lack::Locks) {
            return Event::Unsupported;
        }
        let Some(open) = self.open.get(&(pid, slot)).copied() else {
            return Event::Failed(EBADF);
        };
        let conflicts = |lock| lock == Share::Exclusive || share == Share::Exclusive;
        let busy = self.open.values().any(|other| {
            let is_other = other.description != open.description && other.inode == open.inode;
            is_other && other.lock.is_some_and(conflicts)
        });
        if busy {
            return Event::Busy;
        }
        self.mark(open, Some(share));
        Event::Done
    }

    /// The kernel's lock on an open file, for all who share it.
    pub(super) fn mark(&mut self, open: Open, lock: Option<Share>) {
        for other in self.open.values_mut() {
            if other.description == open.description {
                other.lock = lock;
            }
        }
    }

    /// Who has an inode kernel-locked.
    pub(super) fn holders(&self, inode: u64) -> Vec<u32> {
        let holding = self.open.iter().filter(|(_, open)| open.inode == inode);
        let pids = holding.filter(|(_, open)| open.lock.is_some()).map(|((pid, _), _)| *pid);
        let pids = pids.filter(|pid| !self.hidden.contains(pid));
        pids.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether it may be signalled from here; then it is.
    pub(super) fn signal(&mut self, pid: u32, signal: Signal) -> bool {
        let nerve = self.processes.get(&pid).copied();
        let dies = match (nerve, signal) {
            (None, _) => return false,
            (Some(Nerve::DiesOfTerm), _) | (Some(Nerve::DiesOfKill), Signal::Kill) => true,
            (Some(_), _) => false,
        };
        if dies {
            self.processes.remove(&pid);
            self.end(pid);
        }
        true
    }
}
