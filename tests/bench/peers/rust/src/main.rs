//! Locks of other Rust packages, to be measured beside ours: `lock-bench-rust-peers NAME LOCK`.

mod guards;
mod robust;

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_bench_peer::{Failure, Subject, serve};

/// How often a lock is asked for that cannot wait by itself.
const POLL: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(lock)) = (args.next(), args.next()) else {
        return Err("usage: lock-bench-rust-peers NAME LOCK".into());
    };
    serve(subject(&name, lock.as_ref())?.as_mut())
}

fn subject(name: &str, lock: &Path) -> Result<Box<dyn Subject>, Failure> {
    Ok(match name {
        "fd-lock" => Box::new(guards::FdLock::new(lock)),
        "fs4" => Box::new(Fs4 { path: lock.to_owned(), file: None }),
        "fslock" => Box::new(FsLock { path: lock.to_owned(), with_pid: false, file: None }),
        "fslock-pid" => Box::new(FsLock { path: lock.to_owned(), with_pid: true, file: None }),
        "gix-lock" => Box::new(GixLock { path: lock.to_owned(), marker: None }),
        "named-lock" => Box::new(guards::Named::new(lock)),
        "pidlock" => Box::new(PidLock { path: lock.to_owned(), lock: None }),
        "robust" => Box::new(robust::Robust::open(lock)?),
        other => return Err(format!("no such peer: {other}").into()),
    })
}

/// Opened for each cycle, as its documentation shows.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

struct Fs4 {
    path: PathBuf,
    file: Option<File>,
}

impl Subject for Fs4 {
    fn acquire(&mut self) -> Result<(), Failure> {
        let file = open(&self.path)?;
        fs4::FileExt::lock(&file)?;
        self.file = Some(file);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        let file = self.file.take().ok_or("nothing is held")?;
        Ok(fs4::FileExt::unlock(&file)?)
    }
}

struct FsLock {
    path: PathBuf,
    with_pid: bool,
    file: Option<fslock::LockFile>,
}

impl Subject for FsLock {
    fn acquire(&mut self) -> Result<(), Failure> {
        let mut file = fslock::LockFile::open(self.path.as_path())?;
        match self.with_pid {
            true => file.lock_with_pid()?,
            false => file.lock()?,
        }
        self.file = Some(file);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        let mut file = self.file.take().ok_or("nothing is held")?;
        Ok(file.unlock()?)
    }
}

/// Waits by its own growing back-off.
struct GixLock {
    path: PathBuf,
    marker: Option<gix_lock::Marker>,
}

impl Subject for GixLock {
    fn acquire(&mut self) -> Result<(), Failure> {
        let patience = gix_lock::acquire::Fail::AfterDurationWithBackoff(Duration::from_secs(600));
        let marker = gix_lock::Marker::acquire_to_hold_resource(&self.path, patience, None, 0);
        self.marker = Some(marker.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        drop(self.marker.take().ok_or("nothing is held")?);
        Ok(())
    }
}

/// Cannot wait: asked again and again.
struct PidLock {
    path: PathBuf,
    lock: Option<pidlock::Pidlock>,
}

impl Subject for PidLock {
    fn acquire(&mut self) -> Result<(), Failure> {
        loop {
            let mut lock = pidlock::Pidlock::new_validated(&self.path)?;
            match lock.acquire() {
                Ok(()) => {
                    self.lock = Some(lock);
                    return Ok(());
                }
                Err(pidlock::PidlockError::LockExists) => std::thread::sleep(POLL),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn release(&mut self) -> Result<(), Failure> {
        let mut lock = self.lock.take().ok_or("nothing is held")?;
        // Its file can be gone already, which is what this peer is known for.
        let _ = lock.release();
        Ok(())
    }
}
