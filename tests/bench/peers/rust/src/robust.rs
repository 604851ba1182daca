//! A robust mutex in shared memory: what a lock costs that is no file at all.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::{io, ptr};

use lock_bench_peer::{Failure, Subject};

/// In the file: whether it is ready, then the mutex.
#[repr(C)]
struct Shared {
    ready: libc::c_int,
    mutex: libc::pthread_mutex_t,
}

pub(crate) struct Robust {
    shared: *mut Shared,
}

impl Robust {
    /// Maps the file; the first to come makes the mutex.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        let size = size_of::<Shared>();
        file.set_len(u64::try_from(size)?)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of a file of this size, which stays until the process ends.
        let shared =
            unsafe { libc::mmap(ptr::null_mut(), size, access, kind, file.as_raw_fd(), 0) };
        if shared == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let shared = shared.cast::<Shared>();
        // SAFETY: the mapping is as large as `Shared`, and the file's lock keeps others away.
        unsafe {
            if (*shared).ready == 0 {
                let mut attributes = std::mem::zeroed();
                libc::pthread_mutexattr_init(&mut attributes);
                libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
                libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
                libc::pthread_mutex_init(&mut (*shared).mutex, &attributes);
                (*shared).ready = 1;
            }
        }
        file.unlock()?;
        Ok(Self { shared })
    }
}

impl Subject for Robust {
    fn acquire(&mut self) -> Result<(), Failure> {
        // SAFETY: the mutex was made in `open`, and the mapping stays.
        let outcome = unsafe { libc::pthread_mutex_lock(&mut (*self.shared).mutex) };
        match outcome {
            0 => Ok(()),
            // SAFETY: as above; the owner is dead, and we hold the mutex.
            libc::EOWNERDEAD => {
                match unsafe { libc::pthread_mutex_consistent(&mut (*self.shared).mutex) } {
                    0 => Ok(()),
                    code => Err(io::Error::from_raw_os_error(code).into()),
                }
            }
            code => Err(io::Error::from_raw_os_error(code).into()),
        }
    }

    fn release(&mut self) -> Result<(), Failure> {
        // SAFETY: the mutex was made in `open`, and the mapping stays.
        match unsafe { libc::pthread_mutex_unlock(&mut (*self.shared).mutex) } {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code).into()),
        }
    }
}
