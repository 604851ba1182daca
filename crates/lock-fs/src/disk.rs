//! The one door to the files: performs effects, decides nothing.
//!
//! Each effect is one system call, retried only when a signal interrupted it, and nothing
//! else is called. What the call answers becomes an event; which answers a machine can do
//! something about is said here, next to the call that gives them.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::Arc;

use camino::Utf8PathBuf;
use lock_core::LeftOpen;
use lock_core::effect::{Effect, Errno, Event, Name, Share, Slot};
use lock_core::record::MAX_RECORD_BYTES;
use lock_core::snapshot::{FileId, Kind, Stat};
use lock_core::time::Wall;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, Timespec, Timestamps,
};
use rustix::io::{self, Errno as Os, retry_on_intr};
use rustix::path::DecInt;

use crate::paths::Directory;

const SLOTS: [Slot; 9] = [
    Slot::Ticket,
    Slot::Mutex,
    Slot::Reclaim,
    Slot::Judged,
    Slot::Guard,
    Slot::Rival,
    Slot::Generation,
    Slot::Queue,
    Slot::Ahead,
];

/// Bytes of directory entries that one call can tell: some hundred waiters. One call sees a
/// directory at one moment.
const LISTED_AT_ONCE: usize = 16 * 1024;

/// The open files of one contender or owner.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: Arc<Directory>,
    token: String,
    slots: [Option<Open>; SLOTS.len()],
    /// Only the process that locked unlocks: a forked child shares our descriptors, and its
    /// unlock would be ours.
    pid: u32,
}

#[derive(Debug)]
struct Open {
    fd: OwnedFd,
    locked: bool,
}

impl Disk {
    /// With nothing open. `token` names a ticket that has to be born with a name.
    pub(crate) fn new(directory: Arc<Directory>, token: &str, pid: u32) -> Self {
        Self { directory, token: token.to_owned(), slots: [const { None }; SLOTS.len()], pid }
    }

