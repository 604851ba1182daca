//! Holding a lock: renewed in the background, stepped through, released.
//!
//! Length: a guard, its steps and its end are one state under one mutex.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use lock_core::effect::Slot;
use lock_core::machine::{Context, Failure, Ownership};
use lock_core::record::{Generation, Record, Token};
use lock_core::{Chores, Glance, Glimpse, Held, Hold, Settle, Settled};
use rustix::fd::OwnedFd;
use rustix::io::{fcntl_dupfd_cloexec, retry_on_intr};

use crate::disk::Disk;
use crate::drive::{Driver, OWNERS, STEPPERS, Told};
use crate::error::Error;
use crate::holders;
use crate::lock::{Inner, Notice, Options};
use crate::watch::{Cancel, Watcher};

/// The lock, for as long as this lives.
///
/// A background thread renews it, so that the work may take as long as it likes. If the
/// lock is taken away all the same, [`Guard::loss`] delivers that, and no further
/// [`Guard::step`] runs.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard {
    shared: Arc<Shared>,
    token: Token,
    generation: Generation,
    path: camino::Utf8PathBuf,
}

/// How much longer than its longest wait an owner announces.
const MARGIN: Duration = Duration::from_secs(10);

/// What a guard shares with its keeper and with those who wait for its loss.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inner: Arc<Inner>,
    context: Context,
    state: Mutex<State>,
    fate: Mutex<Fate>,
    decided: Condvar,
    /// Which thread is in a step.
    stepping: Mutex<Option<ThreadId>>,
    /// Ends waits for the mutex.
    cancel: Cancel,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    /// `None` once it is released or lost.
    ownership: Option<Ownership>,
}

/// What became of an ownership.
#[derive(Clone, Debug)]
enum Fate {
    Owning,
    Released,
    Lost(Option<Box<Record>>),
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the lock may have been lost long before its release"]
pub enum Released {
    /// The lock was ours to the end, and is free now.
    Released,
    /// It had been taken away before; the present owner's lock was left alone.
    AlreadyLost {
        /// Who has it now, if anybody.
        to: Option<Box<Record>>,
    },
}

/// A fenced step: while it lives, the lock is ours and this thread is in its mutex. Start the
/// step's command, drop the step, and wait for the command outside.
#[derive(Debug)]
#[must_use = "the step is over as soon as it is dropped"]
pub struct Step<'a> {
    shared: &'a Shared,
    state: Option<MutexGuard<'a, State>>,
    leave: Option<Chores>,
}

/// Tells of the loss of an ownership. Clones tell of the same one.
#[derive(Clone, Debug)]
pub struct Loss {
    shared: Arc<Shared>,
}

impl Guard {
    pub(crate) fn new(
        inner: Arc<Inner>,
        context: Context,
        disk: Disk,
        ownership: Ownership,
        cancel: Cancel,
    ) -> Result<Self, Error> {
        let path = inner.directory().lock().to_owned();
        let (token, generation) = (context.token.clone(), ownership.generation());
        let shared = Arc::new(Shared {
            inner,
            context,
            state: Mutex::new(State { disk, ownership: Some(ownership) }),
            fate: Mutex::new(Fate::Owning),
            decided: Condvar::new(),
            stepping: Mutex::new(None),
            cancel,
        });
        let guard = Self { shared, token, generation, path };
        let adopted = guard.shared.inner.keeper.adopt(&guard.shared);
        adopted.map_err(|source| Error::system("renew", &guard.path, source))?;
        Ok(guard)
    }

    /// The lock's path.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Names this ownership.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The fencing token: larger than that of every ownership before. Hand it to whatever
    /// the work changes, and let that refuse a smaller one than it has seen.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Runs `work` in a fenced step that no announced quiet follows: [`Guard::begin_step`].
    ///
    /// # Errors
    ///
    /// As [`Guard::begin_step`]; then `work` was not run. Should only leaving the mutex fail, it
    /// was.
    pub fn step<T>(&self, label: &str, work: impl FnOnce() -> T) -> Result<T, Error> {
        let step = self.begin_step(label, Duration::ZERO)?;
        let done = work();
        step.leave().map(|()| done)
    }

