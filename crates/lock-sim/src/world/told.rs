//! Whether whoever sleeps will be told.

use lock_core::effect::{Effect, Slot};
use lock_core::record::Record;

use super::World;
use super::files::{Ino, Inode, Pid};
use super::kernel::{Call, Flock};
use super::process::Process;
use crate::scope::Universe;

impl World {
    /// Whether it sleeps although what it waits for has happened, and it will not be told.
    ///
    /// Whoever waits for the lock sleeps until a distant deadline. Whoever stands behind another
    /// need only be told when that one is gone: it looks at the lock now and then by itself. Of a
    /// death it is told a hair too early, and finds out in naps that grow with the hair.
    pub(super) fn sleeps_on(&self, universe: &Universe, pid: Pid, process: &Process) -> bool {
        if process.pending.is_some() || process.pauses() {
            return false;
        }
        let Some(Call::Core(Effect::Sleep { until })) = self.call(universe, pid) else {
            return false;
        };
        let left = self.left(process, until);
        let missed = |slot: Slot, gone: bool, dead: bool| {
            let file = process.fd(slot).filter(|_| process.waits_for(slot)).map(|fd| fd.ino);
            file.and_then(|ino| Some((ino, self.files.inode(ino)?))).is_some_and(|(ino, inode)| {
                (gone && self.is_gone(inode)) || (dead && self.is_dead(universe, ino, inode))
            })
        };
        let long = left > 0 && !self.naps(universe, pid);
        missed(Slot::Judged, long, long) || missed(Slot::Ahead, left > 0, false)
    }

    /// As long as the file has another name, as a releasing owner's has, that name's end is
    /// still to come; a close is not counted on, since a child may keep the file open.
    fn is_gone(&self, inode: &Inode) -> bool {
        inode.links == 0 && self.files.unlinker().is_none()
    }

    /// A process that is awake and has the file open may still tell of it by what it does next; but
    /// `flock(1)` tells of nothing. A file of a peer's is not dead because it is not locked.
    fn is_dead(&self, universe: &Universe, ino: Ino, inode: &Inode) -> bool {
        let unlocked = inode.exclusive.is_none() && inode.shared.is_empty();
        let open = |process: &Process| process.fds.iter().flatten().any(|fd| fd.ino == ino);
        unlocked
            && universe.scope.abilities.locks == Flock::Works
            && self.everyone().all(|(pid, other)| {
                !open(other) || other.is_foreign() || self.is_asleep(universe, pid)
            })
            && Record::parse(inode.text.bytes()).map_or(true, |record| record.detail.is_some())
    }
}