    /// The open file in a slot.
    pub(crate) fn file(&self, slot: Slot) -> Option<BorrowedFd<'_>> {
        self.slots.get(slot as usize)?.as_ref().map(|open| open.fd.as_fd())
    }

    /// Performs one effect on the file system.
    pub(crate) fn perform(&mut self, effect: &Effect) -> Event {
        self.call(effect).unwrap_or_else(|errno| failed(effect, errno))
    }

    /// Moves the open file of a slot to a contender's own files that have nothing else open.
    pub(crate) fn split_off(&mut self, slot: Slot) -> Self {
        let mut apart = Self::new(Arc::clone(&self.directory), &self.token, self.pid);
        let moved = self.slots.get_mut(slot as usize).and_then(Option::take);
        if let Some(place) = apart.slots.get_mut(slot as usize) {
            *place = moved;
        }
        apart
    }

    /// The user whose directory the lock is in.
    pub(crate) fn directory_owner(&self) -> u32 {
        self.directory.owner()
    }

    /// The files that are open, except in these slots.
    pub(crate) fn left_open(&self, kept: &[Slot]) -> Vec<LeftOpen> {
        let slots = SLOTS.into_iter().filter(|slot| !kept.contains(slot));
        let open = |slot| self.slots.get(slot as usize)?.as_ref();
        slots
            .filter_map(|slot| open(slot).map(|open| LeftOpen { slot, locked: open.locked }))
            .collect()
    }

    /// The whole path of a name, for messages.
    pub(crate) fn path(&self, name: Name) -> Utf8PathBuf {
        self.directory.path(name, &self.token)
    }

    fn call(&mut self, effect: &Effect) -> io::Result<Event> {
        match *effect {
            Effect::CreateAnonymous(slot) => {
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let fd = retry_on_intr(|| {
                    rustix::fs::openat(&self.directory.fd, c".", flags, owner_only())
                })?;
                self.keep(slot, fd);
            }
            Effect::Create(slot, name) => {
                let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let fd = self.open(name, new | OFlags::RDWR)?;
                self.keep(slot, fd);
            }
            Effect::Open { slot, name, write } => {
                let mode = if write { OFlags::RDWR } else { OFlags::RDONLY };
                // Whatever stands there must neither block us nor become our terminal.
                let mut careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
                careful.set(OFlags::DIRECTORY, name == Name::Queue);
                let fd = self.open(name, mode | careful)?;
                self.keep(slot, fd);
            }
            Effect::Stat(slot) => {
                let stat = retry_on_intr(|| rustix::fs::fstat(self.fd(slot)?))?;
                return Ok(self.stat(&stat));
            }
            Effect::Lock(slot, share) => {
                let how = match share {
                    Share::Exclusive => FlockOperation::NonBlockingLockExclusive,
                    Share::Shared => FlockOperation::NonBlockingLockShared,
                };
                retry_on_intr(|| rustix::fs::flock(self.fd(slot)?, how))?;
                self.mark(slot, true);
            }
            Effect::Unlock(slot) => {
                retry_on_intr(|| rustix::fs::flock(self.fd(slot)?, FlockOperation::Unlock))?;
                self.mark(slot, false);
            }
            Effect::Close(slot) => {
                let open = self.slots.get_mut(slot as usize).and_then(Option::take);
                drop(open.ok_or(Os::BADF)?);
            }
            Effect::Read(slot) => return self.read(slot),
            Effect::Write(slot, ref text) => self.write(slot, text)?,
            Effect::Sync(slot) => retry_on_intr(|| rustix::fs::fsync(self.fd(slot)?))?,
            Effect::SyncDirectory => retry_on_intr(|| rustix::fs::fsync(&self.directory.fd))?,
            Effect::Touch(slot) => {
                retry_on_intr(|| rustix::fs::futimens(self.fd(slot)?, &touched_now()))?;
            }
            Effect::Look(name) => {
                let path = self.name(name);
                let stat = retry_on_intr(|| {
                    rustix::fs::statat(&self.directory.fd, &*path, AtFlags::SYMLINK_NOFOLLOW)
                })?;
                return Ok(self.stat(&stat));
            }
            Effect::Link(slot, name) => self.link(slot, name)?,
            Effect::Rename { from, to } => {
                let (from, to) = (self.name(from), self.name(to));
                let dir = &self.directory.fd;
                retry_on_intr(|| rustix::fs::renameat(dir, &*from, dir, &*to))?;
            }
            Effect::Unlink(name) => {
                let path = self.name(name);
                retry_on_intr(|| {
                    rustix::fs::unlinkat(&self.directory.fd, &*path, AtFlags::empty())
                })?;
            }
            Effect::CreateDirectory(name) => {
                let path = self.name(name);
                retry_on_intr(|| rustix::fs::mkdirat(&self.directory.fd, &*path, Mode::RWXU))?;
            }
            Effect::RemoveDirectory(name) => {
                let path = self.name(name);
                retry_on_intr(|| {
                    rustix::fs::unlinkat(&self.directory.fd, &*path, AtFlags::REMOVEDIR)
                })?;
            }
            Effect::List(slot) => return self.list(slot),
            // Not about files: the driver's business.
            Effect::Watch(_)
            | Effect::Sleep { .. }
            | Effect::AskProcess { .. }
            | Effect::AskCgroup(_)
            | Effect::ListHolders(_)
            | Effect::ListHoldersOf(_)
            | Effect::Signal { .. } => return Err(Os::INVAL),
        }
        Ok(Event::Done)
    }

    fn open(&self, name: Name, flags: OFlags) -> io::Result<OwnedFd> {
        let path = self.name(name);
        retry_on_intr(|| {
            rustix::fs::openat(&self.directory.fd, &*path, flags | OFlags::CLOEXEC, owner_only())
        })
    }

    fn read(&self, slot: Slot) -> io::Result<Event> {
        // Most files are a tenth as long.
        let mut buffer = [const { MaybeUninit::uninit() }; MAX_RECORD_BYTES + 1];
        retry_on_intr(|| {
            let (bytes, _) = io::pread(self.fd(slot)?, &mut buffer[..], 0)?;
            Ok(Event::Bytes(bytes.to_vec()))
        })
    }

    fn write(&self, slot: Slot, text: &str) -> io::Result<()> {
        let len = retry_on_intr(|| io::pwrite(self.fd(slot)?, text.as_bytes(), 0))?;
        // A record is far shorter than a block, so only a full disk can cut it.
        if len == text.len() { Ok(()) } else { Err(Os::NOSPC) }
    }

    fn link(&self, slot: Slot, name: Name) -> io::Result<()> {
        // By way of /proc, because naming a bare descriptor (AT_EMPTY_PATH) wants a
        // capability on kernels before 6.10.
        let number = DecInt::from_fd(self.fd(slot)?);
        let ticket = ["/proc/self/fd/", number.as_str()].concat();
        let path = self.name(name);
        let follow = AtFlags::SYMLINK_FOLLOW;
        retry_on_intr(|| {
            rustix::fs::linkat(CWD, ticket.as_str(), &self.directory.fd, &*path, follow)
        })
    }

    /// What else stands there than numbers is none of ours.
    fn list(&self, slot: Slot) -> io::Result<Event> {
        let mut buffer = Vec::with_capacity(LISTED_AT_ONCE);
        let mut directory = RawDir::new(self.fd(slot)?, buffer.spare_capacity_mut());
        let mut numbers = Vec::new();
        while let Some(entry) = directory.next() {
            let entry = match entry {
                Err(Os::INTR) => continue,
                entry => entry?,
            };
            let name = entry.file_name().to_str().ok();
            numbers.extend(name.and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(Event::Listed(numbers))
    }

    fn name(&self, name: Name) -> Cow<'_, str> {
        self.directory.file_name(name, &self.token)
    }

    fn fd(&self, slot: Slot) -> io::Result<BorrowedFd<'_>> {
        self.file(slot).ok_or(Os::BADF)
    }

    fn keep(&mut self, slot: Slot, fd: OwnedFd) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Open { fd, locked: false });
        }
    }

    /// Leaves the kernel lock of a slot to others that have the descriptor: it is closed, and not
    /// unlocked first.
    pub(crate) fn leave_lock_to_heirs(&mut self, slot: Slot) {
        self.mark(slot, false);
    }

    fn mark(&mut self, slot: Slot, locked: bool) {
        if let Some(Some(open)) = self.slots.get_mut(slot as usize) {
            open.locked = locked;
        }
    }

    fn stat(&self, stat: &rustix::fs::Stat) -> Event {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        let millis = stat.st_mtime.saturating_mul(1000);
        let millis =
            millis.saturating_add(i64::try_from(stat.st_mtime_nsec / 1_000_000).unwrap_or(0));
        Event::Stat(Stat {
            id: FileId { device: stat.st_dev, inode: stat.st_ino },
            kind,
            mtime: Wall(u64::try_from(millis).unwrap_or(0)),
            links: stat.st_nlink,
            foreign: self.directory.is_foreign(stat.st_uid),
        })
    }
}

