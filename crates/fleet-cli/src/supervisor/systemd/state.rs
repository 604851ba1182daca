//! From what the manager and tmux say to what an agent is doing.

use super::manager::{Phase, Unit};
use crate::processes::Process;
use crate::roster::Agent;
use crate::supervisor::tmux::client::{Pane, Panes, session_name};
use crate::supervisor::{State, SupervisorError};

/// What an agent is doing, by its unit and, where the unit does not run it, by its pane.
pub(super) fn of(unit: &Unit, agent: &Agent, found: Result<&Panes, &String>) -> State {
    let uptime = |pid| Process::find(pid).map(|process| process.uptime()).unwrap_or_default();
    let unknown = |error: &str| State::Unknown { error: error.to_owned() };
    let dead = |how: String| State::Dead {
        pid: unit.last.map(|last| last.pid),
        how: Some(how),
        leftover: Vec::new(),
    };
    match (unit.load.as_str(), unit.phase, unit.main_pid) {
        ("loaded", Phase::Active, Some(main)) => {
            let session = session_name(&agent.name);
            let pane = found.ok().and_then(|found| found.of(&session).next());
            let pid = pane.and_then(|pane| of_unit(unit, pane)).unwrap_or(main);
            State::Running { pid, uptime: uptime(pid) }
        }
        ("loaded", Phase::Active, None) => {
            let session = session_name(&agent.name);
            let pane = match found {
                Ok(found) => found.of(&session).next(),
                Err(error) => return unknown(error),
            };
            match pane {
                Some(Pane { pid, dead: None, .. }) => {
                    State::Running { pid: *pid, uptime: uptime(*pid) }
                }
                Some(Pane { pid, dead: Some(how), .. }) => {
                    let (pid, how) = (Some(*pid), Some(how.clone()));
                    State::Dead { pid, how, leftover: Vec::new() }
                }
                None => dead(format!("its unit is active ({}), but nothing runs", unit.sub)),
            }
        }
        ("loaded", Phase::Activating, _) if unit.sub == "auto-restart" => dead(unit.ending()),
        ("loaded", Phase::Activating, _) => State::Starting,
        ("loaded", Phase::Deactivating, pid) => State::Stopping { pid },
        ("loaded", Phase::Failed, _) => dead(unit.ending()),
        ("loaded", Phase::Inactive, _) => State::Stopped,
        (load, ..) => {
            let (unit, load) = (unit.name.clone(), load.to_owned());
            unknown(&SupervisorError::NoUnit { unit, load }.to_string())
        }
    }
}

/// The agent itself, where the unit's main process only looks after it: in the pane, and in the
/// unit's control group.
pub(super) fn of_unit(unit: &Unit, pane: &Pane) -> Option<u32> {
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pane.pid)).unwrap_or_default();
    let mut parts = groups.lines().flat_map(|line| line.split('/'));
    (pane.dead.is_none() && parts.any(|part| part == unit.name)).then_some(pane.pid)
}

impl Unit {
    /// How its last run ended, in the manager's words and the system's.
    pub(super) fn ending(&self) -> String {
        let result = match self.result.as_str() {
            "success" | "" => &self.sub,
            result => result,
        };
        match self.last {
            Some(last) => format!("{result}, {last}"),
            None => result.to_owned(),
        }
    }
}
