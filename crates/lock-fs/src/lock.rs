//! A lock by its path: acquire it, look at it, take it away.
//!
//! Length: one type and its settings, notices and looks; what they share is private.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_core::effect::{Event, Name, Signal, Slot};
use lock_core::machine::{Context, Failure, Machine, Medium, Takeover};
use lock_core::policy::Policy;
use lock_core::record::{Birth, Generation, Host, Record, Token};
use lock_core::snapshot::{KernelLock, Life, Snapshot};
use lock_core::time::{Mono, Now};
use lock_core::verdict::{Counts, Verdict, judge};
use lock_core::{Acquire, Evict, Evicted, Inspect, Peek, Settle, Waiters};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::drive::{Driver, NEW_OWNERS, Told, Tracer};
use crate::error::Error;
use crate::guard::Guard;
use crate::holders::{self, Holders};
use crate::keeper::Keeper;
use crate::paths::Directory;
use crate::process;
use crate::watch::{Cancel, Watcher};

/// How a lock is used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Thresholds and what to do when they are reached.
    pub policy: Policy,
    /// What we are, as a person would type it: other contenders show it.
    pub command: String,
    /// Whether an owner of ours agrees to be replaced while it lives, once it is silent for
    /// `stale_after` or takes no step for its quiet and `hang_after`. Only for work that changes
    /// whatever it changes in fenced steps, [`Guard::step`]. Default: no, and then no clock ever
    /// takes the lock from a living owner.
    pub preemptible: bool,
    /// Where the time comes from.
    pub clock: Clock,
    /// Who is shown each effect.
    pub tracer: Option<Tracer>,
}

/// A lock file, not yet held. Cheap to keep; any number of threads may acquire through one,
/// and they exclude each other as processes do.
#[derive(Debug)]
pub struct Lock {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    path: Utf8PathBuf,
    pub(crate) directory: Mutex<Arc<Directory>>,
    pub(crate) options: Options,
    host: Host,
    birth: Birth,
    /// The process that has opened it: what was forked from that has another.
    pub(crate) pid: u32,
    watchers: Mutex<Vec<Watcher>>,
    pub(crate) keeper: Keeper,
}

/// What a contender may want to tell a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// It waits. Sent before each sleep.
    Waiting {
        /// The owner, if its file can be read.
        owner: Option<Box<Record>>,
        /// How long this contender has waited for this owner.
        waited: Duration,
        /// How long is left of its own wait limit, if it has one.
        left: Option<Duration>,
        /// How many others wait before it.
        before: u32,
    },
    /// It has taken over from a preemptible owner, and waits for what that one has started. Sent
    /// before each sleep.
    Settling {
        /// The processes that still run.
        holders: Vec<u32>,
        /// When that is over, they are ended.
        left: Duration,
    },
    /// It sent a signal to the processes that hold the lock, as [`crate::OnTimeout::Stop`] has it, or
    /// to what an owner left that was taken over from. Sent each time, whatever comes of it.
    Signalled {
        /// The processes.
        pids: Vec<u32>,
        /// The owner's record, if that was seen while it was waited for.
        owner: Option<Box<Record>>,
        /// Which signal.
        signal: Signal,
    },
    /// It took the lock over. Sent once the lock is ours.
    TookOver(Takeover),
    /// The file system lacks something. Sent once the lock is ours.
    Fallback(Medium),
}

/// What a look at a lock shows.
#[derive(Clone, Debug)]
pub struct Status {
    /// The lock file.
    pub lock: Snapshot,
    /// When that was.
    pub now: Now,
    /// What a contender would make of it, by this handle's policy.
    pub verdict: Verdict,
}