/// Machines let go of what they have opened; this is for one that did not come to its end,
/// because of a panic.
impl Drop for Disk {
    fn drop(&mut self) {
        let locked = self.slots.iter().flatten().filter(|open| open.locked);
        for Open { fd, .. } in locked.filter(|_| std::process::id() == self.pid) {
            // Closing alone would be no release while another thread of ours is between fork
            // and exec, where the child still has a copy of every descriptor. An unlock that
            // fails leaves it to the close, which cannot be told of either.
            let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
        }
    }
}

fn owner_only() -> Mode {
    Mode::RUSR | Mode::WUSR
}

fn touched_now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

/// The answers that a machine may have a use for; the rest are failures.
fn failed(effect: &Effect, errno: Os) -> Event {
    match (effect, errno) {
        (_, Os::NOENT) => Event::Absent,
        (Effect::Create(..) | Effect::Link(..) | Effect::CreateDirectory(_), Os::EXIST) => {
            Event::Exists
        }
        (Effect::Lock(..), Os::WOULDBLOCK) => Event::Busy,
        // ENOLCK is a table that is full for a moment, not a file system without locks.
        (Effect::Lock(..), Os::OPNOTSUPP | Os::NOSYS | Os::INVAL) => Event::Unsupported,
        // EISDIR is what kernels and file systems without O_TMPFILE make of its bits. EPERM is
        // what ext4 says in a directory that has been removed; a file with a name is tried
        // then, and there the answer is ENOENT.
        (
            Effect::CreateAnonymous(_),
            Os::OPNOTSUPP | Os::ISDIR | Os::INVAL | Os::NOSYS | Os::PERM,
        ) => Event::Unsupported,
        // FAT says EPERM.
        (Effect::Link(..), Os::PERM | Os::OPNOTSUPP | Os::NOSYS) => Event::Unsupported,
        (Effect::Open { .. } | Effect::Create(..), Os::LOOP) => Event::Symlink,
        // Some file systems cannot sync a directory and do not need it.
        (Effect::SyncDirectory, Os::INVAL) => Event::Done,
        _ => Event::Failed(Errno(errno.raw_os_error())),
    }
}
