//! `lock run`: a command that runs under the lock, gets our signals, and never outlives the
//! lock unnoticed.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use lock_fs::{Record, Released};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::lock::args::LockRun;
use crate::locking;
use crate::report::Screen;
use crate::signals::{self, Received};
use crate::spawn::spawn_under_lock;
use crate::tenure::Tenure;

/// A key's signal goes to the whole foreground group, but what arrives between fork and exec
/// is caught by *our* handler in the child, and lost. So for this long after the start a
/// key's signal is passed on as well: twice is better than never.
const EXEC_WINDOW: Duration = Duration::from_millis(50);

/// Runs the command under the lock at `path`.
///
/// # Errors
///
/// When the lock is not to be had, or the command cannot be run.
pub(crate) fn run(path: &Utf8Path, args: &LockRun, screen: &mut Screen) -> Result<Exit, Error> {
    let (program, arguments) = match args.command.split_first() {
        Some((program, arguments)) => (program, arguments),
        None => return Ok(Exit::Usage),
    };
    let shown = shown(&args.command);
    let lock = locking::open(path, &args.options, shown.clone())?;
    let relay = Arc::new(Relay::new().map_err(Error::Signals)?);
    let receiver = Arc::clone(&relay);
    signals::listen(&signals::FORWARDED, move |signal| receiver.receive(signal))
        .map_err(Error::Signals)?;
    let acquired = locking::acquire(&lock, path, shown, &args.options, &relay.interrupt, screen)?;
    let guard = acquired.guard;

    let ticket = guard.ticket()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("FLEET_LOCK_TOKEN", guard.token().as_str())
        .env("FLEET_LOCK_GENERATION", guard.generation().to_string())
        .env("FLEET_LOCK_PATH", guard.path());
    let named = || program.to_string_lossy().into_owned();
    let child = match relay.start(|| spawn_under_lock(command, ticket.as_fd())) {
        Start::Interrupted(signal) => {
            return Err(Error::WaitInterrupted { path: path.to_owned(), signal });
        }
        Start::Failed(source) => return Err(Error::Run { program: named(), source }),
        Start::Unwatched(source) => return Err(Error::Watch { program: named(), source }),
        Start::Running(child) => child,
    };
    drop(ticket);
    attend(child, guard, &relay, args.kill_on_loss, screen, named)
}

/// Waits for the command's end, and for the loss of the lock meanwhile.
fn attend(
    mut child: Child,
    tenure: Tenure,
    relay: &Relay,
    kill_on_loss: Option<Signal>,
    screen: &mut Screen,
    named: impl Fn() -> String,
) -> Result<Exit, Error> {
    let path = tenure.path().to_owned();
    let (loss, log) = (tenure.loss(), tenure.log());
    let (ended, released, problem, lost) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let lost_to: Option<Box<Record>> = loss.wait(None)?;
            log.lost(lost_to.as_deref());
            let still_runs = relay.is_running();
            if let (true, Some(signal)) = (still_runs, kill_on_loss) {
                relay.send(signal);
            }
            screen.lost(&path, lost_to.as_deref(), still_runs);
            Some(())
        });
        let ended = child.wait();
        relay.finish();
        // Releasing ends the watch: with a loss, if there was one.
        let exit = ended.as_ref().ok().map(|status| exit_of(*status));
        let (released, problem) = tenure.release(exit);
        let lost = watch.join().ok().flatten().is_some();
        (ended, released, problem, lost)
    });
    screen.journal(problem);
    let status = ended.map_err(|source| Error::Watch { program: named(), source })?;
    // A loss that it tells of is the watch's to report.
    let _: Released = released?;
    Ok(if lost { Exit::LockLost } else { exit_of(status) })
}

/// Where our signals go: they end the wait for the lock, then they are the command's.
#[derive(Debug)]
struct Relay {
    phase: Mutex<Phase>,
    interrupt: Interrupt,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Running { command: OwnedFd, since: Instant },
    Over,
}

/// How the start of the command went.
enum Start {
    Running(Child),
    /// A signal came before.
    Interrupted(i32),
    /// It could not be started.
    Failed(io::Error),
    /// It was started, could not be watched, and was ended.
    Unwatched(io::Error),
}

impl Relay {
    fn new() -> io::Result<Self> {
        Ok(Self { phase: Mutex::new(Phase::Waiting), interrupt: Interrupt::new()? })
    }

    fn receive(&self, signal: Received) {
        // While the command is being started this waits, and then passes the signal on.
        match &*self.phase() {
            Phase::Waiting => self.interrupt.trip(signal.number),
            Phase::Running { command, since } => {
                let got_it_too = signal.from_keyboard && since.elapsed() >= EXEC_WINDOW;
                if let (false, Some(signal)) = (got_it_too, Signal::from_named_raw(signal.number)) {
                    // It may just have ended.
                    let _ = pidfd_send_signal(command, signal);
                }
            }
            Phase::Over => {}
        }
    }

    /// Starts the command, unless a signal came first.
    fn start(&self, spawn: impl FnOnce() -> io::Result<Child>) -> Start {
        let mut phase = self.phase();
        if let Some(signal) = self.interrupt.signal() {
            return Start::Interrupted(signal);
        }
        let mut child = match spawn() {
            Ok(child) => child,
            Err(source) => return Start::Failed(source),
        };
        // Not yet waited for, so the pid is its own.
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(command) => {
                *phase = Phase::Running { command, since: Instant::now() };
                Start::Running(child)
            }
            Err(source) => {
                let _ = child.kill().and_then(|()| child.wait());
                Start::Unwatched(source.into())
            }
        }
    }

    fn send(&self, signal: Signal) {
        if let Phase::Running { command, .. } = &*self.phase() {
            let _ = pidfd_send_signal(command, signal);
        }
    }

    fn is_running(&self) -> bool {
        matches!(*self.phase(), Phase::Running { .. })
    }

    fn finish(&self) {
        *self.phase() = Phase::Over;
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Command(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Io,
    }
}

/// The command as others see it.
fn shown(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
