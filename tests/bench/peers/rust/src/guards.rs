//! Locks whose guards borrow them, kept together with their guards.

use std::fs::File;
use std::path::{Path, PathBuf};

use fd_lock::{RwLock, RwLockWriteGuard};
use lock_bench_peer::{Failure, Subject};
use named_lock::{NamedLock, NamedLockGuard};

pub(crate) struct FdLock {
    path: PathBuf,
    held: Option<(*mut RwLock<File>, RwLockWriteGuard<'static, File>)>,
}

impl FdLock {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }
}

impl Subject for FdLock {
    fn acquire(&mut self) -> Result<(), Failure> {
        let lock = Box::into_raw(Box::new(RwLock::new(crate::open(&self.path)?)));
        // SAFETY: the box lives until `release`, which drops the guard first.
        let guard = unsafe { (*lock).write()? };
        self.held = Some((lock, guard));
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        let (lock, guard) = self.held.take().ok_or("nothing is held")?;
        drop(guard);
        // SAFETY: it comes from `Box::into_raw`, and its only borrower is gone.
        drop(unsafe { Box::from_raw(lock) });
        Ok(())
    }
}

pub(crate) struct Named {
    path: PathBuf,
    held: Option<(NamedLockGuard, NamedLock)>,
}

impl Named {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }
}

impl Subject for Named {
    fn acquire(&mut self) -> Result<(), Failure> {
        let lock = NamedLock::with_path(&self.path)?;
        let guard = lock.lock()?;
        self.held = Some((guard, lock));
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        self.held.take().ok_or("nothing is held")?;
        Ok(())
    }
}
