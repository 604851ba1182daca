//! The vocabulary between the machines and whoever performs for them.
//!
//! A machine asks for one [`Effect`] and is told one [`Event`]. One effect is one system
//! call on shared state, so whatever a simulator interleaves is what the kernel can
//! interleave. The exceptions touch no file of the lock: [`Effect::Signal`], and the questions
//! about processes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::record::{Birth, Inode};
use crate::snapshot::{FileId, Stat};
use crate::time::Mono;

/// A path of the lock. A role is taken by giving its name to one's ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `<lock>`: whoever's ticket has this name owns the lock.
    Lock,
    /// `<lock>.mutex`: held for a few file operations around each transition.
    Mutex,
    /// `<lock>.mutex.reclaim`: held by whoever removes a dead holder's mutex.
    Reclaim,
    /// `<lock>.takeover`: a breaker's ticket on its way to `<lock>`. Made and renamed under
    /// the mutex, so one fixed name does; and whoever reaps a dead mutex knows where to
    /// find what its holder left behind.
    Takeover,
    /// `<lock>.ticket.<token>`: a ticket that had to be born with a name.
    Ticket,
    /// `<lock>.generation`: the last number given out, and how far numbers are reserved.
    Generation,
    /// `<lock>.generation.new`: the next reservation on its way to `<lock>.generation`.
    GenerationDraft,
    /// `<lock>.queue`: the directory of those who wait.
    Queue,
    /// `<lock>.queue/<number>`: a waiter's ticket. The smallest number is next.
    Queued(u64),
}

/// An open file of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Our ticket: kernel-locked for as long as it has any role.
    Ticket,
    /// Our own mutex file: where the file system has no hard links, and that of an owner whose
    /// ticket's descriptor others inherit.
    Mutex,
    /// Our own reclaim file, where the file system has no hard links.
    Reclaim,
    /// The lock file under judgement.
    Judged,
    /// Another's mutex; or the lock, to learn who has taken ours.
    Guard,
    /// Another's reclaim lock.
    Rival,
    /// The generation file.
    Generation,
    /// The queue's directory.
    Queue,
    /// The ticket of the waiter before us.
    Ahead,
}

/// How the kernel's lock on an inode is asked for; never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// By a ticket's maker, and by whoever means to clear a dead one's name.
    Exclusive,
    /// By whoever only asks whether the owner lives: askers must not look like owners to
    /// each other.
    Shared,
}

/// How to end an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// `open(dir, O_TMPFILE | O_RDWR)`: a file without a name.
    CreateAnonymous(Slot),
    /// `open(name, O_CREAT | O_EXCL | O_RDWR)`.
    Create(Slot, Name),
    /// `open(name, O_RDONLY)`; with `write`, `O_RDWR`.
    Open {
        /// Where to keep it.
        slot: Slot,
        /// What to open.
        name: Name,
        /// Whether it will be written.
        write: bool,
    },
    /// `fstat`.
    Stat(Slot),
    /// `flock` without waiting.
    Lock(Slot, Share),
    /// `flock(LOCK_UN)`. Closing alone is no release: a child between fork and exec still
    /// has the descriptor.
    Unlock(Slot),
    /// `close`.
    Close(Slot),
    /// `pread` from the start, at most one byte more than a record may have.
    Read(Slot),
    /// `pwrite` at the start.
    Write(Slot, String),
    /// `fsync`.
    Sync(Slot),
    /// `fsync` of the directory.
    SyncDirectory,
    /// `futimens(now)`: a peer judges our mutex by its mtime.
    Touch(Slot),
    /// `lstat`: which inode a name leads to now.
    Look(Name),
    /// `linkat`: gives an open file a further name; never replaces one.
    Link(Slot, Name),
    /// `rename`, replacing what is there.
    Rename {
        /// The present name.
        from: Name,
        /// The new one.
        to: Name,
    },
    /// `unlink`.
    Unlink(Name),
    /// `mkdir`.
    CreateDirectory(Name),
    /// `rmdir`.
    RemoveDirectory(Name),
    /// `getdents`, until nothing is left: what has numbers for names in an open directory. What
    /// comes or goes meanwhile may be among them or not.
    List(Slot),
    /// `inotify_add_watch` on an open file's inode: from now on [`Effect::Sleep`] ends when
    /// it loses a name or its writer closes it. For [`Slot::Ahead`], only when it loses its last:
    /// a waiter gives its ticket names and takes them away, and nobody behind it need care.
    Watch(Slot),
    /// Sleep until the instant, the watched inode changes, or the wait is cancelled.
    Sleep {
        /// When to wake at the latest.
        until: Mono,
    },
    /// Asks whether this process runs: one with this number that started at another time is
    /// another process, and one in another pid namespace cannot be asked about.
    /// [`Event::Done`] if it runs, [`Event::Absent`] if it does not.
    AskProcess {
        /// Its number.
        pid: u32,
        /// Tells it from later ones.
        birth: Birth,
    },
    /// Asks whether a cgroup, named below the cgroup mount, has processes in it:
    /// [`Event::Done`] if it has, [`Event::Absent`] if it has none or is gone.
    AskCgroup(String),
    /// Lists the processes that have an open file's inode kernel-locked. Having it open is not
    /// enough: waiters have, and `tail -f`.
    ListHolders(Slot),
    /// The same of an inode that is not open here, and only if it has no name any more: its number
    /// may be another file's by now, a waiter's ticket say, and those have names.
    ListHoldersOf(Inode),
    /// Sends a signal to the processes that have an open file's inode kernel-locked exclusively,
    /// through pidfds, and to no others: each must be in our pid namespace and belong to the inode's
    /// owner. One that has it locked in shared mode only asks, at this moment, whether it is free.
    /// Of a mutex or a reclaim lock only the process that its record names may be signalled: nothing
    /// inherits those, and one that asks may have a reclaim lock exclusively.
    /// [`Event::Holders`] says which processes the signal was sent to.
    Signal {
        /// The lock or the mutex.
        slot: Slot,
        /// The process that its record names comes first.
        first: u32,
        /// Whether that process is left alone, because its steps are fenced.
        spared: bool,
        /// What.
        signal: Signal,
    },
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It was done.
    Done,
    /// What `stat` says.
    Stat(Stat),
    /// What was read.
    Bytes(Vec<u8>),
    /// The numbers in the queue, in no order.
    Listed(Vec<u64>),
    /// The processes that have an inode kernel-locked, as far as they can be seen, in ascending
    /// order; or those of them to which a signal was sent.
    Holders(Vec<u32>),
    /// There is no such name (ENOENT), or no such process.
    Absent,
    /// The name is taken (EEXIST).
    Exists,
    /// Another holds the kernel's lock (EWOULDBLOCK).
    Busy,
    /// The name is a symbolic link, which is never followed (ELOOP).
    Symlink,
    /// This file system cannot do that at all.
    Unsupported,
    /// The sleep ended.
    Woken(Wake),
    /// The system refused.
    Failed(Errno),
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// The watched inode gained or lost a name.
    Changed,
    /// The watched inode's writer closed it: the kernel's lock falls in the same breath,
    /// but a hair later.
    Closed,
    /// The time came.
    Due,
    /// The wait was cancelled.
    Cancelled,
}

