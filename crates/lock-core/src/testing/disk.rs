//! A small model of a file system and of the kernel's locks, for scripted runs.
//!
//! It answers each effect as Linux would: names lead to inodes, a kernel lock belongs to one
//! open file and not to a process, an inode whose last name is gone cannot be linked again,
//! and the number of an inode that nobody has open is given to the next one. Time stands
//! still except in a sleep, which jumps to its end unless the watch has something to tell.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::effect::{Effect, Errno, Event, Name, Share, Slot, Wake};
use crate::machine::Context;
use crate::record::MAX_RECORD_BYTES;
use crate::snapshot::{FileId, Kind, Stat};
use crate::time::{Mono, Now, Wall};

const EBADF: Errno = Errno(9);
const EISDIR: Errno = Errno(21);
const ENOTEMPTY: Errno = Errno(39);

/// The directory of a lock, and who has what open in it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) now: Now,
    pub(super) lacks: BTreeSet<Lack>,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) open: BTreeMap<(u32, Slot), Open>,
    pub(super) watches: BTreeMap<u32, Watch>,
    /// Those that may be signalled from here, and how they take it.
    pub(super) processes: BTreeMap<u32, Nerve>,
    /// The numbers of those that have ended.
    pub(super) ended: BTreeSet<u32>,
    /// Those that no other process can look into.
    pub(super) hidden: BTreeSet<u32>,
    /// Those with a process in them.
    pub(super) cgroups: BTreeSet<String>,
    /// How many times a file has been opened.
    pub(super) descriptions: u64,
    pub(super) story: Vec<String>,
}

/// What a file system can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// `O_TMPFILE`.
    Anonymous,
    /// Hard links.
    Links,
    /// Kernel locks.
    Locks,
    /// The whole directory: it has been removed.
    Directory,
}

/// How a process takes a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nerve {
    DiesOfTerm,
    DiesOfKill,
    Immortal,
}

/// A thing with a number.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) foreign: bool,
    pub(crate) content: Result<Vec<u8>, Errno>,
    pub(crate) mtime: Wall,
    /// Born without a name, and not linked yet.
    pub(crate) linkable: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) inode: u64,
    pub(super) writes: bool,
    /// What processes share that have inherited it: the kernel's lock is on this.
    pub(super) description: u64,
    pub(super) lock: Option<Share>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    inode: u64,
    until_last: bool,
    pub(super) news: Option<Wake>,
}

impl Inode {
    /// A plain file of ours.
    pub(crate) fn file(content: &str, mtime: Wall) -> Self {
        Self {
            kind: Kind::File,
            foreign: false,
            content: Ok(content.into()),
            mtime,
            linkable: false,
        }
    }
}

/// The kernel.
impl Disk {
    /// Performs an effect for the process of `context`.
    pub(super) fn call(&mut self, context: &Context, effect: &Effect) -> Event {
        let pid = context.pid;
        // A process that acts runs.
        self.ended.remove(&pid);
        let path = |name: &Name| match name {
            Name::Ticket => format!("Ticket of {}", context.token),
            name => format!("{name:?}"),
        };
        match effect {
            Effect::CreateAnonymous(_) if self.lacks.contains(&Lack::Anonymous) => {
                Event::Unsupported
            }
            Effect::CreateAnonymous(_) | Effect::Create(..)
                if self.lacks.contains(&Lack::Directory) =>
            {
                Event::Absent
            }
            Effect::CreateAnonymous(slot) => self.create(pid, *slot, None),
            Effect::Create(slot, name) => self.create(pid, *slot, Some(path(name))),
            Effect::Open { slot, name, write } => self.open(pid, *slot, &path(name), *write),
            Effect::Look(name) => match self.names.get(&path(name)) {
                Some(id) => self.stat(*id),
                None => Event::Absent,
            },
            Effect::Link(slot, name) => self.link(pid, *slot, path(name)),
            Effect::Rename { from, to } => self.rename(&path(from), path(to)),
            Effect::Unlink(name) => self.unlink(&path(name)),
            Effect::CreateDirectory(name) => self.create_directory(path(name)),
            Effect::RemoveDirectory(name) => self.remove_directory(&path(name)),
            Effect::SyncDirectory => Event::Done,
            Effect::Sleep { until } => self.sleep(pid, *until),
            Effect::AskProcess { pid, .. } => match self.ended.contains(pid) {
                true => Event::Absent,
                false => Event::Done,
            },
            Effect::AskCgroup(name) => match self.cgroups.contains(name) {
                true => Event::Done,
                false => Event::Absent,
            },
            Effect::ListHoldersOf(inode) => Event::Holders(self.holders(inode.number)),
            Effect::Stat(slot)
            | Effect::Lock(slot, _)
            | Effect::Unlock(slot)
            | Effect::Close(slot)
            | Effect::Read(slot)
            | Effect::Write(slot, _)
            | Effect::Sync(slot)
            | Effect::Touch(slot)
            | Effect::List(slot)
            | Effect::Watch(slot)
            | Effect::ListHolders(slot)
            | Effect::Signal { slot, .. } => match self.open.get(&(pid, *slot)).copied() {
                Some(open) => self.use_open(pid, *slot, open, effect),
                None => Event::Failed(EBADF),
            },
        }
    }

