//! The clocks, and what a sleep waits for.

use lock_core::effect::Effect;
use lock_core::record::Record;
use lock_core::time::{Boot, Now};

use super::World;
use super::files::Pid;
use super::kernel::Call;
use super::process::Process;
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

impl World {
    /// What the clocks say to a process.
    #[must_use]
    pub fn now(&self, process: &Process) -> Now {
        clocks(self.clock, process.wall, process.offset)
    }

    /// How long a process still sleeps that sleeps until then, by the clock that its sleeps
    /// count on.
    pub(super) fn left(&self, process: &Process, until: Boot) -> u64 {
        until.0.saturating_sub(self.now(process).boot.0)
    }

    /// The same of a process whose next call is a sleep.
    pub(super) fn sleep_left(&self, universe: &Universe, pid: Pid) -> Option<u64> {
        let Call::Core(Effect::Sleep { until }) = self.call(universe, pid)? else {
            return None;
        };
        self.process(pid).map(|process| self.left(process, until))
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
