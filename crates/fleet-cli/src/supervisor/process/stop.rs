//! How a run ends: SIGTERM to all of it, a grace period, SIGKILL to what is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::instance::Instance;
use super::reading_proc;
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;
use crate::supervisor::{Settled, SupervisorError};

/// How long SIGKILL may take to have an effect before we say that it has none.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How soon to look again for a process that cannot be watched.
const UNWATCHED_RETRY: Duration = Duration::from_millis(10);

/// Asks the run to end. A stopped process could not hear it, so it is continued as well.
///
/// # Errors
///
/// When the system refuses.
pub(super) fn ask(instance: &Instance, members: &[Process]) -> Result<(), SupervisorError> {
    for signal in [Signal::TERM, Signal::CONT] {
        send(instance, members, signal)?;
    }
    Ok(())
}

/// Waits until no process of the run is alive, with force after `grace`.
///
/// # Errors
///
/// When a signal interrupts us, or when not even SIGKILL helps.
pub(super) fn await_end(
    instance: &Instance,
    grace: Duration,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    if await_empty(instance, grace, interrupt)?.is_empty() {
        return Ok(Settled::Stopped { killed: false });
    }
    // A process may fork while we kill its siblings outside the group; so look again.
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        let members = instance.members().map_err(reading_proc)?;
        send(instance, &members, Signal::KILL)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let step = left.min(Duration::from_millis(100));
        let members = await_empty(instance, step, interrupt)?;
        if members.is_empty() {
            return Ok(Settled::Stopped { killed: true });
        }
        if left.is_zero() {
            let pids = members.iter().map(|process| process.pid).collect();
            return Err(SupervisorError::Immortal { pids, waited: KILL_PATIENCE });
        }
    }
}

/// Waits until the run has no member, at most for `patience`; returns who is left.
fn await_empty(
    instance: &Instance,
    patience: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<Process>, SupervisorError> {
    let deadline = Instant::now() + patience;
    loop {
        let members = instance.members().map_err(reading_proc)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if members.is_empty() || left.is_zero() {
            return Ok(members);
        }
        // The first end wakes us; then we look again, for who is left and who is new. A
        // member without a watch has ended meanwhile, or we have no descriptor left.
        let watches: Vec<OwnedFd> = members.iter().filter_map(Process::watch).collect();
        let watched: Vec<_> = watches.iter().map(AsFd::as_fd).collect();
        let all = watches.len() == members.len();
        let woken = interrupt
            .wait(&watched, if all { left } else { left.min(UNWATCHED_RETRY) })
            .map_err(|source| SupervisorError::System { action: "watch the process", source })?;
        if woken == Woken::Interrupted {
            return Err(SupervisorError::Interrupted);
        }
    }
}

fn send(instance: &Instance, members: &[Process], signal: Signal) -> Result<(), SupervisorError> {
    instance
        .signal(members, signal)
        .map_err(|source| SupervisorError::System { action: "signal the process", source })
}
