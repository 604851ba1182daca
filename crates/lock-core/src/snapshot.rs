//! What was seen on disk: the facts a decision may rest on, and nothing else.

use crate::record::{Record, RecordError};
use crate::time::Wall;

/// Tells two inodes apart *while one of them is open*: file systems reuse numbers at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// What kind of thing a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The only kind that can be a lock file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, which is never followed.
    Symlink,
    /// FIFO, socket or device.
    Other,
}

/// What `stat` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    /// Which inode.
    pub id: FileId,
    /// What kind.
    pub kind: Kind,
    /// Last modification, by the file system's wall clock.
    pub mtime: Wall,
    /// How many names the inode has.
    pub links: u64,
    /// Owned by a user whom this run directory gives no business here.
    pub foreign: bool,
}

/// Whether some process holds the kernel's lock on an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelLock {
    /// Someone does: the inode's maker, or a child of it, is alive.
    Held,
    /// No one does.
    Free,
    /// This file system has no kernel locks that we trust.
    Unknown,
}

/// Whether something still runs, as far as that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Life {
    /// It was not asked, or cannot be known from here.
    #[default]
    Unknown,
    /// It runs.
    Running,
    /// It has ended.
    Ended,
}

/// A lock file that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Which inode.
    pub id: FileId,
    /// Whether some process holds its kernel lock.
    pub kernel: KernelLock,
    /// Whether the process that its record names runs: asked where the kernel lock alone does not
    /// tell an owner from what it has left.
    pub process: Life,
    /// Whether the cgroup that its record names is populated: asked where the kernel lock is free.
    pub cgroup: Life,
    /// What it says, or why that cannot be read.
    pub content: Result<Record, Defect>,
}

/// Why the content of a lock file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Defect {
    /// It was read and is not a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It could not be read; holds the system's error number.
    #[error("reading it failed with error {0}")]
    Unreadable(i32),
}

/// One look at a lock's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Snapshot {
    /// Nothing is there.
    Absent,
    /// A file is there.
    Present(Seen),
}

impl Snapshot {
    /// The record, if there is a readable one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Present(Seen { content: Ok(record), .. }) => Some(record),
            _ => None,
        }
    }
}
