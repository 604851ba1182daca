//! What the units of a fleet look like, to the manager and to tmux.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use camino::Utf8Path;

use super::manager::{Phase, Unit};
use super::{Units, log};
use crate::error;
use crate::processes::Process;
use crate::roster::Agent;
use crate::supervisor::instance::is_same;
use crate::supervisor::tmux::client::{Pane, Panes, session_name};
use crate::supervisor::{
    Drift, Look, LookError, Sight, State, Stranger, SupervisorError, Survey, UnitSight, View, tmux,
};

impl Look for Units<'_> {
    fn states(&self, agents: &[Agent]) -> Vec<State> {
        let found = self.tmux.panes().map_err(|problem| error::chain(&problem));
        let units = self.units(agents);
        agents.iter().zip(&units).map(|(agent, unit)| seen(unit, agent, found.as_ref())).collect()
    }

    fn survey(&self, agents: &[Agent]) -> Survey {
        let found = self.tmux.panes().map_err(|problem| error::chain(&problem));
        let units = self.units(agents);
        let enabled = self.enabled(&units);
        let sight = |(agent, unit): (&Agent, &Result<Unit, String>)| {
            let state = seen(unit, agent, found.as_ref());
            let session = session_name(&agent.name);
            let pane = found.as_ref().ok().and_then(|found| found.of(&session).next());
            let unit = unit.as_ref().ok().filter(|unit| unit.load == "loaded");
            let drift = match state {
                State::Running { .. } => unit.map(|unit| drift(unit, agent)).unwrap_or_default(),
                _ => Vec::new(),
            };
            let unit = unit.map(|unit| unit.sight(enabled.get(&unit.name).copied()));
            Sight { state, unit, pane: pane.map(Pane::sight), drift }
        };
        let holder = match self.tmux.has_session(&self.holder_session) {
            Ok(answer) => answer,
            Err(problem) => Err(error::chain(&problem)),
        };
        Survey {
            holder: Some(holder),
            agents: agents.iter().zip(&units).map(sight).collect(),
            strangers: self.strangers(agents, found.as_ref().ok()),
        }
    }

    fn view(&self, agent: &Agent, lines: u32, follow: bool) -> Result<View, LookError> {
        let unit = self.manager.look(&self.names.agent(&agent.name))?;
        let pane = self.pane(agent)?;
        // A unit that runs the agent itself writes elsewhere, whatever its name is in tmux.
        let writes_there =
            pane.is_some_and(|pane| unit.main_pid.is_none() || of_unit(&unit, &pane).is_some());
        match writes_there {
            true => self.tmux.view(&agent.name, lines, follow),
            false => Ok(log::view(&self.manager, &unit, lines, follow)?),
        }
    }

    fn terminal(&self, agent: &Agent, read_only: bool) -> Result<Command, LookError> {
        match (self.tmux.attach(&agent.name, read_only), self.unit_runs_itself(agent)) {
            (Err(LookError::NoSession { .. }), true) => {
                Err(LookError::NoTerminal { name: agent.name.clone() })
            }
            (terminal, _) => terminal,
        }
    }
}

impl Units<'_> {
    /// The unit of each agent.
    fn units(&self, agents: &[Agent]) -> Vec<Result<Unit, String>> {
        let names: Vec<_> = agents.iter().map(|agent| self.names.agent(&agent.name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match self.manager.show(&names) {
            Ok(units) if units.len() == agents.len() => units.into_iter().map(Ok).collect(),
            Ok(_) => vec![Err("systemctl did not tell of every unit".to_owned()); agents.len()],
            Err(problem) => vec![Err(error::chain(&problem)); agents.len()],
        }
    }

    /// Whether those that exist are started at boot.
    fn enabled(&self, units: &[Result<Unit, String>]) -> BTreeMap<String, bool> {
        let loaded = units.iter().flatten().filter(|unit| unit.load == "loaded");
        let names: Vec<&str> = loaded.map(|unit| unit.name.as_str()).collect();
        if names.is_empty() {
            return BTreeMap::new();
        }
        // What cannot be asked is not known.
        let enabled = self.manager.enabled(&names).unwrap_or_default();
        let known = names.iter().zip(enabled);
        known.filter_map(|(name, enabled)| Some(((*name).to_owned(), enabled?))).collect()
    }

    fn unit_runs_itself(&self, agent: &Agent) -> bool {
        let unit = self.manager.look(&self.names.agent(&agent.name));
        unit.is_ok_and(|unit| unit.main_pid.is_some())
    }

    /// Units that are called like agents, and sessions on the fleet's own server.
    fn strangers(&self, agents: &[Agent], found: Option<&Panes>) -> Vec<Stranger> {
        let known: BTreeSet<String> =
            agents.iter().map(|agent| self.names.agent(&agent.name)).collect();
        // What cannot be listed has been complained of for each agent.
        let units = self.manager.matching(&self.names.agent("*")).unwrap_or_default();
        let strange = units.into_iter().filter(|unit| !known.contains(unit));
        let mut strangers: Vec<_> = strange.map(|name| Stranger { name, kind: "unit" }).collect();
        if let Some(found) = found.filter(|_| self.tmux.is_ours()) {
            strangers.extend(tmux::strangers(found, &self.holder_session, agents));
        }
        strangers
    }
}

fn seen(unit: &Result<Unit, String>, agent: &Agent, found: Result<&Panes, &String>) -> State {
    match unit {
        Ok(unit) => state(unit, agent, found),
        Err(error) => State::Unknown { error: error.clone(), denied: false },
    }
}

/// In what a unit differs from the roster. A command in the roster is of no use to a unit,
/// which has its own.
fn drift(unit: &Unit, agent: &Agent) -> Vec<Drift> {
    let elsewhere = unit.directory.as_deref();
    let elsewhere =
        elsewhere.is_some_and(|path| !is_same(Utf8Path::new(path), &agent.working_directory));
    let drift =
        [unit.is_outdated.then_some(Drift::UnitFile), elsewhere.then_some(Drift::Directory)];
    drift.into_iter().flatten().collect()
}

/// What an agent is doing, by its unit and, where the unit does not run it, by its pane.
fn state(unit: &Unit, agent: &Agent, found: Result<&Panes, &String>) -> State {
    let uptime = |pid| Process::find(pid).map(|process| process.uptime()).unwrap_or_default();
    let unknown = |error: &str| State::Unknown { error: error.to_owned(), denied: false };
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
                Some(pane) => {
                    State::Dead { pid: Some(pane.pid), how: pane.how(), leftover: Vec::new() }
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
    /// What a person wants to know.
    fn sight(&self, enabled: Option<bool>) -> UnitSight {
        let phase = match self.phase {
            Phase::Active => "active",
            Phase::Inactive => "inactive",
            Phase::Failed => "failed",
            Phase::Activating => "activating",
            Phase::Deactivating => "deactivating",
        };
        let active = format!("{phase} ({})", self.sub);
        UnitSight { name: self.name.clone(), active, enabled }
    }

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
