//! The lock as the commands use it: opened from options, waited for in the open, and as the
//! fence of a restart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{
    Clock, Generation, Guard, Lock, Notice, Options, Policy, Record, Settings, Status, Verdict,
};

use crate::args::{LockOptions, OnTimeout};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::report::{Screen, Teller};
use crate::restart::Fence;

/// Names the lock at `path`, as `options` say it is to be used; `command` is what others see
/// us do.
///
/// # Errors
///
/// When the options do not fit together, or no lock can be there.
pub(crate) fn open(path: &Utf8Path, options: &LockOptions, command: String) -> Result<Lock, Error> {
    let settings = Settings {
        max_wait: options.max_wait,
        no_wait: options.no_wait,
        require_kernel_lock: options.require_kernel_lock,
        on_timeout: match options.on_timeout {
            OnTimeout::Break => lock_fs::OnTimeout::Break,
            OnTimeout::Stop => lock_fs::OnTimeout::Stop,
            OnTimeout::Fail => lock_fs::OnTimeout::Fail,
        },
        ..Settings::with_stale_after(options.stale_after)
    };
    let policy = Policy::new(settings)?;
    Ok(Lock::open(path, Options { policy, command, ..Options::default() })?)
}

/// A lock that we have, and what came before.
#[derive(Debug)]
pub(crate) struct Acquired {
    /// The lock.
    pub(crate) guard: Guard,
    /// Whom we have waited for.
    pub(crate) seen: Vec<Generation>,
    /// Whom it was taken over from.
    pub(crate) from: Option<Generation>,
}

/// How often a terminal is told how long the wait will still be.
const REFRESH: Duration = Duration::from_secs(1);

/// Waits for the lock, telling `screen` what for.
///
/// # Errors
///
/// When it is not to be had, or a signal ends the wait.
pub(crate) fn acquire(
    lock: &Lock,
    path: &Utf8Path,
    options: &LockOptions,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<Acquired, Error> {
    let live = screen.is_live();
    let teller = Mutex::new(Teller::new(screen, path, options));
    let tell = || teller.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut seen, mut from) = (Vec::new(), None);
    let acquired = std::thread::scope(|scope| {
        let (waiting, waited) = channel::<()>();
        if live {
            scope.spawn(|| {
                let (waited, clock) = (waited, Clock::default());
                while waited.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                    tell().refresh(clock.now());
                }
            });
        }
        let clock = Clock::default();
        let wait = interrupt.lock_wait();
        let acquired = lock.acquire(wait, &mut |notice| {
            match &notice {
                Notice::Waiting { owner, .. } => seen.extend(generation(owner.as_deref())),
                Notice::TookOver(takeover) => from = generation(takeover.from.as_deref()),
                _ => {}
            }
            tell().tell(notice, clock.now());
        });
        drop(waiting);
        acquired
    });
    screen.end_waiting();
    match (acquired, interrupt.signal()) {
        // It may have come after the wait; then there is a guard, whose drop releases.
        (_, Some(signal)) => Err(Error::WaitInterrupted { path: path.to_owned(), signal }),
        (acquired, None) => {
            seen.dedup();
            Ok(Acquired { guard: acquired?, seen, from })
        }
    }
}

fn generation(owner: Option<&Record>) -> Option<Generation> {
    owner?.detail.as_ref().map(|detail| detail.generation)
}

/// Looks at the lock at `path` and changes nothing, not even by making its directory. `None`
/// where there is none.
///
/// # Errors
///
/// When something else stands at the path, or it cannot be read.
pub(crate) fn look(path: &Utf8Path) -> Result<Option<Status>, Error> {
    if !directory_exists(path) {
        return Ok(None);
    }
    let status = Lock::open(path, Options::default())?.status()?;
    Ok((status.verdict != Verdict::Free).then_some(status))
}

/// Whether there is a directory that a lock at `path` could be in.
pub(crate) fn directory_exists(path: &Utf8Path) -> bool {
    path.parent().is_none_or(|parent| parent.as_str().is_empty() || parent.is_dir())
}

/// The lock we hold, as a restart sees it.
#[derive(Debug)]
pub(crate) struct Held<'g> {
    guard: &'g Guard,
    ticket: OwnedFd,
}

impl<'g> Held<'g> {
    /// The fence that `guard` is.
    ///
    /// # Errors
    ///
    /// When the lock is lost already.
    pub(crate) fn new(guard: &'g Guard) -> Result<Self, lock_fs::Error> {
        Ok(Self { guard, ticket: guard.ticket()? })
    }
}

impl Fence for Held<'_> {
    type Error = lock_fs::Error;

    fn step(&self, label: &str, work: &mut dyn FnMut()) -> Result<(), lock_fs::Error> {
        self.guard.step(label, work)
    }

    fn ticket(&self) -> BorrowedFd<'_> {
        self.ticket.as_fd()
    }
}
