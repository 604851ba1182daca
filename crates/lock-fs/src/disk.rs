//! The one door to the files: performs effects, decides nothing.
//!
//! Each effect is one system call, retried only when a signal interrupted it. What the call
//! answers becomes an event; which answers a machine can do something about is said here,
//! next to the call that gives them.

use std::sync::Arc;

use camino::Utf8PathBuf;
use lock_core::effect::{Effect, Errno, Event, Name, Share, Slot};
use lock_core::record::MAX_RECORD_BYTES;
use lock_core::snapshot::{FileId, Kind, Stat};
use lock_core::time::Wall;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::{self, Errno as Os, retry_on_intr};

use crate::paths::Directory;

const SLOTS: usize = 7;

/// The open files of one contender or owner.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: Arc<Directory>,
    token: String,
    slots: [Option<Open>; SLOTS],
    /// Only the process that locked unlocks: a forked child shares our descriptors, and its
    /// unlock would be ours.
    pid: rustix::process::Pid,
}

#[derive(Debug)]
struct Open {
    fd: OwnedFd,
    locked: bool,
}

impl Disk {
    /// With nothing open. `token` names a ticket that has to be born with a name.
    pub(crate) fn new(directory: Arc<Directory>, token: &str) -> Self {
        Self {
            directory,
            token: token.to_owned(),
            slots: [const { None }; SLOTS],
            pid: rustix::process::getpid(),
        }
    }

    /// The open file in a slot.
    pub(crate) fn file(&self, slot: Slot) -> Option<BorrowedFd<'_>> {
        self.slots.get(slot as usize)?.as_ref().map(|open| open.fd.as_fd())
    }

    /// Performs one effect on the file system.
    pub(crate) fn perform(&mut self, effect: &Effect) -> Event {
        self.call(effect).unwrap_or_else(|errno| failed(effect, errno))
    }

    /// Lets go of every file but the ticket.
    pub(crate) fn close_all_but_ticket(&mut self) {
        for (index, open) in self.slots.iter_mut().enumerate() {
            if index != Slot::Ticket as usize {
                let_go(open.take(), self.pid);
            }
        }
    }

    /// Lets go of every file.
    pub(crate) fn close_all(&mut self) {
        for open in &mut self.slots {
            let_go(open.take(), self.pid);
        }
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
                })
                .map_err(|errno| self.because_removed(errno))?;
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
                let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
                let fd = self.open(name, mode | careful)?;
                self.keep(slot, fd);
            }
            Effect::Stat(slot) => return rustix::fs::fstat(self.fd(slot)?).map(|s| self.stat(&s)),
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
                let_go(open, self.pid);
            }
            Effect::Read(slot) => return self.read(slot),
            Effect::Write(slot, ref text) => self.write(slot, text)?,
            Effect::Sync(slot) => retry_on_intr(|| rustix::fs::fsync(self.fd(slot)?))?,
            Effect::SyncDirectory => retry_on_intr(|| rustix::fs::fsync(&self.directory.fd))?,
            Effect::Touch(slot) => rustix::fs::futimens(self.fd(slot)?, &touched_now())?,
            Effect::Look(name) => {
                let path = self.name(name);
                let stat = retry_on_intr(|| {
                    rustix::fs::statat(&self.directory.fd, &path, AtFlags::SYMLINK_NOFOLLOW)
                })?;
                return Ok(self.stat(&stat));
            }
            Effect::Link(slot, name) => self.link(slot, name)?,
            Effect::Rename { from, to } => {
                let (from, to) = (self.name(from), self.name(to));
                let dir = &self.directory.fd;
                retry_on_intr(|| rustix::fs::renameat(dir, &from, dir, &to))?;
            }
            Effect::Unlink(name) => {
                let path = self.name(name);
                retry_on_intr(|| {
                    rustix::fs::unlinkat(&self.directory.fd, &path, AtFlags::empty())
                })?;
            }
            // Not about files: the driver's business.
            Effect::Watch(_) | Effect::Sleep { .. } | Effect::Signal { .. } => {
                return Err(Os::INVAL);
            }
        }
        Ok(Event::Done)
    }

    /// ext4 answers EPERM to a nameless file in a directory that has been removed.
    fn because_removed(&self, errno: Os) -> Os {
        let removed = || rustix::fs::fstat(&self.directory.fd).is_ok_and(|stat| stat.st_nlink == 0);
        if errno == Os::PERM && removed() { Os::NOENT } else { errno }
    }

    fn open(&self, name: Name, flags: OFlags) -> io::Result<OwnedFd> {
        let path = self.name(name);
        retry_on_intr(|| {
            rustix::fs::openat(&self.directory.fd, &path, flags | OFlags::CLOEXEC, owner_only())
        })
    }

    fn read(&self, slot: Slot) -> io::Result<Event> {
        let mut bytes = vec![0; MAX_RECORD_BYTES + 1];
        let len = retry_on_intr(|| io::pread(self.fd(slot)?, bytes.as_mut_slice(), 0))?;
        bytes.truncate(len);
        Ok(Event::Bytes(bytes))
    }

    fn write(&self, slot: Slot, text: &str) -> io::Result<()> {
        let len = retry_on_intr(|| io::pwrite(self.fd(slot)?, text.as_bytes(), 0))?;
        // A record is far shorter than a block, so only a full disk can cut it.
        if len == text.len() { Ok(()) } else { Err(Os::NOSPC) }
    }

    fn link(&self, slot: Slot, name: Name) -> io::Result<()> {
        // By way of /proc, because naming a bare descriptor (AT_EMPTY_PATH) wants a
        // capability on kernels before 6.10.
        let ticket = format!("/proc/self/fd/{}", self.fd(slot)?.as_raw_fd());
        let path = self.name(name);
        let follow = AtFlags::SYMLINK_FOLLOW;
        retry_on_intr(|| {
            rustix::fs::linkat(CWD, ticket.as_str(), &self.directory.fd, &path, follow)
        })
    }

    fn name(&self, name: Name) -> String {
        self.directory.file_name(name, &self.token)
    }

    fn fd(&self, slot: Slot) -> io::Result<BorrowedFd<'_>> {
        self.file(slot).ok_or(Os::BADF)
    }

    fn keep(&mut self, slot: Slot, fd: OwnedFd) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            let_go(place.replace(Open { fd, locked: false }), self.pid);
        }
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