impl Lock {
    /// Names a lock file and makes its directory (0700) if need be.
    ///
    /// # Errors
    ///
    /// When the path cannot be a lock file, when its directory cannot be made or opened, and
    /// when anyone may write to that directory.
    pub fn open(path: impl AsRef<Utf8Path>, options: Options) -> Result<Self, Error> {
        let directory = Directory::open(path.as_ref())?;
        let host = this_host()?;
        let keeper = Keeper::new(options.policy.renew_every)
            .map_err(|source| Error::system("watch", directory.lock(), source))?;
        let path = directory.lock().to_owned();
        let directory = Mutex::new(Arc::new(directory));
        let (watchers, birth, pid) = (Mutex::default(), process::birth(), std::process::id());
        let inner = Inner { path, directory, options, host, birth, pid, watchers, keeper };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where we are, as this lock's records name it.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Becomes the lock's owner: at once if it is free or its owner is dead, else after
    /// waiting as the policy says. After a takeover from a preemptible owner it returns only when
    /// what that one had started has settled.
    ///
    /// The guard renews the lock in the background and releases it when dropped;
    /// [`Guard::release`] does so and reports. `notify` is told of waiting and of takeovers.
    ///
    /// `cancel` ends this wait, and later the guard's: a step then does not wait for a process
    /// that is stopped in the middle of a transition, and a release only for a moment.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`], [`Error::TimedOut`], [`Error::MutexHeld`] and [`Error::Survived`]
    /// name who is in the way; [`Error::Cancelled`] is your own doing; the rest are about
    /// the paths and the file system, and leave the lock as it was.
    pub fn acquire(&self, cancel: &Cancel, notify: &mut dyn FnMut(Notice)) -> Result<Guard, Error> {
        match self.try_acquire(cancel, notify) {
            // The directory that we opened is no longer the one at its path.
            Err(Error::DirectoryGone { .. }) => {
                self.inner.reopen()?;
                match self.try_acquire(cancel, notify) {
                    Err(Error::DirectoryGone { path }) if path.is_dir() => {
                        Err(Error::NoFiles { path })
                    }
                    again => again,
                }
            }
            other => other,
        }
    }

    /// As [`Lock::acquire`], without telling anyone and without a way to cancel.
    ///
    /// # Errors
    ///
    /// As [`Lock::acquire`].
    pub fn acquire_quietly(&self) -> Result<Guard, Error> {
        self.acquire(&Cancel::never(), &mut |_| {})
    }

    fn try_acquire(&self, cancel: &Cancel, notify: &mut dyn FnMut(Notice)) -> Result<Guard, Error> {
        let inner = &self.inner;
        let clock = &inner.options.clock;
        if inner.is_forked() {
            return Err(Error::Forked { path: inner.lock_path() });
        }
        let (context, mut disk) = inner.contender();
        let begun = clock.now();
        if context.refuses(context.medium) {
            return Err(inner.error(Failure::NoKernelLock, &disk, begun.mono));
        }
        let machine = Acquire::new(&context, begun);
        let mut last: Option<Box<Record>> = None;
        let mut tell = |told: Told<'_, Acquire>| match told {
            Told::Sleeps(acquire) => {
                if let Some(waiting) = acquire.waiting() {
                    let now = clock.now().mono;
                    last.clone_from(&waiting.owner);
                    notify(Notice::Waiting {
                        owner: waiting.owner.clone(),
                        waited: now.since(waiting.since),
                        left: waiting.until.map(|until| until.since(now)),
                        before: waiting.before,
                    });
                }
            }
            Told::Signalled(pids, signal) => {
                notify(Notice::Signalled { pids: pids.to_vec(), owner: last.clone(), signal });
            }
        };
        let outcome = inner.with_driver(cancel, |driver| {
            let outcome = driver.run(machine, &context, &mut disk, &mut tell);
            let kept = if outcome.is_ok() { NEW_OWNERS } else { &[] };
            driver.let_go_but(kept, &context, &mut disk);
            outcome
        });
        let acquired = outcome.map_err(|failure| inner.error(failure, &disk, begun.mono))?;
        let medium = acquired.ownership.medium;
        let ownership = acquired.ownership;
        let after = acquired.takeover.as_ref();
        let settle = after.and_then(|takeover| Settle::after(&context, takeover, clock.now()));
        let settle = settle.map(|settle| (settle, disk.split_off(Slot::Judged)));
        let guard = Guard::new(Arc::clone(inner), context, disk, ownership, cancel.clone())?;
        let from = acquired.takeover.as_ref().and_then(|takeover| takeover.from.clone());
        let in_flight = acquired.takeover.as_ref().map_or(Duration::ZERO, |one| one.in_flight);
        if let Some(takeover) = acquired.takeover {
            notify(Notice::TookOver(takeover));
        }
        if medium != Medium::Anonymous {
            notify(Notice::Fallback(medium));
        }
        if let Some((settle, disk)) = settle {
            guard.settle(settle, disk, from, in_flight, cancel, notify)?;
        }
        Ok(guard)
    }

    /// Looks at the lock without touching it: never waits, needs no mutex.
    ///
    /// # Errors
    ///
    /// When something other than a lock file stands at the path, or it cannot be opened.
    pub fn status(&self) -> Result<Status, Error> {
        self.status_after(Duration::ZERO)
    }

