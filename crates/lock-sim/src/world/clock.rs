//! The clocks, and what a sleep waits for.

use lock_core::effect::{Effect, Slot};
use lock_core::record::Record;
use lock_core::time::{Mono, Now};

use super::files::Pid;
use super::kernel::Call;
use super::process::{Life, Process};
use super::{Action, World};
use crate::scope::{TICK, Universe, clocks};

/// Where the clocks stand that no process has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Clock {
    /// Ticks since the start in which the machine was awake: the monotonic clock.
    pub ticks: u8,
    /// Ticks that it spent suspended: the boot clock and the wall clocks count them as well.
    pub suspended: u8,
    /// How often the file system's wall clock was set forward, less how often back.
    pub wall: i8,
}

/// How many ticks a suspend lasts: longer than anything that a contender waits for.
const SUSPENDED: u8 = 10;

/// Naps that do not come to an end sooner do not lead to a long sleep.
const MOST_NAPS: u8 = 16;

impl World {
    /// What the clocks say to a process.
    #[must_use]
    pub fn now(&self, process: &Process) -> Now {
        clocks(self.clock, process.wall, process.offset)
    }

    /// How long a process still sleeps that sleeps until then, by the clock that its sleeps
    /// count on.
    pub(super) fn left(&self, process: &Process, until: Mono) -> u64 {
        until.0.saturating_sub(self.now(process).mono.0)
    }

    /// The same of a process whose next call is a sleep.
    pub(super) fn sleep_left(&self, universe: &Universe, pid: Pid) -> Option<u64> {
        let Call::Core(Effect::Sleep { until }) = self.call(universe, pid)? else {
            return None;
        };
        // To pause within a look is not to wait.
        let process = self.process(pid).filter(|process| !process.pauses())?;
        Some(self.left(process, until))
    }

    /// Whether the naps that it takes lead to a long sleep if nothing happens, and whether that
    /// matters: what is counted in looks is counted in long sleeps. All the naps together take
    /// longer than the kernel needs to drop a lock.
    pub(super) fn dozes(&self, universe: &Universe, pid: Pid) -> bool {
        universe.scope.budgets.ticks > 0
            && self.everyone().all(|(_, process)| process.life != Life::Dying)
            && self.process(pid).is_some_and(|process| process.watches(Slot::Judged))
            && self.naps(universe, pid)
    }

    /// Lets its naps end until it sleeps for long, or does not sleep any more.
    pub(super) fn doze(mut self, universe: &Universe, pid: Pid) -> Option<Self> {
        for _ in 0..MOST_NAPS {
            self = self.once(universe, Action::Wake(pid))?;
            while self.call(universe, pid).is_some() && !self.is_asleep(universe, pid) {
                self = self.once(universe, Action::Step(pid))?;
            }
            if !self.naps(universe, pid) {
                return Some(self);
            }
        }
        None
    }

    /// The machine is suspended, and resumes. No process could have made a call meanwhile.
    pub(super) fn suspend(&mut self) -> Option<()> {
        self.budgets.suspends = self.budgets.suspends.checked_sub(1)?;
        self.clock.suspended = self.clock.suspended.saturating_add(SUSPENDED);
        Some(())
    }

    /// An owner's ticket was written: that renews, as of when it looked at the clock for it.
    pub(super) fn wrote(&self, process: &mut Process, text: &str) {
        let detail = Record::parse(text.as_bytes()).ok().and_then(|record| record.detail);
        let now = self.now(process).boot.0;
        let age = detail.map_or(0, |detail| now.saturating_sub(detail.renewed.0) / TICK);
        let age = u8::try_from(age).unwrap_or(u8::MAX);
        process.truth.wrote = self.clock.ticks.saturating_sub(age);
        if let Some(reign) = &mut process.truth.reign {
            reign.renewed = process.truth.wrote;
        }
    }
}
