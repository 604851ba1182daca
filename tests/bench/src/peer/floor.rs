//! Floors: the fewest system calls with which one can have a lock at all. None records who
//! owns it, and only those on `flock` notice a death.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_bench_peer::{Failure, Subject};
use rustix::fs::{FlockOperation, flock};

/// How often a lock is asked for that cannot wait by itself.
const POLL: Duration = Duration::from_millis(1);

const NOTHING: &str = "nothing is held";

fn open(path: &Utf8Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Opens the file, locks it, closes it. The file stays.
pub(super) struct OpenFlockClose {
    path: Utf8PathBuf,
    held: Option<File>,
}

impl OpenFlockClose {
    pub(super) fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }
}

impl Subject for OpenFlockClose {
    fn acquire(&mut self) -> Result<(), Failure> {
        let file = open(&self.path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        self.held = Some(file);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        self.held.take().ok_or(NOTHING)?;
        Ok(())
    }
}

/// Keeps the descriptor: two calls a cycle.
pub(super) struct KeptFlock {
    file: File,
}

impl KeptFlock {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, Failure> {
        Ok(Self { file: open(path)? })
    }
}

impl Subject for KeptFlock {
    fn acquire(&mut self) -> Result<(), Failure> {
        Ok(flock(&self.file, FlockOperation::LockExclusive)?)
    }

    fn release(&mut self) -> Result<(), Failure> {
        Ok(flock(&self.file, FlockOperation::Unlock)?)
    }
}

/// Removes the file on release; so whoever locks it has to look whether it is still the one.
pub(super) struct CheckedFlock {
    path: Utf8PathBuf,
    held: Option<File>,
}

impl CheckedFlock {
    pub(super) fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }

    fn is_current(&self, file: &File) -> Result<bool, Failure> {
        let ours = file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Subject for CheckedFlock {
    fn acquire(&mut self) -> Result<(), Failure> {
        loop {
            let file = open(&self.path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            if self.is_current(&file)? {
                self.held = Some(file);
                return Ok(());
            }
        }
    }

    fn release(&mut self) -> Result<(), Failure> {
        let file = self.held.take().ok_or(NOTHING)?;
        fs::remove_file(&self.path)?;
        drop(file);
        Ok(())
    }
}

/// Creates the file and removes it: the lock file as it has been since there are files.
pub(super) struct Exclusive {
    path: Utf8PathBuf,
}

impl Exclusive {
    pub(super) fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Subject for Exclusive {
    fn acquire(&mut self) -> Result<(), Failure> {
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&self.path) {
                Ok(mut file) => return Ok(write!(file, "{}", std::process::id())?),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            // Nothing tells of a file's removal here; that is what this floor is.
            std::thread::sleep(POLL);
        }
    }

    fn release(&mut self) -> Result<(), Failure> {
        Ok(fs::remove_file(&self.path)?)
    }
}

/// The standard library's lock, on a file opened for each cycle.
pub(super) struct Std {
    path: Utf8PathBuf,
    held: Option<File>,
}

impl Std {
    pub(super) fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }
}

impl Subject for Std {
    fn acquire(&mut self) -> Result<(), Failure> {
        let file = open(&self.path)?;
        file.lock()?;
        self.held = Some(file);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        Ok(self.held.take().ok_or(NOTHING)?.unlock()?)
    }
}
