//! Whether something has brought about what a contender reports.

use lock_core::machine::Failure;
use lock_core::policy::OnTimeout;

use super::World;
use super::actor::Fate;
use super::kernel::Flock;
use super::process::Process;
use crate::property::Property;
use crate::scope::Universe;

impl World {
    /// An end that a contender reports as a failure or a loss must have a cause.
    pub(super) fn ended(
        &mut self,
        universe: &Universe,
        process: &Process,
        fate: Fate,
        failure: Option<&Failure>,
    ) {
        let lost = fate == Fate::Lost && process.is_unbroken_owner();
        let failed = failure.is_some_and(|failure| !self.has_cause(universe, failure));
        if (lost && !self.was_refused(universe)) || failed {
            self.cry(universe, Property::NoFalseAlarm);
        }
    }

    fn has_cause(&self, universe: &Universe, failure: &Failure) -> bool {
        let rules = universe.scope.rules;
        match failure {
            Failure::System { .. }
            | Failure::DirectoryGone
            | Failure::GenerationDamaged
            | Failure::Refused { .. } => {
                self.was_refused(universe) || self.was_meddled_with(universe)
            }
            Failure::Cancelled => universe.scope.budgets.cancels > self.budgets.cancels,
            Failure::MutexHeld { .. } => {
                let limit = rules.wait_limit.unwrap_or(u8::MAX);
                self.clock.ticks >= limit.min(rules.mutex_patience())
            }
            Failure::TimedOut { .. } => {
                rules.wait_limit.is_some_and(|limit| self.clock.ticks >= limit)
            }
            Failure::Survived { .. } => {
                let limit = rules.wait_limit.filter(|_| rules.on_timeout == OnTimeout::Stop);
                let is_late = limit.is_some_and(|limit| self.clock.ticks >= limit);
                is_late || self.everyone().any(|(_, process)| process.children)
            }
            Failure::NoKernelLock => universe.scope.abilities.locks == Flock::Missing,
            // No contender here asks not to wait.
            Failure::Busy { .. } => false,
        }
    }

    /// Whether a call has been refused: a contender that could not remove a file has to leave it.
    pub(super) const fn was_refused(&self, universe: &Universe) -> bool {
        universe.scope.budgets.faults > self.budgets.faults
    }

    /// Whether somebody has made or removed a file by hand.
    pub(super) const fn was_meddled_with(&self, universe: &Universe) -> bool {
        universe.scope.budgets.hands > self.budgets.hands
    }
}
