//! A small model of a file system and of the kernel's locks, for scripted runs.
//!
//! It answers each effect as Linux would: names lead to inodes, a kernel lock belongs to one
//! open file and not to a process, an inode whose last name is gone cannot be linked again,
//! and the number of an inode that nobody has open is given to the next one. Time stands
//! still except in a sleep, which jumps to its end unless the watch has something to tell.
//!
//! Every effect becomes a line of the story. A line that ends with `!` and some words was
//! not forbidden, but no machine should ever ask for it.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::effect::{Effect, Errno, Event, Name, Share, Signal, Slot, Wake};
use crate::machine::Context;
use crate::record::{MAX_RECORD_BYTES, Token};
use crate::snapshot::{FileId, Kind, Stat};
use crate::testing::at;
use crate::time::{Boot, Now, Wall};

const EBADF: Errno = Errno(9);
const EISDIR: Errno = Errno(21);

/// The directory of a lock, and who has what open in it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) now: Now,
    lacks: BTreeSet<Lack>,
    names: BTreeMap<String, u64>,
    inodes: BTreeMap<u64, Inode>,
    open: BTreeMap<(u32, Slot), Open>,
    watches: BTreeMap<u32, Watch>,
    processes: BTreeMap<u32, Nerve>,
    story: Vec<String>,
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
    linkable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    inode: u64,
    writes: bool,
    lock: Option<Share>,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    inode: u64,
    news: Option<Wake>,
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

/// Scripting: what the machines find, and what befalls them.
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

    /// Lets go of what a process has open, as its death does; or its driver, when a machine
    /// has come to its end.
    pub(crate) fn let_go(&mut self, pid: u32) {
        let slots: Vec<Slot> = self.slots(pid).map(|(slot, _)| slot).collect();
        self.watches.remove(&pid);
        for slot in slots {
            self.shut(pid, slot);
        }
    }

    /// The names that are taken.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).collect()
    }

    pub(crate) fn open_slots(&self, pid: u32) -> Vec<Slot> {
        self.slots(pid).map(|(slot, _)| slot).collect()
    }

    /// Whether the name leads to an inode that the process has locked.
    pub(crate) fn holds(&self, pid: u32, name: Name) -> bool {
        let inode = self.names.get(&format!("{name:?}"));
        let ours = |open: &Open| Some(&open.inode) == inode && open.lock == Some(Share::Exclusive);
        self.slots(pid).any(|(_, open)| ours(&open))
    }

    /// The story so far, and what is left on the disk; then a new one begins.
    pub(crate) fn story(&mut self) -> String {
        let left = format!("left: {}", self.names().join(", "));
        let mut lines = core::mem::take(&mut self.story);
        lines.push(left);
        lines.join("\n")
    }

    /// The lines of the story in which a machine did what it never should.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        let lines = self.story.iter().map(String::as_str);
        lines.filter(|line| line.contains(" ! ")).collect()
    }

    pub(crate) fn tell(&mut self, who: &Token, what: &str) {
        self.story.push(format!("{who}  {what}"));
    }
}

/// The kernel.
impl Disk {
    /// Performs an effect for the process of `context`.
    pub(crate) fn perform(&mut self, context: &Context, effect: &Effect) -> Event {
        let complaint = self.complaint(context.pid, effect);
        let event = self.call(context, effect);
        let result = match &event {
            Event::Done | Event::Stat(_) | Event::Bytes(_) => String::new(),
            event => format!(" → {event:?}"),
        };
        let until = match effect {
            Effect::Sleep { .. } => format!(" until {}", self.now.boot),
            _ => String::new(),
        };
        let complaint = complaint.map_or(String::new(), |why| format!(" ! {why}"));
        self.tell(
            &context.token,
            &format!("{effect}{until}{result}{complaint}"),
        );
        event
    }