    /// A call on an open file.
    fn use_open(&mut self, pid: u32, slot: Slot, open: Open, effect: &Effect) -> Event {
        let wall = self.now.wall;
        match effect {
            Effect::Stat(_) => return self.stat(open.inode),
            Effect::Lock(_, share) => return self.lock(pid, slot, *share),
            Effect::Unlock(_) if self.lacks.contains(&Lack::Locks) => return Event::Unsupported,
            Effect::Unlock(_) => self.mark(open, None),
            Effect::Close(_) => self.shut(pid, slot),
            Effect::Read(_) => {
                return match self.inode(open.inode).content.clone() {
                    Ok(mut bytes) => {
                        bytes.truncate(MAX_RECORD_BYTES + 1);
                        Event::Bytes(bytes)
                    }
                    Err(errno) => Event::Failed(errno),
                };
            }
            Effect::Write(_, text) => {
                let inode = self.inode(open.inode);
                let mut bytes = inode.content.clone().unwrap_or_default();
                let rest = bytes.split_off(text.len().min(bytes.len()));
                inode.content = Ok([text.as_bytes(), &rest].concat());
                inode.mtime = wall;
            }
            Effect::Touch(_) => self.inode(open.inode).mtime = wall,
            Effect::List(_) => return Event::Listed(self.queue()),
            Effect::ListHolders(_) => return Event::Holders(self.holders(open.inode)),
            Effect::Signal { first, spared, signal, .. } => {
                let mut pids = self.holders(open.inode);
                pids.sort_by_key(|holder| holder != first);
                pids.retain(|holder| *holder != pid && !(*spared && holder == first));
                pids.retain(|holder| self.signal(*holder, *signal));
                return Event::Holders(pids);
            }
            Effect::Watch(_) => {
                let (inode, until_last) = (open.inode, slot == Slot::Ahead);
                self.watches.insert(pid, Watch { inode, until_last, news: None });
            }
            _ => {}
        }
        Event::Done
    }

    fn create(&mut self, pid: u32, slot: Slot, path: Option<String>) -> Event {
        if path.as_ref().is_some_and(|path| self.names.contains_key(path)) {
            return Event::Exists;
        }
        let inode = Inode { linkable: path.is_none(), ..Inode::file("", self.now.wall) };
        let id = self.add(inode);
        self.names.extend(path.map(|path| (path, id)));
        self.keep_open(pid, slot, id, true)
    }

    fn open(&mut self, pid: u32, slot: Slot, path: &str, writes: bool) -> Event {
        let Some(id) = self.names.get(path).copied() else {
            return Event::Absent;
        };
        match self.inode(id).kind {
            Kind::Symlink => Event::Symlink,
            Kind::Directory if writes => Event::Failed(EISDIR),
            _ => self.keep_open(pid, slot, id, writes),
        }
    }

    fn keep_open(&mut self, pid: u32, slot: Slot, inode: u64, writes: bool) -> Event {
        self.shut(pid, slot);
        self.descriptions += 1;
        let open = Open { inode, writes, description: self.descriptions, lock: None };
        self.open.insert((pid, slot), open);
        Event::Done
    }

    pub(super) fn shut(&mut self, pid: u32, slot: Slot) {
        let Some(open) = self.open.remove(&(pid, slot)) else {
            return;
        };
        let is_shared = self.open.values().any(|other| other.description == open.description);
        if open.writes && !is_shared {
            self.notify(open.inode, Wake::Closed);
        }
        self.forget(open.inode);
    }

