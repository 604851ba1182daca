//! `lock run`: a command that runs under the lock, gets our signals, and never outlives the
//! lock unnoticed.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{Effect, Record, Released, Tracer};
use signal_hook::consts::SIGINT;
use signal_hook::low_level::emulate_default_handler;

use super::relay::{Relay, Start};
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::lock::args::LockRun;
use crate::locking::{self, Terms};
use crate::report::Screen;
use crate::spawn::spawn_under_lock;
use crate::tenure::Tenure;
use crate::{nested, settle};

/// For so long after the command's start nothing is due: a keeper would first look five times as
/// long after its own. So what ends by then needs none, nor a thread that waits for a loss.
const BRIEF: Duration = Duration::from_millis(20);

/// Runs the command under the lock at `path`, which is the restart lock of `home` if there is one.
///
/// # Errors
///
/// When the lock could not be acquired, or the command cannot be run.
pub(crate) fn run(
    path: &Utf8Path,
    home: Option<&Home>,
    args: &LockRun,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let (program, arguments) = match args.command.split_first() {
        Some((program, arguments)) => (program, arguments),
        None => return Ok(Exit::Usage),
    };
    let shown = shown(&args.command);
    let sleeper = Arc::new(OnceLock::<Arc<Relay>>::new());
    let listener = Arc::clone(&sleeper);
    let tracer = Tracer::new(move |effect| {
        if let (Effect::Sleep { .. }, Some(relay)) = (effect, listener.get()) {
            // Where no thread is to be had, the next sleep tries again.
            let _ = relay.listen();
        }
    });
    let terms = Terms::of_command(&args.options, args.allow_timed)?;
    let lock = locking::open_traced(path, terms, shown.clone(), Some(tracer))?;
    let relay = Arc::new(Relay::new().map_err(Error::Signals)?);
    let relay = sleeper.get_or_init(|| relay);
    lock.keep_later();
    let acquired = locking::acquire(&lock, path, shown, terms.policy, relay.interrupt(), screen)?;
    if let Some(home) = home {
        // There is something to wait for, so there is time for a keeper.
        let announce = &mut |_: &str, _| lock.keep();
        settle::settle(home, &acquired, announce, relay.interrupt(), screen)?;
    }
    let guard = acquired.guard;
    let child = start(&guard, relay, program, arguments)?;
    let named = || program.to_string_lossy().into_owned();
    let keep = || lock.keep().is_ok() && relay.listen().is_ok();
    let (status, lost) = attend(child, guard, relay, args, screen, keep, named)?;
    if status.signal() == Some(SIGINT) && relay.was_asked_by_key() {
        // A shell goes on with its script if whoever had the terminal seems to have dealt
        // with the key. The command did not, so neither do we.
        let _ = emulate_default_handler(SIGINT);
    }
    // The process ends: nothing that they have open is worth a call, and no way to the end
    // makes others than another.
    std::mem::forget((lock, sleeper));
    Ok(if lost { Exit::LockLost } else { exit_of(status) })
}

/// Starts the command. Outside the mutex: no clock takes the lock from us, so the start needs no
/// step, and what the command inherits is never the mutex.
fn start(
    tenure: &Tenure,
    relay: &Relay,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<Child, Error> {
    let ticket = tenure.ticket()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(nested::TOKEN, tenure.token().as_str())
        .env("FLEET_LOCK_GENERATION", tenure.generation().to_string())
        .env("FLEET_LOCK_PATH", tenure.path());
    match relay.start(|| spawn_under_lock(command, ticket.as_fd())) {
        Start::Running(child) => Ok(child),
        Start::Interrupted(signal) => {
            Err(Error::WaitInterrupted { path: tenure.path().to_owned(), signal })
        }
        Start::Failed(source) => {
            Err(Error::Run { program: program.to_string_lossy().into_owned(), source })
        }
    }
}

/// Waits for the command's end, and for the loss of the lock meanwhile. Tells how the command
/// ended, and whether the lock was lost.
fn attend(
    mut child: Child,
    tenure: Tenure,
    relay: &Arc<Relay>,
    args: &LockRun,
    screen: &mut Screen,
    keep: impl Fn() -> bool,
    named: impl Fn() -> String,
) -> Result<(ExitStatus, bool), Error> {
    let path = tenure.path().to_owned();
    let (loss, log) = (tenure.loss(), tenure.log());
    let (ended, released, problem, lost, left_waiting) = std::thread::scope(|scope| {
        let await_loss = || {
            let lost_to: Option<Box<Record>> = loss.wait(None)?;
            log.lost(lost_to.as_deref());
            let still_runs = relay.is_running();
            if let (true, Some(signal)) = (still_runs, args.kill_on_loss) {
                relay.send(signal);
            }
            screen.lost(&path, lost_to.as_deref(), still_runs);
            Some(())
        };
        let watch = match is_brief(&mut child, relay, keep) {
            true => Err(await_loss),
            false => Ok(scope.spawn(await_loss)),
        };
        let ended = child.wait().and_then(|status| {
            if !args.no_wait_group {
                relay.outlast_group()?;
            }
            Ok(status)
        });
        relay.finish();
        let left_waiting = tenure.flock_waiters();
        let exit = ended.as_ref().ok().map(|status| exit_of(*status));
        // Releasing ends the watch: with a loss, if there was one.
        let (released, problem) = tenure.release(exit);
        let lost = match watch {
            Ok(watch) => watch.join().ok().flatten(),
            Err(mut await_loss) => await_loss(),
        };
        (ended, released, problem, lost.is_some(), left_waiting)
    });
    screen.journal(problem);
    if !left_waiting.is_empty() {
        screen.left_waiting(&path, &left_waiting);
    }
    let status = ended.map_err(|source| Error::Watch { program: named(), source })?;
    // A loss that it tells of is the watch's to report.
    let _: Released = released.map_err(|source| Error::Unreleased { path, source })?;
    Ok((status, lost))
}

/// Whether the command, with all that it started, ends at once. If not, `keep` is called: it
/// starts threads for what has to be done meanwhile, and says whether they are to be had.
fn is_brief(child: &mut Child, relay: &Relay, keep: impl Fn() -> bool) -> bool {
    loop {
        let ended = relay.outlasts(child, BRIEF);
        if matches!(ended, Ok(true)) {
            return true;
        }
        // Without them we do what we can, and try again.
        if keep() || ended.is_err() {
            return false;
        }
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