    /// Begins a fenced step: proves under the mutex that the lock is still ours, and records
    /// `label` as progress. Until the step is dropped, no other process can take the lock over,
    /// or do anything else with it: so start the command in the step, and wait for it outside.
    ///
    /// A preemptible owner that takes no further step for `quiet` and `hang_after` is taken for
    /// hung: `quiet` is the longest time after which it ends its wait for the command itself.
    /// More than a day counts as a day.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lock is not ours any more; [`Error::InsideStep`] in a step of this
    /// guard; [`Error::Forked`] in a forked child; [`Error::Cancelled`] if the lock was acquired
    /// with a `Cancel` that has been used meanwhile and another process is in the mutex; else what
    /// the file system refused.
    pub fn begin_step(&self, label: &str, quiet: Duration) -> Result<Step<'_>, Error> {
        let shared = &*self.shared;
        shared.refuse_misuse()?;
        let mut state = shared.state();
        let ownership = shared.ownership(&state)?;
        let now = shared.now();
        let hold = Hold::step(&shared.context, now, ownership, label, quiet);
        match shared.act(&mut state.disk, hold, &shared.cancel) {
            Ok(Held::Stepping { ownership, leave }) => {
                state.ownership = Some(ownership);
                *shared.stepping() = Some(thread::current().id());
                Ok(Step { shared, state: Some(state), leave: Some(leave) })
            }
            Ok(Held::Lost { to }) => Err(shared.lose(&mut state, to)),
            // Not how a step ends.
            Ok(Held::Renewed(_) | Held::Released) => Err(shared.lose(&mut state, None)),
            Err(failure) => Err(shared.error(failure, &state.disk)),
        }
    }

    /// Waits until nothing is left in flight of the owner that the lock was taken over from.
    pub(crate) fn settle(
        &self,
        settle: Settle,
        mut disk: Disk,
        from: Option<Box<Record>>,
        in_flight: Duration,
        cancel: &Cancel,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<(), Error> {
        let Shared { inner, context, .. } = &*self.shared;
        let clock = &inner.options.clock;
        if context.preemptible {
            let quiet = in_flight + context.policy.grace * 2 + MARGIN;
            self.begin_step("waiting for what the last owner has started", quiet)?.leave()?;
        }
        let begun = clock.now().mono;
        let mut tell = |told: Told<'_, Settle>| match told {
            Told::Sleeps(settle) => {
                let (holders, deadline) = settle.waiting();
                let left = deadline.since(clock.now().mono);
                notify(Notice::Settling { holders: holders.to_vec(), left });
            }
            Told::Signalled(pids, signal) => {
                notify(Notice::Signalled { pids: pids.to_vec(), owner: from.clone(), signal });
            }
        };
        let settled = inner.with_driver(cancel, |driver| {
            let settled = driver.run(settle, context, &mut disk, &mut tell);
            driver.let_go_but(&[], context, &mut disk);
            settled
        });
        let error = match settled {
            Ok(Settled::Quiet) => {
                self.shared.settled();
                return Ok(());
            }
            Ok(Settled::Running { signalled, .. }) => {
                Error::Survived { path: self.path.clone(), owner: from, signalled }
            }
            Err(failure) => inner.error(failure, &disk, begun),
        };
        self.shared.abandon();
        Err(error)
    }

    /// Whether the lock is known to be lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(*self.shared.fate(), Fate::Lost(_))
    }

    /// Tells of the lock's loss, on any thread.
    #[must_use]
    pub fn loss(&self) -> Loss {
        Loss { shared: Arc::clone(&self.shared) }
    }

    /// A copy of the ticket's descriptor, close-on-exec. A child that inherits it keeps the lock
    /// held if this process is killed: for children that are the lock's work. Take it before a
    /// [`Guard::step`], not inside: the step has the guard to itself.
    ///
    /// From now on the ticket is never the mutex again, whatever inherits it: each step, renewal and
    /// release makes a file of its own for that.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::InsideStep`], [`Error::Forked`], or when the process has no
    /// descriptor left.
    pub fn ticket(&self) -> Result<OwnedFd, Error> {
        self.shared.refuse_misuse()?;
        let mut state = self.shared.state();
        self.shared.ownership(&state)?;
        if let Some(ownership) = &mut state.ownership {
            ownership.shared = true;
        }
        let Some(ticket) = state.disk.file(Slot::Ticket) else {
            return Err(Error::Lost { path: self.path.clone(), to: None });
        };
        // Not one of the standard three, even if they are closed.
        let copy = retry_on_intr(|| fcntl_dupfd_cloexec(ticket, 3));
        copy.map_err(|errno| Error::system("duplicate", &self.path, errno))
    }

    /// The processes that wait for this lock with `flock(1)` or the like. At the release they get
    /// a file that is the lock no more, and would run beside the next owner.
    #[must_use]
    pub fn flock_waiters(&self) -> Vec<u32> {
        if self.shared.inner.is_forked() {
            return Vec::new();
        }
        let state = self.shared.state();
        state.disk.file(Slot::Ticket).map(holders::waiting).unwrap_or_default()
    }

    /// Gives the lock up and says how that went. Another's lock is never removed.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] in a forked child, where nothing is done; else when the file could not be
    /// removed. The kernel's lock is dropped even so, and the next contender takes over from us as
    /// from a dead owner: at once.
    pub fn release(self) -> Result<Released, Error> {
        self.shared.release()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Best effort: whoever wants to know calls `release`, which leaves nothing to do
        // here.
        let _ = self.shared.release();
    }
}

