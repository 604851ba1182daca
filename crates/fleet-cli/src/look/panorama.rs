//! One picture of the whole fleet: supervisor, process table, heartbeats and lock, joined.

use std::time::Duration;

use lock_fs::{Now, Status, Verdict, Wall};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::heartbeat::Beat;
use crate::home::Home;
use crate::processes::Process;
use crate::roster::{Agent, Roster};
use crate::standing::{Mark, Standing};
use crate::supervisor::{Drift, Look, Sight, State, Stranger};
use crate::{locking, logbook};

/// The fleet at one moment.
#[derive(Debug)]
pub(crate) struct Panorama<'r> {
    /// When.
    pub(crate) now: Now,
    /// Whether the holder is of use, and if not, why; `None` where there is no such thing.
    pub(crate) holder: Option<Result<(), String>>,
    /// Each agent, in the order of the roster.
    pub(crate) rows: Vec<Row<'r>>,
    /// What looks like an agent and is not in the roster.
    pub(crate) strangers: Vec<Stranger>,
    /// Who has the restart lock, if anybody.
    pub(crate) lock: Option<Status>,
}

/// One agent at that moment.
#[derive(Debug)]
pub(crate) struct Row<'r> {
    /// Which.
    pub(crate) agent: &'r Agent,
    /// What its supervisor sees.
    pub(crate) sight: Sight,
    /// Its last sign of life, if it gives any.
    pub(crate) beat: Option<Beat>,
    /// Who is at work on it now.
    pub(crate) in_the_hands_of: Option<u32>,
    /// What is odd about it.
    pub(crate) flags: Vec<Flag>,
}

/// Something odd about an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flag {
    /// It ended by itself.
    Dead,
    /// Processes of an earlier run are left.
    Leftover,
    /// Its process is stopped, and does nothing until somebody continues it.
    Suspended,
    /// It runs another command than the roster says.
    DriftCommand,
    /// It runs in another directory than the roster says.
    DriftDirectory,
    /// Its unit's file was changed, and the manager has not read it again.
    DriftUnitFile,
    /// Its unit is not started at boot.
    NotEnabled,
    /// Its heartbeat is from another process than the one that runs.
    OtherPid,
}

impl<'r> Panorama<'r> {
    /// Looks at everything once.
    ///
    /// # Errors
    ///
    /// When the lock cannot be looked at.
    pub(crate) fn new(
        home: &Home,
        roster: &'r Roster,
        supervisor: &(impl Look + ?Sized),
    ) -> Result<Self, Error> {
        let survey = supervisor.survey(&roster.agents);
        let lock = locking::look(&home.restart_lock())?;
        let standing = logbook::read(&home.plan()).ok().flatten();
        let row = |(agent, sight): (&'r Agent, Sight)| {
            let beat = Beat::read(&home.heartbeat(&agent.name));
            let in_the_hands_of = at_work_on(&agent.name, lock.as_ref(), standing.as_ref());
            let is_suspended = is_suspended(&sight.state);
            let flags = flags(&sight, beat.as_ref(), is_suspended);
            Row { agent, sight, beat, in_the_hands_of, flags }
        };
        Ok(Self {
            rows: roster.agents.iter().zip(survey.agents).map(row).collect(),
            now: lock_fs::Clock::default().now(),
            holder: survey.holder,
            strangers: survey.strangers,
            lock,
        })
    }
}

impl Row<'_> {
    /// For how long its pane has been quiet. tmux counts in seconds, and a process cannot have
    /// been quiet for longer than it has run.
    pub(crate) fn idle(&self, now: Now) -> Option<Duration> {
        let State::Running { uptime, .. } = self.sight.state else { return None };
        let wrote = Wall(self.sight.pane.as_ref()?.active_at.saturating_mul(1000));
        Some(now.wall.since(wrote).min(uptime))
    }
}

/// Whether a process exists and does nothing until it is continued.
pub(crate) fn is_suspended(state: &State) -> bool {
    let State::Running { pid, .. } = state else { return false };
    Process::find(*pid).is_some_and(|process| matches!(process.state, 'T' | 't'))
}