impl Drop for Disk {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// Unlocks, then closes. Closing alone would be no release while another thread of ours is
/// between fork and exec, where the child still has a copy of every descriptor.
fn let_go(open: Option<Open>, pid: rustix::process::Pid) {
    if let Some(Open { fd, locked: true }) = open
        && rustix::process::getpid() == pid
    {
        // An unlock that fails leaves it to the close, which cannot be told of either.
        let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
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
        (Effect::Create(..) | Effect::Link(..), Os::EXIST) => Event::Exists,
        (Effect::Lock(..), Os::WOULDBLOCK) => Event::Busy,
        (Effect::Lock(..), Os::OPNOTSUPP | Os::NOSYS | Os::NOLCK | Os::INVAL) => Event::Unsupported,
        // EISDIR is what kernels and file systems without O_TMPFILE make of its bits.
        (Effect::CreateAnonymous(_), Os::OPNOTSUPP | Os::ISDIR | Os::INVAL | Os::NOSYS) => {
            Event::Unsupported
        }
        // FAT says EPERM.
        (Effect::Link(..), Os::PERM | Os::OPNOTSUPP | Os::NOSYS) => Event::Unsupported,
        (Effect::Open { .. } | Effect::Create(..), Os::LOOP) => Event::Symlink,
        // Some file systems cannot sync a directory and do not need it.
        (Effect::SyncDirectory, Os::INVAL) => Event::Done,
        _ => Event::Failed(Errno(errno.raw_os_error())),
    }
}