/// A system error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Event {
    /// Whether a [`Effect::Look`] found just this inode, under a name that is there to stay.
    /// The kernel tells a watcher of an unlink, and counts the name off, a moment before the
    /// name can no longer be found: whoever looks in that moment would otherwise go back to
    /// sleep and never be woken again.
    #[must_use]
    pub fn leads_to(&self, id: FileId) -> bool {
        matches!(self, Self::Stat(stat) if stat.id == id && stat.links > 0)
    }
}

impl Effect {
    /// The effect's verb, for messages that say what failed.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::CreateAnonymous(_) | Self::Create(..) | Self::CreateDirectory(_) => "create",
            Self::Open { .. } => "open",
            Self::Stat(_) | Self::Look(_) => "stat",
            Self::Lock(..) => "flock",
            Self::Unlock(_) => "unlock",
            Self::Close(_) => "close",
            Self::Read(_) => "read",
            Self::Write(..) => "write",
            Self::Sync(_) | Self::SyncDirectory => "sync",
            Self::Touch(_) => "touch",
            Self::Link(..) => "link",
            Self::Rename { .. } => "rename",
            Self::Unlink(_) | Self::RemoveDirectory(_) => "remove",
            Self::List(_) => "list",
            Self::Watch(_) => "watch",
            Self::Sleep { .. } => "sleep",
            Self::AskProcess { .. } => "look for the process of",
            Self::AskCgroup(_) => "look for the cgroup of",
            Self::ListHolders(_) | Self::ListHoldersOf(_) => "list the holders of",
            Self::Signal { .. } => "signal the holders of",
        }
    }

    /// The path the effect is about, where it has one.
    #[must_use]
    pub const fn name(&self) -> Option<Name> {
        match self {
            Self::Create(_, name)
            | Self::Open { name, .. }
            | Self::Look(name)
            | Self::Link(_, name)
            | Self::Unlink(name)
            | Self::CreateDirectory(name)
            | Self::RemoveDirectory(name)
            | Self::Rename { to: name, .. } => Some(*name),
            Self::Stat(slot)
            | Self::Lock(slot, _)
            | Self::Unlock(slot)
            | Self::Close(slot)
            | Self::Read(slot)
            | Self::Write(slot, _)
            | Self::Sync(slot)
            | Self::Touch(slot)
            | Self::List(slot)
            | Self::Watch(slot)
            | Self::ListHolders(slot)
            | Self::Signal { slot, .. } => Some(slot.name()),
            Self::CreateAnonymous(_)
            | Self::SyncDirectory
            | Self::AskProcess { .. }
            | Self::AskCgroup(_)
            | Self::ListHoldersOf(_)
            | Self::Sleep { .. } => None,
        }
    }
}

impl Slot {
    /// The name that best tells a person which file this is.
    #[must_use]
    pub const fn name(self) -> Name {
        match self {
            Self::Ticket | Self::Judged => Name::Lock,
            Self::Mutex | Self::Guard => Name::Mutex,
            Self::Reclaim | Self::Rival => Name::Reclaim,
            Self::Generation => Name::Generation,
            Self::Queue | Self::Ahead => Name::Queue,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(slot, _) => write!(f, "Write({slot:?})"),
            Self::Sleep { .. } => f.write_str("Sleep"),
            Self::Open { slot, name, .. } => write!(f, "Open({slot:?}, {name:?})"),
            Self::Rename { from, to } => write!(f, "Rename({from:?}, {to:?})"),
            Self::Signal { slot, signal, .. } => write!(f, "Signal({slot:?}, {signal:?})"),
            Self::AskProcess { .. } => f.write_str("AskProcess"),
            Self::AskCgroup(_) => f.write_str("AskCgroup"),
            Self::ListHoldersOf(_) => f.write_str("ListHoldersOf"),
            other => write!(f, "{other:?}"),
        }
    }
}
