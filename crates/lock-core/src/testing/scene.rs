//! Setting the scene on a model disk: what the machines find there, and what befalls them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::effect::{Name, Share, Slot};
use crate::testing::at;
use crate::testing::disk::{Disk, Inode, Lack, Nerve, Open};

impl Disk {
    /// An empty directory, long after boot.
    pub(crate) fn new() -> Self {
        Self {
            now: at(1_000_000),
            lacks: BTreeSet::new(),
            names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            open: BTreeMap::new(),
            watches: BTreeMap::new(),
            processes: BTreeMap::new(),
            ended: BTreeSet::new(),
            hidden: BTreeSet::new(),
            cgroups: BTreeSet::new(),
            descriptions: 0,
            story: Vec::new(),
        }
    }

    pub(crate) fn without(lacks: &[Lack]) -> Self {
        let mut disk = Self::new();
        disk.lacks.extend(lacks);
        disk
    }

    pub(crate) fn lose(&mut self, lack: Lack) {
        self.lacks.insert(lack);
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.suspend(ms);
        self.now.mono.0 += ms;
    }

    /// The machine is suspended: the monotonic clock stands still.
    pub(crate) fn suspend(&mut self, ms: u64) {
        self.now.boot.0 += ms;
        self.now.wall.0 += ms;
    }

    /// Something that no machine made, under each of these names.
    pub(crate) fn put(&mut self, names: &[Name], inode: Inode) {
        let id = self.add(inode);
        for name in names {
            self.names.insert(format!("{name:?}"), id);
        }
    }

    /// A peer, or a person, unlinks it.
    pub(crate) fn remove(&mut self, name: Name) {
        self.unlink(&format!("{name:?}"));
    }

    /// The number of what a name leads to.
    pub(crate) fn leads_to(&self, name: Name) -> Option<u64> {
        self.names.get(&format!("{name:?}")).copied()
    }

    /// What a name leads to, if to anything.
    pub(crate) fn at(&mut self, name: Name) -> Option<&mut Inode> {
        let id = self.names.get(&format!("{name:?}"))?;
        self.inodes.get_mut(id)
    }

    pub(crate) fn text(&mut self, name: Name) -> Option<String> {
        let bytes = self.at(name)?.content.clone().ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn nerve(&mut self, pid: u32, nerve: Nerve) {
        self.processes.insert(pid, nerve);
    }

    /// What a driver does with a slot that a machine has left open.
    pub(crate) fn close(&mut self, pid: u32, slot: Slot) {
        self.shut(pid, slot);
    }

    /// Lets go of what a process has open, as its death does; or its driver, when a machine
    /// has come to its end.
    pub(crate) fn let_go(&mut self, pid: u32) {
        let slots: Vec<Slot> = self.slots(pid).map(|(slot, _)| slot).collect();
        self.watches.remove(&pid);
        for slot in slots {
            self.shut(pid, slot);
        }
    }

    /// A process ends: the kernel lets go of all that it has open, and knows its number no more.
    pub(crate) fn end(&mut self, pid: u32) {
        self.let_go(pid);
        self.ended.insert(pid);
    }

    /// No other process sees what this one has open.
    pub(crate) fn hide(&mut self, pid: u32) {
        self.hidden.insert(pid);
    }

    /// A child inherits the open file of a slot, and with it the kernel's lock.
    pub(crate) fn inherit(&mut self, parent: u32, slot: Slot, child: u32) {
        if let Some(open) = self.open.get(&(parent, slot)).copied() {
            self.open.insert((child, slot), open);
        }
    }

    /// Another program opens the lock file and has it kernel-locked.
    pub(crate) fn lock_by_hand(&mut self, pid: u32, share: Share) {
        let id = self.leads_to(Name::Lock).expect("because the lock is there");
        self.descriptions += 1;
        let description = self.descriptions;
        let open = Open { inode: id, writes: false, description, lock: Some(share) };
        self.open.insert((pid, Slot::Ticket), open);
    }

    /// That program unlocks the file and keeps it open, which makes no event.
    pub(crate) fn unlock_by_hand(&mut self, pid: u32) {
        if let Some(open) = self.open.get_mut(&(pid, Slot::Ticket)) {
            open.lock = None;
        }
    }

    /// Some process is in this cgroup, or the last one has left it.
    pub(crate) fn populate(&mut self, cgroup: &str, is_populated: bool) {
        match is_populated {
            true => self.cgroups.insert(cgroup.into()),
            false => self.cgroups.remove(cgroup),
        };
    }

    /// Whether a process that sleeps would be woken now.
    pub(crate) fn wakes(&self, pid: u32) -> bool {
        self.watches.get(&pid).is_some_and(|watch| watch.news.is_some())
    }

    /// The same, but watchers were told before they watched.
    pub(crate) fn let_go_unnoticed(&mut self, pid: u32) {
        let watches = core::mem::take(&mut self.watches);
        self.let_go(pid);
        self.watches = watches;
    }
}
