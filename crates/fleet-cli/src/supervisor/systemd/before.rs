//! What a target looks like before its step.

use super::manager::{Phase, Unit};
use crate::supervisor::tmux::client::Pane;
use crate::supervisor::{SupervisorError, Target, tmux};

/// A target before its step.
pub(super) struct Before<'a> {
    pub(super) target: Target<'a>,
    pub(super) unit: Unit,
    /// Where the agent is, if its unit does not run it.
    pub(super) pane: Option<Pane>,
}

impl Before<'_> {
    /// Whether what its unit is for runs.
    pub(super) fn runs(&self) -> bool {
        let has_process = match self.target {
            Target::Holder => true,
            Target::Agent(_) => {
                let pane = self.pane.as_ref();
                self.unit.main_pid.is_some() || pane.is_some_and(|pane| pane.dead.is_none())
            }
        };
        self.unit.phase == Phase::Active && has_process
    }

    /// A unit takes its whole control group with it, and a session everyone in it.
    pub(super) fn refuse_if_inside(&self) -> Result<(), SupervisorError> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut parts = groups.lines().flat_map(|line| line.split('/'));
        let in_unit = parts.any(|part| part == self.unit.name);
        if !in_unit && !self.pane.as_ref().is_some_and(tmux::is_our_session) {
            return Ok(());
        }
        let instead = match self.target {
            Target::Holder => "systemd-run --user fleet restart".to_owned(),
            Target::Agent(agent) => format!("systemd-run --user fleet restart {}", agent.name),
        };
        Err(SupervisorError::Inside { instead })
    }
}
