//! The lock as the commands use it: opened from options, waited for in the open, and as the
//! fence of a restart.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{
    Clock, Generation, Guard, Lock, Notice, Options, Policy, Record, Settings, Status, Takeover,
    Tracer, Verdict,
};

use crate::args::{LockOptions, OnTimeout};
use crate::entrance::Entrance;
use crate::error::{self, Error};
use crate::exit::Exit;
use crate::explain::Explanation;
use crate::interrupt::Interrupt;
use crate::journal::{GaveUp, Journal};
use crate::nested;
use crate::report::{Screen, Teller};
use crate::restart::Fence;
use crate::tenure::Tenure;

/// How a command uses a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// When to wait for an owner, and for how long.
    pub(crate) policy: Policy,
    /// Whether the command agrees to be replaced while it lives: it changes things in fenced steps
    /// only.
    preemptible: bool,
}

/// How long a command that changes the fleet waits, unless it is told.
const CHANGE_WAITS: Duration = Duration::from_secs(600);

impl Terms {
    /// For what changes the fleet: restart, start, stop.
    ///
    /// # Errors
    ///
    /// When the options do not fit together.
    pub(crate) fn of_change(options: &LockOptions) -> Result<Self, Error> {
        let limit = options.max_wait.unwrap_or(CHANGE_WAITS);
        let policy = policy(settings(options, Some(limit)))?;
        Ok(Self { policy, preemptible: true })
    }

    /// For a command that runs under the lock.
    ///
    /// # Errors
    ///
    /// When the options do not fit together.
    pub(crate) fn of_command(options: &LockOptions, allow_timed: bool) -> Result<Self, Error> {
        let settings = Settings { allow_timed, ..settings(options, options.max_wait) };
        Ok(Self { policy: policy(settings)?, preemptible: false })
    }
}

fn settings(options: &LockOptions, wait_limit: Option<Duration>) -> Settings {
    Settings {
        wait_limit: wait_limit.filter(|_| !options.no_wait),
        hang_after: options.hang_after,
        no_wait: options.no_wait,
        require_kernel_lock: options.require_kernel_lock,
        on_timeout: match options.on_timeout {
            Some(OnTimeout::Stop) => lock_fs::OnTimeout::Stop,
            Some(OnTimeout::Fail) | None => lock_fs::OnTimeout::Fail,
        },
        ..Settings::with_stale_after(options.stale_after)
    }
}

fn policy(settings: Settings) -> Result<Policy, Error> {
    Policy::new(settings).map_err(Error::Policy)
}

/// Names the lock at `path`, as it is to be used; `command` is what others see us do.
///
/// # Errors
///
/// When no lock can be there.
pub(crate) fn open(path: &Utf8Path, terms: Terms, command: String) -> Result<Lock, Error> {
    open_traced(path, terms, command, None)
}

/// Likewise; `tracer` is shown what is done about the lock.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn open_traced(
    path: &Utf8Path,
    terms: Terms,
    command: String,
    tracer: Option<Tracer>,
) -> Result<Lock, Error> {
    let Terms { policy, preemptible } = terms;
    let options = Options { policy, command, preemptible, tracer, ..Options::default() };
    Ok(Lock::open(path, options)?)
}

/// A lock that we have, and what came before.
#[derive(Debug)]
pub(crate) struct Acquired {
    /// The lock.
    pub(crate) guard: Tenure,
    /// Whom we have waited for first.
    pub(crate) since: Option<Generation>,
    /// From which ownership, and how, it was taken over.
    pub(crate) from: Option<Generation>,
    /// What the owner that it was taken over from may have left in flight.
    pub(crate) takeover: Option<Takeover>,
}

/// How often a terminal is told how long the wait will still be.
const REFRESH: Duration = Duration::from_secs(1);

