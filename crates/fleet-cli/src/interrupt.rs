//! A wait that a signal can end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use lock_fs::Cancel;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Set once, by the first signal that asks us to stop; wakes whoever waits on it, and ends
/// a wait for the lock.
#[derive(Debug)]
pub(crate) struct Interrupt {
    signal: AtomicI32,
    wake: OwnedFd,
    lock_wait: Cancel,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// One of the descriptors became readable.
    Ready,
    /// The time is over.
    TimedOut,
    /// A signal asks us to stop.
    Interrupted,
}

impl Interrupt {
    /// One that nothing has set yet.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = rustix::io::retry_on_intr(|| eventfd(0, flags))?;
        Ok(Self { signal: AtomicI32::new(0), wake, lock_wait: Cancel::new()? })
    }

    /// Sets it. The first signal stays.
    pub(crate) fn trip(&self, signal: i32) {
        let first = self.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok() {
            // The only failure is a full counter, and then it is readable already.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
            self.lock_wait.cancel();
        }
    }

    /// For a wait for the lock, which it ends; and the guard's later waits with it.
    pub(crate) fn lock_wait(&self) -> &Cancel {
        &self.lock_wait
    }

    /// The signal that set it.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Waits until one of `fds` is readable, `timeout` is over, or a signal came.
    ///
    /// # Errors
    ///
    /// What `poll` says, except for an interrupted call, which goes on.
    pub(crate) fn wait(&self, fds: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<Woken> {
        let deadline = Instant::now() + timeout;
        loop {
            let mut polled = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
            polled.extend(fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok();
            match poll(&mut polled, left.as_ref()) {
                Ok(0) => return Ok(Woken::TimedOut),
                Ok(_) if self.signal().is_some() => return Ok(Woken::Interrupted),
                Ok(_) => return Ok(Woken::Ready),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_ends_every_later_wait() {
        let interrupt = Interrupt::new().expect("a descriptor");
        assert_eq!(interrupt.wait(&[], Duration::ZERO).expect("polled"), Woken::TimedOut);
        interrupt.trip(15);
        interrupt.trip(2);
        assert_eq!(interrupt.signal(), Some(15));
        for _ in 0..2 {
            let woken = interrupt.wait(&[], Duration::from_secs(60)).expect("polled");
            assert_eq!(woken, Woken::Interrupted);
        }
    }
}
