//! How runs end: asked gently, a grace period, SIGKILL to what is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::instance::Instance;
use super::{Settled, SupervisorError};
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;

/// How long SIGKILL may take to have an effect before we say that it has none.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(5);

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

/// How long a run's group may take to end before those that have left it are asked, too: its
/// leader may be waiting for them.
const GROUP_PATIENCE: Duration = Duration::from_millis(5);

/// A run whose first processes have been asked to end.
#[derive(Debug)]
pub(super) struct Asked {
    run: [Instance; 1],
    asked: Vec<Process>,
    watch: Option<OwnedFd>,
}

impl Asked {
    /// The name of the run.
    pub(super) fn into_run(self) -> String {
        let [Instance { run, .. }] = self.run;
        run
    }
}

/// Asks a run to end: its group, if its `leader` lives, and else all its members. Who has left
/// the group is asked by [`await_end_of_all`].
///
/// # Errors
///
/// When the system refuses.
pub(super) fn ask_first(run: Instance, leader: Option<Process>) -> Result<Asked, SupervisorError> {
    // Looked at again right before the signal: as long as the leader is there, if only as a
    // zombie, its group's number is its own.
    let watch = leader.as_ref().and_then(Process::watch);
    let members = match (leader, &watch) {
        (Some(leader), Some(_)) => vec![leader],
        _ => run.members()?,
    };
    ask_members(&run, &members)?;
    Ok(Asked { run: [run], asked: members, watch })
}

/// As [`await_end`]; who has left the group is asked as soon as the leader has ended, or has
/// not for a while. So a run that ends as it should takes one look through all processes.
///
/// # Errors
///
/// As [`await_end`].
pub(super) fn await_end_of_all(
    asked: &Asked,
    until: Instant,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    let grace = left_until(kill_at(until));
    let [run] = &asked.run;
    let mut woken = Woken::Ready;
    if let Some(watch) = &asked.watch {
        woken = interrupt
            .wait(&[watch.as_fd()], grace.min(GROUP_PATIENCE))
            .map_err(|source| SupervisorError::System { action: "watch the process", source })?;
    }
    let mut left = run.members()?;
    if left.is_empty() {
        return Ok(Settled::Stopped { killed: false });
    }
    let is_asked = |process: &Process| asked.asked.iter().any(|other| other.is(process));
    left.retain(|process| process.group != run.pid && !is_asked(process));
    ask_members(run, &left)?;
    match woken {
        Woken::Interrupted => Err(SupervisorError::Interrupted),
        _ => await_end(&asked.run, until, interrupt),
    }
}

/// How long it may take to end runs that have so much `grace`.
pub(super) fn limit(grace: Duration) -> Duration {
    grace.saturating_add(KILL_PATIENCE)
}

/// When what is left gets SIGKILL, if it has to be gone then.
fn kill_at(until: Instant) -> Instant {
    until.checked_sub(KILL_PATIENCE).unwrap_or(until)
}

/// Waits until no process of the runs is alive, with force [`KILL_PATIENCE`] before the end of the
/// wait.
///
/// # Errors
///
/// When a signal interrupts us, or when not even SIGKILL helps.
pub(super) fn await_end(
    runs: &[Instance],
    until: Instant,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    if await_none(&|| members(runs), kill_at(until), interrupt)?.is_empty() {
        return Ok(Settled::Stopped { killed: false });
    }
    kill(runs, until, interrupt)
}

/// Ends runs with force.
///
/// # Errors
///
/// As [`await_end`].
pub(super) fn kill(
    runs: &[Instance],
    until: Instant,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    // A process may fork while we kill its siblings outside the group; so look again.
    loop {
        send(runs, Signal::KILL)?;
        let left = left_until(until);
        let step = left.min(Duration::from_millis(100));
        let still = await_none(&|| members(runs), Instant::now() + step, interrupt)?;
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
    until: Instant,
    interrupt: &Interrupt,
) -> Result<Settled, SupervisorError> {
    let leaders = || {
        let mut leaders = members(runs)?;
        leaders.retain(|process| runs.iter().any(|run| run.pid == process.pid));
        Ok(leaders)
    };
    if await_none(&leaders, kill_at(until), interrupt)?.is_empty() {
        ask(runs)?;
    }
    await_end(runs, until, interrupt)
}

/// Waits until `look` finds no process; returns those that are left.
fn await_none(
    look: &dyn Fn() -> Result<Vec<Process>, SupervisorError>,
    until: Instant,
    interrupt: &Interrupt,
) -> Result<Vec<Process>, SupervisorError> {
    loop {
        let members = look()?;
        let left = left_until(until);
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

fn left_until(instant: Instant) -> Duration {
    instant.saturating_duration_since(Instant::now())
}

fn members(runs: &[Instance]) -> Result<Vec<Process>, SupervisorError> {
    let mut all = Vec::new();
    for run in runs {
        all.extend(run.members()?);
    }
    Ok(all)
}

fn ask_members(run: &Instance, members: &[Process]) -> Result<(), SupervisorError> {
    let refused = |source| SupervisorError::System { action: "signal the process", source };
    let mut signals = [Signal::TERM, Signal::CONT].into_iter();
    signals.try_for_each(|signal| run.signal(members, signal).map_err(refused))
}

fn send(runs: &[Instance], signal: Signal) -> Result<(), SupervisorError> {
    let refused = |source| SupervisorError::System { action: "signal the process", source };
    runs.iter().try_for_each(|run| run.signal(&run.members()?, signal).map_err(refused))
}