impl Step<'_> {
    /// Ends the step and says how that went; dropping it does the same.
    ///
    /// # Errors
    ///
    /// When the mutex could not be left. What the step did is done.
    pub fn leave(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let (Some(leave), Some(mut state)) = (self.leave.take(), self.state.take()) else {
            return Ok(());
        };
        let shared = self.shared;
        *shared.stepping() = None;
        // The child of a fork inside the step is not in the mutex.
        if shared.inner.is_forked() {
            return Ok(());
        }
        let left = shared.inner.settle(leave, OWNERS, &shared.context, &mut state.disk);
        left.map_err(|failure| shared.error(failure, &state.disk))
    }
}

/// A panic of the work must not keep the mutex from everybody else.
impl Drop for Step<'_> {
    fn drop(&mut self) {
        // `leave` reports; a caller that drops the step does not ask.
        let _ = self.end();
    }
}

impl Loss {
    /// Whether the lock is known to be lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(*self.shared.fate(), Fate::Lost(_))
    }

    /// Waits until the lock is lost, released, or `limit` is over; says who took it, if it
    /// was lost.
    #[must_use]
    pub fn wait(&self, limit: Option<Duration>) -> Option<Option<Box<Record>>> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut fate = self.shared.fate();
        loop {
            match &*fate {
                Fate::Lost(to) => return Some(to.clone()),
                Fate::Released => return None,
                Fate::Owning => {}
            }
            let decided = &self.shared.decided;
            fate = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    let waited = decided.wait_timeout(fate, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => decided.wait(fate).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Shared {
    /// Refreshes the stamp, or finds out that the lock is lost.
    pub(crate) fn renew(&self) {
        let mut state = self.state();
        let Some(ownership) = state.ownership.clone() else {
            return;
        };
        let hold = Hold::renew(&self.context, self.now(), ownership);
        match self.act(&mut state.disk, hold, &self.cancel) {
            Ok(Held::Renewed(ownership)) => state.ownership = Some(ownership),
            Ok(Held::Lost { to }) => {
                self.lose(&mut state, to);
            }
            // A renewal that fails is tried again in time; if it goes on failing, the stamp
            // ages until another takes over, and that is delivered as a loss.
            Ok(Held::Stepping { .. } | Held::Released) | Err(_) => {}
        }
    }

    /// Nothing of the owner before is in flight any more: the record need not say so.
    fn settled(&self) {
        if let Some(ownership) = &mut self.state().ownership {
            ownership.settled();
        }
        self.renew();
    }

    /// Ends the ownership and leaves the lock's file as a dead owner's: it tells the next owner what
    /// of the one before is still to be waited for. A released lock would not.
    fn abandon(&self) {
        let mut state = self.state();
        state.ownership = None;
        self.inner.with_driver(&Cancel::never(), |driver| {
            driver.let_go_but(&[], &self.context, &mut state.disk);
        });
        drop(state);
        self.decide(Fate::Released);
    }

    /// Whether it is neither lost nor released, as far as known.
    pub(crate) fn is_owning(&self) -> bool {
        matches!(*self.fate(), Fate::Owning)
    }

    /// Looks whether the lock is still ours, with the keeper's watcher; the first time the ticket is
    /// watched from then on. What is over is not looked at.
    pub(crate) fn glance(&self, first: bool, watcher: &mut Watcher) -> Glimpse {
        let mut state = self.state();
        let Some(ticket) = state.ownership.as_ref().map(|ownership| ownership.ticket) else {
            return Glimpse::Named;
        };
        let glance = if first { Glance::first(ticket) } else { Glance::again(ticket) };
        let Options { clock, tracer, .. } = &self.inner.options;
        let cancel = &Cancel::never();
        let mut driver = Driver { clock, tracer: tracer.as_ref(), watcher, cancel };
        driver.finish(glance, &self.context, &mut state.disk)
    }

    fn release(&self) -> Result<Released, Error> {
        // A forked child has the guard too, but not the lock; and perhaps a copy of a mutex that
        // another thread of its parent held.
        if self.inner.is_forked() {
            return Err(Error::Forked { path: self.inner.lock_path() });
        }
        let mut state = self.state();
        let Some(ownership) = state.ownership.take() else {
            let to = match &*self.fate() {
                Fate::Lost(to) => to.clone(),
                Fate::Owning | Fate::Released => None,
            };
            return Ok(Released::AlreadyLost { to });
        };
        let held = self.give_up(&mut state.disk, ownership);
        let error = |failure, state: &State| self.error(failure, &state.disk);
        let released = match held {
            Ok(Held::Released) => Ok(Released::Released),
            Ok(Held::Lost { to }) => Ok(Released::AlreadyLost { to }),
            Ok(Held::Renewed(_) | Held::Stepping { .. }) => Ok(Released::AlreadyLost { to: None }),
            Err(failure) => Err(error(failure, &state)),
        };
        drop(state);
        self.decide(match &released {
            Ok(Released::AlreadyLost { to }) => Fate::Lost(to.clone()),
            _ => Fate::Released,
        });
        released
    }

    /// Releases; in a hurry, once the waits of this guard are cancelled.
    fn give_up(&self, disk: &mut Disk, ownership: Ownership) -> Result<Held, Failure> {
        let mut held = Err(Failure::Cancelled);
        if !self.cancel.is_cancelled() {
            let hold = Hold::release(&self.context, self.now(), ownership.clone());
            held = self.act(disk, hold, &self.cancel);
        }
        if held == Err(Failure::Cancelled) {
            let patience = self.context.policy.hurried_mutex_patience();
            let hold = Hold::release_within(&self.context, self.now(), ownership, patience);
            held = self.act(disk, hold, &Cancel::never());
        }
        // The ticket goes also when the release failed: then the next contender finds a dead
        // owner, not a living one that will never let go.
        self.inner.with_driver(&Cancel::never(), |driver| {
            driver.let_go_but(&[], &self.context, disk);
        });
        held
    }

    fn lose(&self, state: &mut State, to: Option<Box<Record>>) -> Error {
        state.ownership = None;
        self.decide(Fate::Lost(to.clone()));
        Error::Lost { path: self.inner.directory().lock().to_owned(), to }
    }

    fn decide(&self, fate: Fate) {
        *self.fate() = fate;
        self.decided.notify_all();
    }

    fn ownership(&self, state: &State) -> Result<Ownership, Error> {
        let lost = || match &*self.fate() {
            Fate::Lost(to) => to.clone(),
            Fate::Owning | Fate::Released => None,
        };
        state.ownership.clone().ok_or_else(|| Error::Lost {
            path: self.inner.directory().lock().to_owned(),
            to: lost(),
        })
    }

    /// Runs one act of the owner, and lets go of what is not needed any more; a failure leaves
    /// it the owner.
    fn act(&self, disk: &mut Disk, hold: Hold, cancel: &Cancel) -> Result<Held, Failure> {
        self.inner.with_driver(cancel, |driver| {
            let shared = hold.is_shared();
            let held = driver.finish(hold, &self.context, disk);
            if shared && matches!(held, Ok(Held::Lost { .. })) {
                // The next owner waits for the tools of our steps by their kernel lock, which is the
                // one that we would drop.
                disk.leave_lock_to_heirs(Slot::Ticket);
            }
            let kept = match &held {
                Ok(Held::Renewed(_)) | Err(_) => OWNERS,
                Ok(Held::Stepping { .. }) => STEPPERS,
                Ok(Held::Released | Held::Lost { .. }) => &[],
            };
            driver.let_go_but(kept, &self.context, disk);
            held
        })
    }

    /// Refuses what would wait for itself, and what is another process's to do.
    fn refuse_misuse(&self) -> Result<(), Error> {
        if self.inner.is_forked() {
            return Err(Error::Forked { path: self.inner.lock_path() });
        }
        if *self.stepping() == Some(thread::current().id()) {
            return Err(Error::InsideStep { path: self.inner.lock_path() });
        }
        Ok(())
    }

    fn stepping(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.stepping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, failure: Failure, disk: &Disk) -> Error {
        self.inner.error(failure, disk, self.now().mono)
    }

    fn now(&self) -> lock_core::time::Now {
        self.inner.options.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
