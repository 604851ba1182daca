//! One directory: names that lead to inodes, and the kernel's locks on them.
//!
//! What is modelled is what the protocol leans on: several names may lead to one inode; an
//! inode lives as long as it has a name or is open; its number is then given to the next
//! file at once, the lowest first, as ext4 does; a file made without a name may be linked
//! until it has lost its last name, never again after that; `rename` between two names of
//! one inode does nothing; a kernel lock belongs to an open file description, so two of one
//! process exclude each other as well. The queue is a directory in it: whoever still has a
//! removed one open finds nothing there any more, not even that it is empty.

use std::hash::{Hash, Hasher};

use lock_core::effect::{Name, Slot};
use lock_core::snapshot::{FileId, Kind, Stat};
use lock_core::time::Wall;

use super::directory::is_queued;
use super::text::Text;
use crate::sketch::mention;

/// A process, by its place in the world.
pub type Pid = u8;

/// One try of one process: what a file's content is traced back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Who.
    pub pid: Pid,
    /// The how-manieth try.
    pub round: u8,
}

impl Hash for Maker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(mention(self.pid));
        state.write_u8(self.round);
    }
}

/// An inode's number, counted from 1.
pub type Ino = u8;

/// An open file description: the process and where it keeps it.
pub(super) type Holder = (Pid, Slot);

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Inode {
    /// How many names lead here.
    pub links: u8,
    /// How many descriptions are open.
    pub opens: u8,
    /// Had a name and has none any more, so that it cannot be linked.
    pub orphaned: bool,
    /// The queue's directory.
    pub directory: bool,
    /// The content.
    pub text: Text,
    /// Last modification, by the file system's wall clock.
    pub mtime: u64,
    /// Who has it kernel-locked for itself.
    pub exclusive: Option<(Pid, Slot)>,
    /// Who has it kernel-locked together with others.
    pub shared: Vec<(Pid, Slot)>,
    /// Who made or last wrote it; nobody for what stood there from the start.
    pub maker: Option<Maker>,
}

/// The directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Files {
    names: Vec<Option<Ino>>,
    /// The names in the queue, in the order of their numbers.
    pub(super) queued: Vec<(u64, Ino)>,
    inodes: Vec<Option<Inode>>,
    /// An unlink that has counted the name off and told the watchers, but has not removed
    /// it yet. Its caller has the directory to itself until then; looking needs no such leave.
    torn: Option<(Name, Pid)>,
}

/// What a change to the files gives watchers to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The inode gained or lost a name, or was touched.
    Changed(Ino),
    /// Its last name can no longer be found: the kernel takes the watches on it away, and
    /// says so.
    Gone(Ino),
    /// Someone who had it open for writing closed it.
    Closed(Ino),
    /// A guard's name changed: worth waking up for without a watch.
    Renamed,
    /// A kernel lock on a file with a name fell, which no watch tells of.
    Unlocked,
    /// The inode is no more, and so are the watches on it.
    Freed(Ino),
}

/// What came of a call that may collide with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// The name is taken.
    Exists,
    /// There is no such name, or the inode cannot be linked.
    Absent,
    /// The directory is not empty.
    NotEmpty,
}

impl Files {
    /// Where a name leads. Tickets' names are unique to their process.
    #[must_use]
    pub fn lookup(&self, name: Name, pid: Pid) -> Option<Ino> {
        match name {
            Name::Queued(number) => self.queued_at(number).ok().map(|(_, ino)| ino),
            name => self.names.get(place(name, pid)).copied().flatten(),
        }
    }

    /// The inode with this number.
    #[must_use]
    pub fn inode(&self, ino: Ino) -> Option<&Inode> {
        self.inodes.get(usize::from(ino).checked_sub(1)?)?.as_ref()
    }

    /// The same, to change it.
    pub fn inode_mut(&mut self, ino: Ino) -> Option<&mut Inode> {
        self.inodes.get_mut(usize::from(ino).checked_sub(1)?)?.as_mut()
    }

    /// The file a name leads to.
    #[must_use]
    pub fn file(&self, name: Name, pid: Pid) -> Option<&Inode> {
        self.inode(self.lookup(name, pid)?)
    }

