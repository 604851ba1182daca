//! The bare loop of the same system calls: one cycle of our lock, called again without the
//! lock around it.

use std::fs;
use std::sync::atomic::AtomicU32;

use camino::{Utf8Path, Utf8PathBuf};
use lock_bench_peer::{Failure, Subject};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, flock, fstat, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::{pread, pwrite};
use rustix::process::getpid;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::futex;

use super::script::{Op, Script};

/// Calls the script again and again. A whole cycle is in the acquire.
pub(super) struct Replay {
    script: Script,
    desk: Desk,
}

/// What the calls work on.
struct Desk {
    directory: OwnedFd,
    files: Vec<Option<OwnedFd>>,
    buffer: Vec<u8>,
    word: AtomicU32,
}

/// As large as anything that is read.
const BUFFER: usize = 1 << 16;

impl Replay {
    pub(super) fn open(lock: &Utf8Path, listing: Option<&Utf8Path>) -> Result<Self, Failure> {
        let script = Script::read(listing.ok_or("it needs a listing")?)?;
        let path = lock.parent().ok_or("the lock lies nowhere")?;
        for name in found(&script) {
            fs::write(path.join(name), [b'0'; 128])?;
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path.as_std_path(), flags, Mode::empty())?;
        let files = (0..script.slots).map(|_| None).collect();
        let desk = Desk { directory, files, buffer: vec![0; BUFFER], word: AtomicU32::new(0) };
        Ok(Self { script, desk })
    }
}

/// Files that the cycle finds there: it opens them, and does not make them.
fn found(script: &Script) -> Vec<Utf8PathBuf> {
    let makes = |op: &Op, path: &str| match op {
        Op::Link { to, .. } | Op::Rename { to, .. } => to == path,
        _ => false,
    };
    let mut found = Vec::new();
    for (index, op) in script.ops.iter().enumerate() {
        let Op::Open { path, flags, into: Some(_) } = op else { continue };
        let before = script.ops.get(..index).unwrap_or_default();
        let is_made = before.iter().any(|op| makes(op, path));
        if !is_made && !flags.intersects(OFlags::CREATE | OFlags::DIRECTORY) {
            found.push(path.into());
        }
    }
    found
}

impl Subject for Replay {
    fn acquire(&mut self) -> Result<(), Failure> {
        self.script.ops.iter().try_for_each(|op| self.desk.perform(op))
    }

    fn release(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Desk {
    fn perform(&mut self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Open { path, flags, into } => {
                let opened = openat(&self.directory, path, *flags, Mode::from(0o600));
                if let Some(place) = into.and_then(|place| self.files.get_mut(place)) {
                    *place = Some(opened?);
                }
            }
            Op::Close(place) => drop(self.files.get_mut(*place).and_then(Option::take)),
            Op::Flock(place, operation) => flock(self.file(*place)?, *operation)?,
            Op::Fstat(place) => drop(fstat(self.file(*place)?)?),
            // What is not there in the listing is not there now.
            Op::Stat(path) => {
                let _ = statat(&self.directory, path, AtFlags::SYMLINK_NOFOLLOW);
            }
            Op::Read { from, size } => {
                let Self { files, buffer, .. } = self;
                let file = files.get(*from).and_then(Option::as_ref).ok_or(NOT_OPEN)?;
                pread(file, buffer.get_mut(..*size).ok_or("too much is read")?, 0)?;
            }
            Op::Write { to, text } => drop(pwrite(self.file(*to)?, text, 0)?),
            Op::Link { from, to } => {
                use std::os::fd::AsRawFd;
                let path = format!("/proc/self/fd/{}", self.file(*from)?.as_raw_fd());
                linkat(CWD, path, &self.directory, to, AtFlags::SYMLINK_FOLLOW)?;
            }
            Op::Rename { from, to } => renameat(&self.directory, from, &self.directory, to)?,
            Op::Unlink(path) => unlinkat(&self.directory, path, AtFlags::empty())?,
            Op::Pid => drop(getpid()),
            Op::Random(size) => {
                let buffer = self.buffer.get_mut(..*size).ok_or("too much is random")?;
                getrandom(buffer, GetRandomFlags::empty())?;
            }
            Op::Wake => drop(futex::wake(&self.word, futex::Flags::PRIVATE, u32::MAX >> 1)?),
        }
        Ok(())
    }

    fn file(&self, place: usize) -> Result<&OwnedFd, Failure> {
        Ok(self.files.get(place).and_then(Option::as_ref).ok_or(NOT_OPEN)?)
    }
}

const NOT_OPEN: &str = "what the cycle uses is not open";