    /// The kernel looks whether the name is free first, and only then whether it can link.
    fn link(&mut self, pid: u32, slot: Slot, path: String) -> Event {
        let Some(open) = self.open.get(&(pid, slot)).copied() else {
            return Event::Failed(EBADF);
        };
        let homeless = path.starts_with("Queued") && !self.names.contains_key("Queue");
        if homeless || self.lacks.contains(&Lack::Directory) {
            return Event::Absent;
        }
        if self.names.contains_key(&path) {
            return Event::Exists;
        }
        if self.lacks.contains(&Lack::Links) {
            return Event::Unsupported;
        }
        let nameless = !self.names.values().any(|id| *id == open.inode);
        if nameless && !core::mem::take(&mut self.inode(open.inode).linkable) {
            return Event::Absent;
        }
        self.names.insert(path, open.inode);
        self.notify(open.inode, Wake::Changed);
        Event::Done
    }

    fn create_directory(&mut self, path: String) -> Event {
        if self.lacks.contains(&Lack::Directory) {
            return Event::Absent;
        }
        if self.names.contains_key(&path) {
            return Event::Exists;
        }
        let id = self.add(Inode { kind: Kind::Directory, ..Inode::file("", self.now.wall) });
        self.names.insert(path, id);
        Event::Done
    }

    fn remove_directory(&mut self, path: &str) -> Event {
        if !self.queue().is_empty() {
            return Event::Failed(ENOTEMPTY);
        }
        match self.names.remove(path) {
            Some(id) => {
                self.forget(id);
                Event::Done
            }
            None => Event::Absent,
        }
    }

    /// The numbers that are taken.
    fn queue(&self) -> Vec<u64> {
        let number = |name: &String| name.strip_prefix("Queued(")?.strip_suffix(')')?.parse().ok();
        self.names.keys().filter_map(number).collect()
    }

    pub(super) fn unlink(&mut self, path: &str) -> Event {
        let Some(id) = self.names.get(path).copied() else {
            return Event::Absent;
        };
        if self.inode(id).kind == Kind::Directory {
            return Event::Failed(EISDIR);
        }
        self.names.remove(path);
        self.notify(id, Wake::Changed);
        self.forget(id);
        Event::Done
    }

    /// Two names of one inode both stay: that is what POSIX asks for.
    fn rename(&mut self, from: &str, to: String) -> Event {
        let Some(id) = self.names.get(from).copied() else {
            return Event::Absent;
        };
        if self.names.get(&to) == Some(&id) {
            return Event::Done;
        }
        self.names.remove(from);
        if let Some(old) = self.names.insert(to, id) {
            self.notify(old, Wake::Changed);
            self.forget(old);
        }
        Event::Done
    }

    fn sleep(&mut self, pid: u32, until: Mono) -> Event {
        let news = self.watches.get_mut(&pid).and_then(|watch| watch.news.take());
        if news.is_none() {
            self.pass(until.0.saturating_sub(self.now.mono.0));
        }
        Event::Woken(news.unwrap_or(Wake::Due))
    }

    fn stat(&mut self, id: u64) -> Event {
        let Inode { kind, mtime, foreign, .. } = *self.inode(id);
        let links = self.links(id);
        Event::Stat(Stat { id: FileId { device: 1, inode: id }, kind, mtime, links, foreign })
    }

    fn links(&self, id: u64) -> u64 {
        self.names.values().filter(|inode| **inode == id).map(|_| 1).sum()
    }

    fn notify(&mut self, inode: u64, news: Wake) {
        let last = news == Wake::Closed || self.links(inode) == 0;
        for watch in self.watches.values_mut() {
            if watch.inode == inode && (last || !watch.until_last) {
                watch.news.get_or_insert(news);
            }
        }
    }

    pub(super) fn slots(&self, pid: u32) -> impl Iterator<Item = (Slot, Open)> {
        let ours = self.open.iter().filter(move |((owner, _), _)| *owner == pid);
        ours.map(|((_, slot), open)| (*slot, *open))
    }

    fn inode(&mut self, id: u64) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an inode stays while it has a name or is open")
    }

    /// File systems give out the lowest free number.
    pub(super) fn add(&mut self, inode: Inode) -> u64 {
        let id = (1..).find(|id| !self.inodes.contains_key(id)).expect("numbers do not run out");
        self.inodes.insert(id, inode);
        id
    }

    fn forget(&mut self, id: u64) {
        let named = self.names.values().any(|inode| *inode == id);
        let open = self.open.values().any(|open| open.inode == id);
        if !named && !open {
            self.inodes.remove(&id);
        }
    }
}
