//! What the sessions of a fleet look like.

use std::collections::BTreeSet;
use std::process::Command;

use super::Sessions;
use super::client::{Pane, Panes, session_name};
use crate::error;
use crate::roster::Agent;
use crate::supervisor::instance::{Instance, pids};
use crate::supervisor::{
    Drift, Look, LookError, Sight, State, Stranger, SupervisorError, Survey, View,
};

impl Look for Sessions {
    fn states(&self, agents: &[Agent]) -> Vec<State> {
        match self.tmux.panes() {
            Ok(found) => agents.iter().map(|agent| self.sight(agent, &found).state).collect(),
            Err(problem) => vec![State::unknown(&problem); agents.len()],
        }
    }

    fn survey(&self, agents: &[Agent]) -> Survey {
        let found = match self.tmux.panes() {
            Ok(found) => found,
            Err(problem) => {
                let lost = |_| Sight {
                    state: State::unknown(&problem),
                    unit: None,
                    pane: None,
                    drift: Vec::new(),
                };
                let holder = Some(Err(error::chain(&problem)));
                let agents = agents.iter().map(lost).collect();
                return Survey { holder, agents, strangers: Vec::new() };
            }
        };
        let holder = match found.has(&self.holder) {
            true => Ok(()),
            false => Err(format!("there is no tmux session `{}`", self.holder)),
        };
        Survey {
            holder: Some(holder),
            agents: agents.iter().map(|agent| self.sight(agent, &found)).collect(),
            strangers: match self.tmux.is_ours() {
                true => strangers(&found, &self.holder, agents),
                false => Vec::new(),
            },
        }
    }

    fn view(&self, agent: &Agent, lines: u32, follow: bool) -> Result<View, LookError> {
        self.tmux.view(&agent.name, lines, follow)
    }

    fn terminal(&self, agent: &Agent, read_only: bool) -> Result<Command, LookError> {
        self.tmux.attach(&agent.name, read_only)
    }
}

impl Sessions {
    fn sight(&self, agent: &Agent, found: &Panes) -> Sight {
        let session = session_name(&agent.name);
        let pane = found.of(&session).next();
        let (state, drift) = match self.look_at(agent, pane) {
            Ok(seen) => seen,
            Err(problem) => (State::unknown(&problem), Vec::new()),
        };
        Sight { state, unit: None, pane: pane.map(Pane::sight), drift }
    }

    fn look_at(
        &self,
        agent: &Agent,
        pane: Option<&Pane>,
    ) -> Result<(State, Vec<Drift>), SupervisorError> {
        let record = Instance::read(&self.home.instance(&agent.name))?;
        let Some(pane) = pane else {
            let state = match record {
                Some(record) => out_of_reach(&record)?,
                None => State::Stopped,
            };
            return Ok((state, Vec::new()));
        };
        let run = match record.filter(|record| record.pid == pane.pid) {
            Some(record) => Some(record),
            None => Instance::of(pane.pid)?,
        };
        if pane.dead.is_none() {
            let leader = run.as_ref().map(Instance::living_leader).transpose()?.flatten();
            let uptime = leader.map(|leader| leader.uptime()).unwrap_or_default();
            let drift = run.map(|run| run.drift(agent)).unwrap_or_default();
            return Ok((State::Running { pid: pane.pid, uptime }, drift));
        }
        let members = run.as_ref().map(Instance::members).transpose()?.unwrap_or_default();
        let (pid, how, leftover) = (Some(pane.pid), pane.how(), pids(&members));
        Ok((State::Dead { pid, how, leftover }, Vec::new()))
    }
}

/// An agent without its session does not count as running.
fn out_of_reach(record: &Instance) -> Result<State, SupervisorError> {
    Ok(match record.state()? {
        State::Running { pid, .. } => {
            State::Dead { pid: Some(pid), how: None, leftover: pids(&record.members()?) }
        }
        state => state,
    })
}

/// The sessions on a server of the fleet's own that the roster does not have.
pub(in crate::supervisor) fn strangers(
    found: &Panes,
    holder: &str,
    agents: &[Agent],
) -> Vec<Stranger> {
    let known: BTreeSet<String> = agents.iter().map(|agent| session_name(&agent.name)).collect();
    let sessions: BTreeSet<&str> = found.panes.iter().map(|pane| pane.session.as_str()).collect();
    let strange = |name: &&str| *name != holder && !known.contains(*name);
    let stranger = |name: &str| Stranger { name: name.to_owned(), kind: "session" };
    sessions.into_iter().filter(strange).map(stranger).collect()
}