/// What is odd about an agent.
fn flags(sight: &Sight, beat: Option<&Beat>, is_suspended: bool) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut add = |is_so: bool, flag| flags.extend(is_so.then_some(flag));
    if let State::Dead { leftover, .. } = &sight.state {
        add(true, Flag::Dead);
        // The leader of a dead run is among its leftovers if only its pane has gone.
        add(!leftover.is_empty(), Flag::Leftover);
    }
    add(is_suspended, Flag::Suspended);
    for drift in &sight.drift {
        add(
            true,
            match drift {
                Drift::Command => Flag::DriftCommand,
                Drift::Directory => Flag::DriftDirectory,
                Drift::UnitFile => Flag::DriftUnitFile,
            },
        );
    }
    let enabled = sight.unit.as_ref().and_then(|unit| unit.enabled);
    add(enabled == Some(false), Flag::NotEnabled);
    if let (State::Running { pid, .. }, Some(Beat { pid: Some(other), .. })) = (&sight.state, beat)
    {
        add(pid != other, Flag::OtherPid);
    }
    flags
}

/// The process that holds the lock, if the agent's turn has come and is not over.
fn at_work_on(agent: &str, lock: Option<&Status>, standing: Option<&Standing>) -> Option<u32> {
    let lock = lock.filter(|lock| !matches!(lock.verdict, Verdict::Stale(_)))?;
    let owner = lock.owner()?;
    let standing = standing?;
    let same = owner.generation().is_some_and(|generation| generation.0 == standing.generation);
    let begun =
        |mark: &&crate::standing::AgentMark| mark.agent == agent && mark.mark == Mark::Begun;
    let is_begun = standing.agents.iter().find(begun).is_some();
    (same && is_begun).then_some(owner.pid)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::supervisor::UnitSight;

    fn sight(state: State) -> Sight {
        Sight { state, unit: None, pane: None, drift: Vec::new() }
    }

    const RUNNING: State = State::Running { pid: 7, uptime: Duration::ZERO };

    fn dead(leftover: &[u32]) -> State {
        State::Dead { pid: Some(7), how: None, leftover: leftover.to_vec() }
    }

    fn unit(enabled: Option<bool>) -> Sight {
        let unit = UnitSight { name: "u".into(), active: "active (running)".into(), enabled };
        Sight { unit: Some(unit), ..sight(RUNNING) }
    }

    #[rstest]
    #[case::all_well(sight(RUNNING), &[])]
    #[case::stopped(sight(State::Stopped), &[])]
    #[case::dead(sight(dead(&[])), &[Flag::Dead])]
    #[case::leftover(sight(dead(&[8])), &[Flag::Dead, Flag::Leftover])]
    #[case::drift(
        Sight { drift: vec![Drift::UnitFile, Drift::Directory], ..sight(RUNNING) },
        &[Flag::DriftUnitFile, Flag::DriftDirectory]
    )]
    #[case::enabled(unit(Some(true)), &[])]
    #[case::not_enabled(unit(Some(false)), &[Flag::NotEnabled])]
    #[case::enabling_is_not_its_business(unit(None), &[])]
    fn what_is_odd(#[case] sight: Sight, #[case] expected: &[Flag]) {
        assert_eq!(flags(&sight, None, false), expected);
    }

    #[rstest]
    #[case::its_own(Some(7), &[])]
    #[case::of_another(Some(8), &[Flag::OtherPid])]
    #[case::of_nobody(None, &[])]
    fn a_heartbeat(#[case] pid: Option<u32>, #[case] expected: &[Flag]) {
        let beat = Beat { at: Wall(0), pid, status: String::new() };
        assert_eq!(flags(&sight(RUNNING), Some(&beat), false), expected);
        assert_eq!(flags(&sight(State::Stopped), Some(&beat), false), []);
    }

    #[test]
    fn a_suspended_process() {
        assert_eq!(flags(&sight(RUNNING), None, true), [Flag::Suspended]);
    }
}