    /// As [`Lock::status`], with the verdict of a contender that has waited so long already.
    ///
    /// # Errors
    ///
    /// As [`Lock::status`].
    pub fn status_after(&self, waited: Duration) -> Result<Status, Error> {
        let inner = &self.inner;
        let (context, mut disk) = inner.contender();
        let machine = Inspect::new(&context);
        let now = inner.options.clock.now();
        let outcome = inner.settle(machine, &[], &context, &mut disk);
        let lock = outcome.map_err(|failure| inner.error(failure, &disk, now.mono))?;
        let counts = Counts { waited, ..Counts::default() };
        let verdict = judge(&context.policy, &context.here, now, &lock, &counts);
        Ok(Status { lock, now, verdict })
    }

    /// The processes that have the lock kernel-locked now, as far as this user can see them: an
    /// owner, what it has left, or a program like `flock(1)` that has written no record.
    ///
    /// # Errors
    ///
    /// As [`Lock::status`].
    pub fn holders(&self) -> Result<Holders, Error> {
        let inner = &self.inner;
        let begun = inner.options.clock.now().mono;
        self.find_holders(Slot::Judged, |driver, context, disk| {
            let looked = driver.finish(Inspect::new(context), context, disk);
            looked.map(|_| ()).map_err(|failure| inner.error(failure, disk, begun))
        })
    }

    /// The processes that have the mutex kernel-locked now.
    ///
    /// # Errors
    ///
    /// When that cannot be asked.
    pub fn mutex_holders(&self) -> Result<Holders, Error> {
        self.find_holders(Slot::Guard, |driver, context, disk| {
            let _: Option<Record> = driver.finish(Peek::new(), context, disk);
            Ok(())
        })
    }

    /// Runs a machine that leaves a file open there, and asks about that file.
    fn find_holders(
        &self,
        slot: Slot,
        open: impl FnOnce(&mut Driver<'_>, &Context, &mut Disk) -> Result<(), Error>,
    ) -> Result<Holders, Error> {
        let (context, mut disk) = self.inner.contender();
        self.inner.with_driver(&Cancel::never(), |driver| {
            let holders = open(driver, &context, &mut disk).and_then(|()| match disk.file(slot) {
                Some(file) => holders::find(&file).map_err(|errno| {
                    Error::system("list the holders of", &disk.path(slot.name()), errno)
                }),
                None => Ok(Holders::default()),
            });
            driver.let_go_but(&[], &context, &mut disk);
            holders
        })
    }

    /// Whether the process that wrote a record runs: unknown where it ran on another machine, in
    /// another boot or in another pid namespace.
    #[must_use]
    pub fn process_of(&self, record: &Record) -> Life {
        let inner = &self.inner;
        let here = record.detail.as_ref().filter(|detail| {
            detail.host == inner.host
                && detail.process.start != 0
                && detail.process.pidns == inner.birth.pidns
        });
        match here.map(|detail| process::ask(record.pid, detail.process)) {
            Some(Event::Done) => Life::Running,
            Some(Event::Absent) => Life::Ended,
            _ => Life::Unknown,
        }
    }

    /// What stands in the mutex, if it is there and can be read: whoever is in the middle of
    /// a transition, or was when it died. Asks for no kernel lock, and so cannot be mistaken
    /// for a contender.
    #[must_use]
    pub fn mutex_holder(&self) -> Option<Record> {
        let (context, mut disk) = self.inner.contender();
        self.inner.settle(Peek::new(), &[], &context, &mut disk)
    }

    /// Who stands in the queue, in order: what their tickets say. Nobody, where it cannot be read.
    #[must_use]
    pub fn waiters(&self) -> Vec<Record> {
        let (context, mut disk) = self.inner.contender();
        self.inner.settle(Waiters::new(), &[], &context, &mut disk)
    }

    /// Takes the lock away from an owner that is dead or preemptible, without becoming its owner;
    /// with `only`, from that ownership, even if its owner lives and has not agreed to it. The
    /// owner finds out at its next step; its work goes on.
    ///
    /// # Errors
    ///
    /// As [`Lock::acquire`], except that nobody's lock is in the way.
    pub fn evict(&self, only: Option<Generation>) -> Result<Evicted, Error> {
        let inner = &self.inner;
        let (context, mut disk) = inner.contender();
        let machine = Evict::new(&context, only);
        let begun = inner.options.clock.now().mono;
        let outcome = inner.settle(machine, &[], &context, &mut disk);
        outcome.map_err(|failure| inner.error(failure, &disk, begun))
    }
}

impl Status {
    /// The owner's record, if there is an owner whose file can be read.
    #[must_use]
    pub fn owner(&self) -> Option<&Record> {
        self.lock.record()
    }

