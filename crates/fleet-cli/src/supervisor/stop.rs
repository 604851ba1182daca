//! How runs end: asked gently, a grace period, SIGKILL to what is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::instance::Instance;
use super::{Settled, SupervisorError};
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;

/// How long SIGKILL may take to have an effect before we say that it has none.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How soon to look again for a process that cannot be watched.
const UNWATCHED_RETRY: Duration = Duration::from_millis(10);

/// Asks all of the runs to end. A stopped process could not hear it, so it is continued as
/// well.
///
/// # Errors
///
/// When the system refuses.
pub(super) fn ask(runs: &[Instance]) -> Result<(), SupervisorError> {
    send(runs, Signal::TERM)?;
    send(runs, Signal::CONT)
}

/// Waits until no process of the runs is alive, with force after `grace`.
///
/// # Errors
///
/// When a signal interrupts us, or when not even SIGKILL helps.
pub(super) fn await_end(
    runs: &[Instance],
    grace: Duration,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    if await_none(&|| members(runs), grace, interrupt)?.is_empty() {
        return Ok(Settled::Stopped { killed: false });
    }
    // A process may fork while we kill its siblings outside the group; so look again.
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        send(runs, Signal::KILL)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let step = left.min(Duration::from_millis(100));
        let still = await_none(&|| members(runs), step, interrupt)?;
        if still.is_empty() {
            return Ok(Settled::Stopped { killed: true });
        }
        if left.is_zero() {
            let pids = still.iter().map(|process| process.pid).collect();
            return Err(SupervisorError::Immortal { pids, waited: KILL_PATIENCE });
        }
    }
}

/// The same for runs whose terminals were hung up. The kernel tells the leaders; whoever is
/// left when they have ended has not heard of it, so it is asked then.
///
/// # Errors
///
/// As [`await_end`].
pub(super) fn await_end_after_hangup(
    runs: &[Instance],
    grace: Duration,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    let deadline = Instant::now() + grace;
    let leaders = || {
        let mut leaders = members(runs)?;
        leaders.retain(|process| runs.iter().any(|run| run.pid == process.pid));
        Ok(leaders)
    };
    if await_none(&leaders, grace, interrupt)?.is_empty() {
        ask(runs)?;
    }
    await_end(runs, deadline.saturating_duration_since(Instant::now()), interrupt)
}

/// Waits until `look` finds nobody, at most for `patience`; returns who is left.
fn await_none(
    look: &dyn Fn() -> Result<Vec<Process>, SupervisorError>,
    patience: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<Process>, SupervisorError> {
    let deadline = Instant::now() + patience;
    loop {
        let members = look()?;
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

fn members(runs: &[Instance]) -> Result<Vec<Process>, SupervisorError> {
    let mut all = Vec::new();
    for run in runs {
        all.extend(run.members()?);
    }
    Ok(all)
}

fn send(runs: &[Instance], signal: Signal) -> Result<(), SupervisorError> {
    let refused = |source| SupervisorError::System { action: "signal the process", source };
    runs.iter().try_for_each(|run| run.signal(&run.members()?, signal).map_err(refused))
}
