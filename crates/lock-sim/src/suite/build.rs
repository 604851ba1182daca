//! How a case is put together: what is not said does not happen.

use lock_core::machine::Medium;
use lock_core::policy::OnTimeout;

use super::{Case, Expected};
use crate::leftover::Leftover;
use crate::property::Property;
use crate::scope::{Budgets, Member, Rules, Scope};
use crate::world::{Abilities, Flock, Pid};

/// More states than any row that is explored to its end has.
const LIMIT: usize = 100_000_000;

impl Case {
    pub(super) fn new(
        subject: &'static str,
        expected: Expected,
        name: &str,
        crew: &[Member],
    ) -> Self {
        let scope = Scope {
            name: name.to_owned(),
            crew: crew.to_vec(),
            leftovers: vec![Leftover::clean()],
            settled: 0,
            budgets: Budgets::default(),
            abilities: Abilities::ALL,
            rules: Rules::default(),
            merged: true,
            symmetric: true,
            torn: false,
            restless: false,
            skewed: false,
            offset: false,
            threads: 0,
            hasty: None,
            properties: Property::ALL.to_vec(),
        };
        Self { subject, expected, deep: false, limit: LIMIT, bounded: false, scope }
    }

    /// Only in the deep run.
    pub(super) fn deep(self) -> Self {
        Self { deep: true, ..self }
    }

    /// As far as this and no farther.
    pub(super) fn bounded(self, limit: usize) -> Self {
        Self { limit, bounded: true, ..self }
    }

    pub(super) fn left(mut self, leftovers: Vec<Leftover>) -> Self {
        self.scope.leftovers = leftovers;
        self
    }

    /// So many own the lock and wait for it already.
    pub(super) fn settled(mut self, many: Pid) -> Self {
        self.scope.settled = many;
        self
    }

    pub(super) fn crashes(mut self, times: u8) -> Self {
        self.scope.budgets.crashes = times;
        self
    }

    /// Killed so often, and the children live on with the ticket.
    pub(super) fn orphans(mut self, times: u8) -> Self {
        self.scope.budgets.orphans = times;
        self
    }

    pub(super) fn suspends(mut self, times: u8) -> Self {
        self.scope.budgets.suspends = times;
        self
    }

    /// Naps end by themselves.
    pub(super) fn restless(mut self) -> Self {
        self.scope.restless = true;
        self
    }

    /// Everyone in a time namespace of their own.
    pub(super) fn offset(mut self) -> Self {
        self.scope.offset = true;
        self
    }

    pub(super) fn pauses(mut self, times: u8) -> Self {
        self.scope.budgets.ticks = times;
        self
    }

    pub(super) fn cancels(mut self, times: u8) -> Self {
        self.scope.budgets.cancels = times;
        self
    }

    pub(super) fn returns(mut self, times: u8) -> Self {
        self.scope.budgets.returns = times;
        self
    }

    /// Any call may be refused, so none is merged with another.
    pub(super) fn refusals(mut self, times: u8) -> Self {
        self.scope.budgets.faults = times;
        self.call_by_call()
    }

    /// Everyone has another wall clock, and one of them is set so often.
    pub(super) fn wall_clocks(mut self, times: u8) -> Self {
        self.scope.skewed = true;
        self.scope.budgets.wall_steps = times;
        self
    }

    pub(super) fn hands(mut self, times: u8) -> Self {
        self.scope.budgets.hands = times;
        self
    }

    pub(super) fn robberies(mut self, times: u8) -> Self {
        self.scope.budgets.robberies = times;
        self
    }

    pub(super) fn torn(mut self) -> Self {
        self.scope.torn = true;
        self
    }

    pub(super) fn call_by_call(mut self) -> Self {
        self.scope.merged = false;
        self
    }

    pub(super) fn threads(mut self, threads: Pid) -> Self {
        self.scope.threads = threads;
        self
    }

    /// This one's `stale_after` is a single tick. So it is not as the others are.
    pub(super) fn hasty(mut self, pid: Pid) -> Self {
        self.scope.hasty = Some(pid);
        self.scope.symmetric = false;
        self
    }

    /// How long an owner that has consented may be silent, and take no step past its quiet; in
    /// ticks.
    pub(super) fn terms(mut self, stale_after: u8, hang_after: u8) -> Self {
        self.scope.rules = Rules { stale_after, hang_after, ..self.scope.rules };
        self
    }

    /// How long a step announces that its owner will be quiet, in ticks.
    pub(super) fn quiet(mut self, quiet: u8) -> Self {
        self.scope.rules.quiet = quiet;
        self
    }

    /// How long a contender waits, in ticks.
    pub(super) fn limit(mut self, limit: u8) -> Self {
        self.scope.rules.wait_limit = Some(limit);
        self
    }

    /// What a contender does when it has waited so long, in ticks.
    pub(super) fn ends_owners_after(mut self, limit: u8) -> Self {
        self.scope.rules.on_timeout = OnTimeout::Stop;
        self.limit(limit)
    }

    /// On such a file system.
    pub(super) fn on(mut self, abilities: Abilities) -> Self {
        self.scope.abilities = abilities;
        self.call_by_call()
    }

    /// What is missing there is known from the start.
    pub(super) fn known(mut self, medium: Medium) -> Self {
        self.scope.rules.medium = medium;
        self
    }

    /// Where whoever asks for a kernel lock is told that it has it.
    pub(super) fn lying(mut self) -> Self {
        self.scope.abilities.locks = Flock::Lies;
        self
    }

    pub(super) fn only(mut self, properties: &[Property]) -> Self {
        self.scope.properties = properties.to_vec();
        self
    }
}
