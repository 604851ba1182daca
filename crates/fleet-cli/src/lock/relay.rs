//! Where our signals go: they end the wait for the lock, then they are the command's.

use std::io;
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use signal_hook::consts::SIGINT;

use super::group::Group;
use crate::interrupt::{Interrupt, Woken};
use crate::signals::{self, Caught, Received};

/// A key's signal goes to the whole foreground group, but what arrives between fork and exec
/// is caught by *our* handler in the child, and lost. So for this long after the start a
/// key's signal is passed on as well: twice is better than never.
const EXEC_WINDOW: Duration = Duration::from_millis(50);

/// How long a thread of ours may take to see a signal that we have got.
const SOON: Duration = Duration::from_secs(5);

/// Passes signals on.
///
/// A thread of its own does so as soon as there is something to wait for. Until then whoever
/// would wait asks: a command that is over at once has no use for a thread, which costs as
/// much as a dozen system calls.
#[derive(Debug)]
pub(super) struct Relay {
    /// Until the thread has them.
    caught: Mutex<Option<Caught>>,
    phase: Mutex<Phase>,
    group: Group,
    interrupt: Interrupt,
    /// Whether we have got a SIGINT: set by the handler itself, in the very instant.
    interrupted: Arc<AtomicBool>,
    /// Whether it came from a key: known when our thread for signals has come to it.
    from_key: Mutex<Option<bool>>,
    known: Condvar,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Running { command: Pid, since: Instant },
    Over,
}

/// How the start of the command went.
pub(super) enum Start {
    /// It runs.
    Running(Child),
    /// A signal came before.
    Interrupted(i32),
    /// It could not be started.
    Failed(io::Error),
}

impl Relay {
    /// One that waits for the lock.
    ///
    /// # Errors
    ///
    /// When signals could not be passed on.
    pub(super) fn new() -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?;
        Ok(Self {
            caught: Mutex::new(Some(Caught::new(&signals::FORWARDED)?)),
            phase: Mutex::new(Phase::Waiting),
            group: Group::new()?,
            interrupt: Interrupt::new()?,
            interrupted,
            from_key: Mutex::new(None),
            known: Condvar::new(),
        })
    }

    /// What a signal trips that comes before the command runs.
    pub(super) const fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// From now on signals are passed on whatever the caller does. Where no thread is to be
    /// had, this can be tried again.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn listen(self: &Arc<Self>) -> io::Result<()> {
        if self.caught().is_none() {
            return Ok(());
        }
        let relay = Arc::clone(self);
        let thread = std::thread::Builder::new().name(signals::THREAD.to_owned());
        thread.spawn(move || {
            let caught = relay.caught().take();
            if let Some(mut caught) = caught {
                caught.each(|signal| relay.receive(signal));
            }
        })?;
        Ok(())
    }

    /// Passes on what has come, unless the thread does.
    fn hear(&self) {
        if let Some(caught) = &mut *self.caught() {
            caught.arrived().for_each(|signal| self.receive(signal));
        }
    }

    /// Passes signals on for so long, or until the command has ended with everything that it
    /// started. Says whether it has.
    ///
    /// # Errors
    ///
    /// When that cannot be watched.
    pub(super) fn outlasts(&self, command: &mut Child, limit: Duration) -> io::Result<bool> {
        let end = pidfd_open(Pid::from_child(command), PidfdFlags::empty())?;
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let woken = {
                let caught = self.caught();
                let fds: Vec<_> = caught.iter().map(Caught::as_fd).chain([end.as_fd()]).collect();
                self.interrupt.wait(&fds, left)?
            };
            self.hear();
            if command.try_wait()?.is_some() {
                return self.group.is_over();
            }
            if woken == Woken::TimedOut {
                return Ok(false);
            }
        }
    }

    /// A signal came.
    fn receive(&self, signal: Received) {
        if signal.number == SIGINT {
            *self.key() = Some(signal.from_keyboard);
            self.known.notify_all();
        }
        // While the command is being started this waits, and then passes the signal on.
        match &*self.phase() {
            Phase::Waiting => self.interrupt.trip(signal.number),
            Phase::Running { command, since } => {
                let got_it_too = signal.from_keyboard && since.elapsed() >= EXEC_WINDOW;
                if let (false, Some(signal)) = (got_it_too, Signal::from_named_raw(signal.number)) {
                    self.group.signal(*command, signal);
                }
            }
            Phase::Over => {}
        }
    }

    /// Starts the command, unless a signal came first.
    pub(super) fn start(&self, spawn: impl FnOnce() -> io::Result<Child>) -> Start {
        self.hear();
        let mut phase = self.phase();
        if let Some(signal) = self.interrupt.signal() {
            return Start::Interrupted(signal);
        }
        match spawn() {
            Ok(child) => {
                *phase = Phase::Running { command: Pid::from_child(&child), since: Instant::now() };
                Start::Running(child)
            }
            Err(source) => Start::Failed(source),
        }
    }

    /// Sends a signal to the command, and to whatever it started.
    pub(super) fn send(&self, signal: Signal) {
        if let Phase::Running { command, .. } = &*self.phase() {
            self.group.signal(*command, signal);
        }
    }

    /// Whether the command, or something that it started, may still run.
    pub(super) fn is_running(&self) -> bool {
        matches!(*self.phase(), Phase::Running { .. })
    }

    /// Whether the command, which SIGINT has ended, got it from a key on the terminal. Then we
    /// got it at the same time, but our thread for signals may not have come to it yet.
    pub(super) fn was_asked_by_key(self: &Arc<Self>) -> bool {
        let unknown = |from_key: &mut Option<bool>| from_key.is_none();
        self.interrupted.load(Ordering::SeqCst) && {
            if self.listen().is_err() {
                self.hear();
            }
            let waited = self.known.wait_timeout_while(self.key(), SOON, unknown);
            let (from_key, _) = waited.unwrap_or_else(PoisonError::into_inner);
            *from_key == Some(true)
        }
    }

    /// Waits for the end of what the command started.
    ///
    /// # Errors
    ///
    /// When that cannot be watched.
    pub(super) fn outlast_group(&self) -> io::Result<()> {
        self.group.outlast()
    }

    /// There is nothing left to pass signals on to.
    pub(super) fn finish(&self) {
        *self.phase() = Phase::Over;
    }

    fn caught(&self) -> MutexGuard<'_, Option<Caught>> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> MutexGuard<'_, Option<bool>> {
        self.from_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