    /// Whether the kernel says that the owner is alive.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(&self.lock, Snapshot::Present(seen) if seen.kernel == KernelLock::Held)
    }
}

impl Inner {
    pub(crate) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lock's path as it was opened. Takes no lock of this process, so that a forked child may
    /// ask.
    pub(crate) fn lock_path(&self) -> Utf8PathBuf {
        self.path.clone()
    }

    /// Opens the directory anew, making it if it is gone.
    fn reopen(&self) -> Result<(), Error> {
        let old = self.directory();
        let new = Directory::open(old.lock())?;
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    /// Whether this process was forked from the one that opened the lock: it has none of its
    /// threads.
    pub(crate) fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    /// A new contender: a token of its own, and nothing open.
    fn contender(&self) -> (Context, Disk) {
        let directory = self.directory();
        let token = Token::from(uuid::Uuid::new_v4());
        let pid = std::process::id();
        let disk = Disk::new(Arc::clone(&directory), token.as_str(), pid);
        let medium = match directory.is_network() {
            true => Medium::Unarbitrated,
            false => Medium::Anonymous,
        };
        let context = Context {
            policy: self.options.policy,
            here: self.host.clone(),
            pid,
            birth: self.birth,
            token,
            command: self.options.command.clone(),
            preemptible: self.options.preemptible,
            medium,
        };
        (context, disk)
    }

    /// Runs a machine to its end, and lets go of what it leaves open, except for these slots.
    pub(crate) fn settle<M: Machine>(
        &self,
        machine: M,
        kept: &[Slot],
        context: &Context,
        disk: &mut Disk,
    ) -> M::Output {
        self.with_driver(&Cancel::never(), |driver| {
            let output = driver.finish(machine, context, disk);
            driver.let_go_but(kept, context, disk);
            output
        })
    }

    /// Lends a driver with a watcher that outlives the run: closing one can take the kernel
    /// longer than a whole hand-off.
    pub(crate) fn with_driver<T>(
        &self,
        cancel: &Cancel,
        run: impl FnOnce(&mut Driver<'_>) -> T,
    ) -> T {
        let pool = || self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watcher = pool().pop().unwrap_or_default();
        let Options { clock, tracer, .. } = &self.options;
        let mut driver = Driver { clock, tracer: tracer.as_ref(), watcher: &mut watcher, cancel };
        let output = run(&mut driver);
        if watcher.fd().is_some() {
            pool().push(watcher);
        }
        output
    }

    /// A machine's failure with the paths that a person knows it by.
    pub(crate) fn error(&self, failure: Failure, disk: &Disk, begun: Mono) -> Error {
        let path = |name| disk.path(name);
        let lock = path(Name::Lock);
        let waited = self.options.clock.now().mono.since(begun);
        match failure {
            Failure::Busy { owner } => Error::Busy { path: lock, owner },
            Failure::TimedOut { owner } => Error::TimedOut { path: lock, waited, owner },
            Failure::MutexHeld { holder } => {
                Error::MutexHeld { path: path(Name::Mutex), waited, holder }
            }
            Failure::Survived { owner, signalled } => {
                Error::Survived { path: lock, owner, signalled }
            }
            Failure::Cancelled => Error::Cancelled { path: lock },
            Failure::Refused { name, reason } => Error::Refused { path: path(name), reason },
            Failure::NoKernelLock => Error::NoKernelLock { path: lock },
            Failure::GenerationDamaged => Error::GenerationDamaged { path: path(Name::Generation) },
            Failure::DirectoryGone => {
                Error::DirectoryGone { path: lock.parent().unwrap_or(&lock).to_owned() }
            }
            Failure::System { verb, name, errno } => Error::System {
                verb,
                path: path(name.unwrap_or(Name::Lock)),
                source: std::io::Error::from_raw_os_error(errno.0),
            },
        }
    }
}

/// The host's name and the kernel's boot id.
fn this_host() -> Result<Host, Error> {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(BOOT_ID)
        .map_err(|source| Error::system("read", Utf8Path::new(BOOT_ID), source))?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Host { name, boot: boot.trim().to_owned() })
}