    /// Every name in use, with its inode; tickets' names as those of their process.
    pub fn names(&self) -> impl Iterator<Item = (Name, Pid, Ino)> + '_ {
        let names = self.names.iter().enumerate();
        let names = names.filter_map(|(place, ino)| Some((place, (*ino)?))).map(|(place, ino)| {
            match SHARED_NAMES.get(place) {
                Some(name) => (*name, 0, ino),
                None => (Name::Ticket, pid_of(place), ino),
            }
        });
        names.chain(self.queued.iter().map(|(number, ino)| (Name::Queued(*number), 0, *ino)))
    }

    /// A new inode without a name.
    pub fn create(&mut self, mtime: u64, maker: Option<Maker>) -> Ino {
        let inode = Inode { mtime, maker, ..Inode::default() };
        let free = self.inodes.iter().position(Option::is_none);
        match free.and_then(|free| self.inodes.get_mut(free).map(|place| (free, place))) {
            Some((free, place)) => {
                *place = Some(inode);
                ino_at(free)
            }
            None => {
                self.inodes.push(Some(inode));
                ino_at(self.inodes.len() - 1)
            }
        }
    }

    /// `linkat`: the name first, then the inode, in the kernel's order of complaint.
    pub fn link(&mut self, ino: Ino, name: Name, pid: Pid, notices: &mut Vec<Notice>) -> Outcome {
        if is_queued(name) && self.lookup(Name::Queue, pid).is_none() {
            return Outcome::Absent;
        }
        if self.lookup(name, pid).is_some() {
            return Outcome::Exists;
        }
        match self.inode_mut(ino) {
            Some(inode) if !inode.orphaned => inode.links += 1,
            _ => return Outcome::Absent,
        }
        self.lead(name, pid, Some(ino), notices);
        notices.push(Notice::Changed(ino));
        Outcome::Done
    }

    /// `unlink`.
    pub fn unlink(&mut self, name: Name, pid: Pid, notices: &mut Vec<Notice>) -> Outcome {
        let Some(ino) = self.lookup(name, pid) else {
            return Outcome::Absent;
        };
        self.lead(name, pid, None, notices);
        if self.torn == Some((name, pid)) {
            self.torn = None;
            self.gone(ino, notices);
        } else {
            self.drop_link(ino, notices);
            self.gone(ino, notices);
        }
        Outcome::Done
    }

    /// The first moment of an unlink; [`Self::unlink`] is the second.
    pub fn tear(&mut self, name: Name, pid: Pid, notices: &mut Vec<Notice>) {
        if let Some(ino) = self.lookup(name, pid) {
            self.torn = Some((name, pid));
            self.drop_link(ino, notices);
        }
    }

    /// Who is in the middle of an unlink.
    #[must_use]
    pub fn unlinker(&self) -> Option<Pid> {
        self.torn.map(|(_, pid)| pid)
    }

    /// Which name is in the middle of being unlinked, and by whom.
    #[must_use]
    pub const fn torn(&self) -> Option<(Name, Pid)> {
        self.torn
    }

    /// Every inode with its number.
    pub fn inodes(&self) -> impl Iterator<Item = (Ino, &Inode)> {
        self.inodes.iter().enumerate().filter_map(|(at, inode)| Some((ino_at(at), inode.as_ref()?)))
    }

    /// `rename`, replacing what is there.
    pub fn rename(&mut self, from: Name, to: Name, pid: Pid, notices: &mut Vec<Notice>) -> Outcome {
        let Some(ino) = self.lookup(from, pid) else {
            return Outcome::Absent;
        };
        let replaced = self.lookup(to, pid);
        if replaced == Some(ino) {
            return Outcome::Done;
        }
        self.lead(from, pid, None, notices);
        self.lead(to, pid, Some(ino), notices);
        notices.push(Notice::Changed(ino));
        if let Some(replaced) = replaced {
            self.drop_link(replaced, notices);
            self.gone(replaced, notices);
        }
        Outcome::Done
    }

    /// One more description of this inode.
    pub fn opened(&mut self, ino: Ino) {
        if let Some(inode) = self.inode_mut(ino) {
            inode.opens += 1;
        }
    }

    /// A description goes: its lock falls, and the inode with its last one if it is nameless.
    pub(super) fn closed(
        &mut self,
        ino: Ino,
        holder: Holder,
        write: bool,
        notices: &mut Vec<Notice>,
    ) {
        if write {
            notices.push(Notice::Closed(ino));
        }
        self.unlock(ino, holder, notices);
        if let Some(inode) = self.inode_mut(ino) {
            inode.opens = inode.opens.saturating_sub(1);
        }
        self.free_if_unused(ino, notices);
    }

    /// `flock` without waiting; converts what the description holds already, or loses it.
    pub(super) fn lock(&mut self, ino: Ino, holder: Holder, exclusive: bool) -> bool {
        let Some(inode) = self.inode_mut(ino) else {
            return false;
        };
        let another_has_it = inode.exclusive.is_some_and(|other| other != holder);
        let others_share = inode.shared.iter().any(|other| *other != holder);
        let is_refused = another_has_it || (exclusive && others_share);
        inode.shared.retain(|other| *other != holder);
        if exclusive && !is_refused {
            inode.exclusive = Some(holder);
        } else if !is_refused {
            inode.exclusive = None;
            inode.shared.push(holder);
            inode.shared.sort_unstable();
        }
        !is_refused
    }

    /// `flock(LOCK_UN)`.
    pub(super) fn unlock(&mut self, ino: Ino, holder: Holder, notices: &mut Vec<Notice>) {
        let Some(inode) = self.inode_mut(ino) else {
            return;
        };
        if inode.exclusive == Some(holder) {
            inode.exclusive = None;
            if inode.links > 0 {
                notices.push(Notice::Unlocked);
            }
        }
        // An asker's share is given back at once and is no news; only a ticket is held by one.
        let shares = holder.1 == Slot::Ticket && inode.shared.contains(&holder);
        if shares && inode.links > 0 {
            notices.push(Notice::Unlocked);
        }
        inode.shared.retain(|other| *other != holder);
    }

    /// What `stat` says.
    #[must_use]
    pub fn stat(&self, ino: Ino) -> Option<Stat> {
        let inode = self.inode(ino)?;
        Some(Stat {
            id: file_id(ino),
            kind: if inode.directory { Kind::Directory } else { Kind::File },
            mtime: Wall(inode.mtime),
            links: inode.links.into(),
            foreign: false,
        })
    }

    fn drop_link(&mut self, ino: Ino, notices: &mut Vec<Notice>) {
        notices.push(Notice::Changed(ino));
        if let Some(inode) = self.inode_mut(ino) {
            inode.links = inode.links.saturating_sub(1);
            inode.orphaned = inode.links == 0;
        }
    }

    /// A name of it can no longer be found.
    fn gone(&mut self, ino: Ino, notices: &mut Vec<Notice>) {
        if self.inode(ino).is_some_and(|inode| inode.links == 0) {
            notices.push(Notice::Gone(ino));
        }
        self.free_if_unused(ino, notices);
    }

    fn free_if_unused(&mut self, ino: Ino, notices: &mut Vec<Notice>) {
        let leads = self.torn.and_then(|(name, pid)| self.lookup(name, pid)) == Some(ino);
        let unused = |inode: &Inode| inode.links == 0 && inode.opens == 0 && !leads;
        if self.inode(ino).is_some_and(unused)
            && let Some(place) = self.inodes.get_mut(usize::from(ino).saturating_sub(1))
        {
            *place = None;
            notices.push(Notice::Freed(ino));
        }
        while self.inodes.last().is_some_and(Option::is_none) {
            self.inodes.pop();
        }
    }

    fn lead(&mut self, name: Name, pid: Pid, to: Option<Ino>, notices: &mut Vec<Notice>) {
        if let Name::Queued(number) = name {
            return self.lead_queued(number, to, notices);
        }
        let place = place(name, pid);
        if self.names.len() <= place {
            self.names.resize(place + 1, None);
        }
        if let Some(name) = self.names.get_mut(place) {
            *name = to;
        }
        while self.names.last().is_some_and(Option::is_none) {
            self.names.pop();
        }
        if matches!(name, Name::Lock | Name::Mutex | Name::Reclaim) {
            notices.push(Notice::Renamed);
        }
    }
}

/// The machines' identity of an inode.
#[must_use]
pub fn file_id(ino: Ino) -> FileId {
    FileId { device: 1, inode: u64::from(ino) }
}

const SHARED_NAMES: [Name; 7] = [
    Name::Lock,
    Name::Mutex,
    Name::Reclaim,
    Name::Takeover,
    Name::Generation,
    Name::GenerationDraft,
    Name::Queue,
];

fn place(name: Name, pid: Pid) -> usize {
    let shared = SHARED_NAMES.iter().position(|shared| *shared == name);
    shared.unwrap_or(SHARED_NAMES.len() + usize::from(pid))
}

fn pid_of(place: usize) -> Pid {
    let pid = place.saturating_sub(SHARED_NAMES.len());
    Pid::try_from(pid).unwrap_or(Pid::MAX)
}

fn ino_at(place: usize) -> Ino {
    Ino::try_from(place + 1).unwrap_or(Ino::MAX)
}