    fn complaint(&self, pid: u32, effect: &Effect) -> Option<&'static str> {
        let lacks_locks = self.lacks.contains(&Lack::Locks);
        match effect {
            Effect::CreateAnonymous(slot) | Effect::Create(slot, _) | Effect::Open { slot, .. } => {
                let open = self.open.contains_key(&(pid, *slot));
                open.then_some("the slot is in use")
            }
            Effect::Unlock(slot) => match self.open.get(&(pid, *slot)) {
                None => Some("not open"),
                Some(Open { lock: None, .. }) => Some("not locked"),
                Some(_) => None,
            },
            Effect::Close(slot) => match self.open.get(&(pid, *slot)) {
                None => Some("not open"),
                Some(Open { lock: Some(_), .. }) => Some("not unlocked first"),
                Some(_) => None,
            },
            Effect::Unlink(name @ (Name::Mutex | Name::Reclaim)) if !lacks_locks => {
                (!self.holds(pid, *name)).then_some("not ours to remove")
            }
            Effect::Unlink(Name::Lock) | Effect::Rename { to: Name::Lock, .. } if !lacks_locks => {
                (!self.holds(pid, Name::Mutex)).then_some("outside the mutex")
            }
            _ => None,
        }
    }

    fn call(&mut self, context: &Context, effect: &Effect) -> Event {
        let pid = context.pid;
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
            Effect::SyncDirectory => Event::Done,
            Effect::Sleep { until } => self.sleep(pid, *until),
            Effect::Signal { pid, signal, .. } => self.signal(*pid, *signal),
            Effect::Stat(slot)
            | Effect::Lock(slot, _)
            | Effect::Unlock(slot)
            | Effect::Close(slot)
            | Effect::Read(slot)
            | Effect::Write(slot, _)
            | Effect::Sync(slot)
            | Effect::Touch(slot)
            | Effect::Watch(slot) => match self.open.get(&(pid, *slot)).copied() {
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
            Effect::Unlock(_) => {
                self.open.insert((pid, slot), Open { lock: None, ..open });
            }
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
            Effect::Watch(_) => {
                let inode = open.inode;
                self.watches.insert(pid, Watch { inode, news: None });
            }
            _ => {}
        }
        Event::Done
    }

    fn create(&mut self, pid: u32, slot: Slot, path: Option<String>) -> Event {
        if path.as_ref().is_some_and(|path| self.names.contains_key(path)) {
            return Event::Exists;
        }
        let inode = Inode {
            linkable: path.is_none(),
            ..Inode::file("", self.now.wall)
        };
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
        let lock = None;
        self.shut(pid, slot);
        self.open.insert((pid, slot), Open { inode, writes, lock });
        Event::Done
    }

    fn shut(&mut self, pid: u32, slot: Slot) {
        let Some(open) = self.open.remove(&(pid, slot)) else {
            return;
        };
        if open.writes {
            self.notify(open.inode, Wake::Closed);
        }
        self.forget(open.inode);
    }

    fn lock(&mut self, pid: u32, slot: Slot, share: Share) -> Event {
        if self.lacks.contains(&Lack::Locks) {
            return Event::Unsupported;
        }
        let Some(open) = self.open.get(&(pid, slot)).copied() else {
            return Event::Failed(EBADF);
        };
        let conflicts = |lock| lock == Share::Exclusive || share == Share::Exclusive;
        let busy = self.open.iter().any(|(key, other)| {
            *key != (pid, slot) && other.inode == open.inode && other.lock.is_some_and(conflicts)
        });
        if busy {
            return Event::Busy;
        }
        let lock = Some(share);
        self.open.insert((pid, slot), Open { lock, ..open });
        Event::Done
    }

    /// The kernel looks whether the name is free first, and only then whether it can link.
    fn link(&mut self, pid: u32, slot: Slot, path: String) -> Event {
        let Some(open) = self.open.get(&(pid, slot)).copied() else {
            return Event::Failed(EBADF);
        };
        if self.lacks.contains(&Lack::Directory) {
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

    fn unlink(&mut self, path: &str) -> Event {
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

    fn sleep(&mut self, pid: u32, until: Boot) -> Event {
        let news = self.watches.get_mut(&pid).and_then(|watch| watch.news.take());
        if news.is_none() {
            self.pass(until.0.saturating_sub(self.now.boot.0));
        }
        Event::Woken(news.unwrap_or(Wake::Due))
    }

    fn signal(&mut self, pid: u32, signal: Signal) -> Event {
        let nerve = self.processes.get(&pid).copied();
        let dies = match (nerve, signal) {
            (None, _) => return Event::Absent,
            (Some(Nerve::DiesOfTerm), _) | (Some(Nerve::DiesOfKill), Signal::Kill) => true,
            (Some(_), _) => false,
        };
        if dies {
            self.processes.remove(&pid);
            self.let_go(pid);
        }
        Event::Done
    }

    fn stat(&mut self, id: u64) -> Event {
        let Inode {
            kind,
            mtime,
            foreign,
            ..
        } = *self.inode(id);
        Event::Stat(Stat {
            id: FileId {
                device: 1,
                inode: id,
            },
            kind,
            mtime,
            foreign,
        })
    }

    fn notify(&mut self, inode: u64, news: Wake) {
        for watch in self.watches.values_mut() {
            if watch.inode == inode {
                watch.news.get_or_insert(news);
            }
        }
    }

    fn slots(&self, pid: u32) -> impl Iterator<Item = (Slot, Open)> {
        let ours = self.open.iter().filter(move |((owner, _), _)| *owner == pid);
        ours.map(|((_, slot), open)| (*slot, *open))
    }

    fn inode(&mut self, id: u64) -> &mut Inode {
        self.inodes
            .get_mut(&id)
            .expect("an inode stays while it has a name or is open")
    }

    /// File systems give out the lowest free number.
    fn add(&mut self, inode: Inode) -> u64 {
        let id = (1..)
            .find(|id| !self.inodes.contains_key(id))
            .expect("numbers do not run out");
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
