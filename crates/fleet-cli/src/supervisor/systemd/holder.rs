//! What is waited for of the holder, beside its unit: its tmux server.

use std::time::{Duration, Instant};

use super::manager::Unit;
use super::{LAST_RETRY, Units};
use crate::interrupt::Interrupt;
use crate::supervisor::{SupervisorError, tmux};

/// How soon to look again for a new tmux server, for which nobody need be asked.
const SERVER_RETRY: Duration = Duration::from_millis(2);

impl Units<'_> {
    /// Waits until the holder has another tmux server than `old`, or its unit no job any more.
    /// That is no proof of anything; but as long as the manager stops the agents, there is
    /// nothing else to see, and to be asked again and again would only keep it from that.
    pub(super) fn await_new_server(
        &self,
        old: u32,
        unit: &str,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<(), SupervisorError> {
        loop {
            let deadline = Instant::now() + LAST_RETRY;
            tmux::watch(old, deadline, interrupt)?;
            while Instant::now() < deadline {
                if self.tmux.server().is_some_and(|server| server != old) {
                    return Ok(());
                }
                tmux::pause(SERVER_RETRY, interrupt)?;
            }
            if !self.manager.look(unit)?.is_at_work() || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Waits until the holder is of use.
    pub(super) fn settle_holder(
        &self,
        unit: &Unit,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<u32, SupervisorError> {
        let until = until.min(Instant::now() + tmux::HOLDER_PATIENCE);
        tmux::await_answer(&self.tmux, &self.holder_session, until, interrupt)?;
        Ok(unit.main_pid.or_else(|| self.tmux.server()).unwrap_or_default())
    }
}
