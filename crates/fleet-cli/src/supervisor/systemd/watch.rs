//! An agent whose unit is up: watched until it has lived long enough to count as started.

use std::time::{Duration, Instant};

use super::manager::{Phase, Unit};
use super::{Units, look};
use crate::interrupt::Interrupt;
use crate::processes::Process;
use crate::roster::Agent;
use crate::supervisor::tmux::client::{Pane, session_name};
use crate::supervisor::{Settled, SupervisorError, Wait, tmux};

impl Units<'_> {
    /// Waits until an agent that runs anew has lived long enough.
    pub(super) fn await_settled<'a>(&'a self, unit: Unit, agent: &'a Agent) -> Wait<'a> {
        Box::new(move |until, interrupt| {
            let pid = self.settle(&unit, agent, until, interrupt)?;
            Ok(Settled::Restarted { pid })
        })
    }

    /// Watches an agent until it has lived long enough to count as started.
    pub(super) fn settle(
        &self,
        unit: &Unit,
        agent: &Agent,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<u32, SupervisorError> {
        let settled = |pid| until.min(Instant::now() + self.left_to_settle(unit, pid));
        if let Some(pid) = unit.main_pid {
            let settled = settled(pid);
            // Otherwise it is enough that it was up when we looked.
            if Instant::now() < settled {
                tmux::watch(pid, settled, interrupt)?;
                let after = self.manager.look(&unit.name)?;
                let goes_on = after.main_pid == Some(pid) && after.phase == Phase::Active;
                if !goes_on {
                    return Err(self.ended_at_once(&after, pid));
                }
            }
            let in_pane = self.pane(agent)?.and_then(|pane| look::of_unit(unit, &pane));
            return Ok(in_pane.unwrap_or(pid));
        }
        let session = session_name(&agent.name);
        let nothing = || SupervisorError::NothingRuns {
            unit: unit.name.clone(),
            sub: unit.sub.clone(),
            session: session.clone(),
        };
        let pane = self.pane(agent)?.ok_or_else(nothing)?;
        tmux::watch(pane.pid, settled(pane.pid), interrupt)?;
        match self.tmux.after(pane.pid)?.panes.into_iter().find(|now| now.id == pane.id) {
            Some(Pane { dead: None, .. }) => Ok(pane.pid),
            Some(pane) => Err(tmux::ended_at_once(&self.tmux, &pane)),
            None => Err(nothing()),
        }
    }

    /// How much longer a unit's process has to live to count as started. One that came with the
    /// holder may have done so while it waited for its turn. What it did before the unit was
    /// ready does not count.
    fn left_to_settle(&self, unit: &Unit, pid: u32) -> Duration {
        let process = Process::find(pid).filter(|process| !process.is_zombie());
        let lived = process.map_or(Duration::ZERO, |process| process.uptime());
        self.patience.settle.saturating_sub(lived.min(unit.active_for()))
    }
}