/// Waits for the lock, telling `screen` what for, and the journal what came of it. `command`
/// is what others see us do.
///
/// # Errors
///
/// When it could not be acquired, a signal ends the wait, or that would be for ourselves.
pub(crate) fn acquire(
    lock: &Lock,
    path: &Utf8Path,
    command: String,
    policy: Policy,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<Acquired, Error> {
    let mut entrance = Entrance::new(Journal::new(path, lock.host(), command));
    let nested = OnceCell::new();
    let acquired = wait(lock, path, policy, interrupt, screen, &mut entrance, &nested);
    screen.end_waiting();
    if let (Err(_), Some(pid)) = (&acquired, nested.get()) {
        return Err(Error::Nested { path: path.to_owned(), pid: *pid });
    }
    match (acquired, interrupt.signal()) {
        (Ok(guard), None) => {
            let acquired = entrance.succeeded(guard);
            screen.journal(acquired.guard.problem());
            Ok(acquired)
        }
        // It may have come after the wait; then there is a guard, whose drop releases.
        (_, Some(signal)) => {
            screen.journal(entrance.failed(GaveUp::Interrupted, None));
            Err(Error::WaitInterrupted { path: path.to_owned(), signal })
        }
        (Err(cause), None) => {
            let waited = entrance.waited();
            let (reason, owner) = in_the_way(&cause);
            screen.journal(entrance.failed(reason, owner));
            Err(not_acquired(lock, path, policy, waited, cause))
        }
    }
}

/// What ended an attempt, as the journal has it, and who was in the way.
fn in_the_way(error: &lock_fs::Error) -> (GaveUp, Option<&Record>) {
    match error {
        lock_fs::Error::Busy { owner, .. } => (GaveUp::Busy, owner.as_deref()),
        lock_fs::Error::TimedOut { owner, .. } => (GaveUp::TimedOut, owner.as_deref()),
        lock_fs::Error::Survived { owner, .. } => (GaveUp::Survived, owner.as_deref()),
        lock_fs::Error::MutexHeld { holder, .. } => (GaveUp::MutexHeld, holder.as_deref()),
        _ => (GaveUp::Error, None),
    }
}

/// The error, with all that there is to know about a lock that somebody else has.
fn not_acquired(
    lock: &Lock,
    path: &Utf8Path,
    policy: Policy,
    waited: Duration,
    cause: lock_fs::Error,
) -> Error {
    if error::lock_exit(&cause) != Exit::LockNotAcquired {
        return cause.into();
    }
    match Explanation::of(lock, path, policy, waited) {
        Ok(explanation) => Error::NotAcquired { cause, explanation: Box::new(explanation) },
        // Whatever is wrong with the second look, the first error is what happened.
        Err(_) => cause.into(),
    }
}

/// The wait itself: a terminal is told of it again and again.
fn wait(
    lock: &Lock,
    path: &Utf8Path,
    policy: Policy,
    interrupt: &Interrupt,
    screen: &mut Screen,
    entrance: &mut Entrance,
    nested: &OnceCell<u32>,
) -> Result<Guard, lock_fs::Error> {
    let live = screen.is_live();
    let teller = Mutex::new(Teller::new(screen, lock, path, policy));
    let tell = || teller.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
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
        let acquired = lock.acquire(interrupt.lock_wait(), &mut |notice| {
            // What is told may be read by nobody for long, and the lock be ours by then. Where
            // no thread is to be had, whoever wanted the lock kept later tries again.
            let _ = lock.keep();
            // Asked only here: a lock that is free waits for no process.
            if let Notice::Waiting { owner: Some(owner), .. } = &notice
                && nested::waits_for_us(lock, owner)
            {
                let _ = nested.set(owner.pid);
                interrupt.lock_wait().cancel();
                return;
            }
            entrance.note(&notice);
            tell().tell(notice, clock.now());
        });
        drop(waiting);
        acquired
    })
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
    tenure: &'g Tenure,
    ticket: OwnedFd,
}

impl<'g> Held<'g> {
    /// The fence that `tenure` is.
    ///
    /// # Errors
    ///
    /// When the lock is lost already.
    pub(crate) fn new(tenure: &'g Tenure) -> Result<Self, lock_fs::Error> {
        Ok(Self { tenure, ticket: tenure.ticket()? })
    }
}

/// Why a step was refused. That its wait for the mutex was cancelled says less than the
/// signal that did it.
pub(crate) fn refused(refusal: lock_fs::Error, interrupt: &Interrupt) -> Error {
    match (refusal, interrupt.signal()) {
        (lock_fs::Error::Cancelled { path }, Some(signal)) => {
            Error::WaitInterrupted { path, signal }
        }
        (refusal, _) => refusal.into(),
    }
}

impl Fence for Held<'_> {
    type Error = lock_fs::Error;

    fn is_interruption(error: &lock_fs::Error) -> bool {
        matches!(error, lock_fs::Error::Cancelled { .. })
    }

    fn step(
        &self,
        label: &str,
        quiet: Duration,
        work: &mut dyn FnMut(),
    ) -> Result<(), lock_fs::Error> {
        self.tenure.step(label, quiet, work)
    }

    fn ticket(&self) -> BorrowedFd<'_> {
        self.ticket.as_fd()
    }
}
