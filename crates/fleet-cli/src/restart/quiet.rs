//! How long an owner may go without another step: until the longest of its waits under way ends.
//!
//! Each wait has a limit, which is announced with the step that begins it; the same limit ends the
//! wait. With `--jobs` several waits are under way at once, and a step says how long the longest of
//! them has left: a contender counts from the last step that it saw, whichever worker took it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is announced beyond the longest wait: time to see how it ended and to take the next step.
/// A tool that is asked for that is ended after as long.
pub(crate) const MARGIN: Duration = Duration::from_secs(10);

/// No wait is longer, since no announced quiet counts for more than a day.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400 - MARGIN.as_secs());

/// The waits of one run of a plan that are under way.
#[derive(Debug, Default)]
pub(super) struct Waits {
    turn: Mutex<()>,
    state: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    begun: u64,
    deadlines: Vec<(u64, Instant)>,
}

/// A wait under way; it is over when this is dropped.
#[derive(Debug)]
#[must_use = "the wait counts as over as soon as this is dropped"]
pub(super) struct Underway<'w> {
    waits: &'w Waits,
    number: u64,
    /// When it has to end.
    pub(super) until: Instant,
}

impl Waits {
    /// The right to take a step. To be kept from reading [`Self::quiet`] until that step is taken
    /// and its own wait has begun: else a step that knew of fewer waits could come later, and what
    /// it announces is what counts.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a step is to announce that begins a wait of at most `limit`.
    pub(super) fn quiet(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        let register = self.register();
        let left = register.deadlines.iter().map(|(_, until)| until.saturating_duration_since(now));
        left.max().unwrap_or_default().max(limit) + MARGIN
    }

    /// A wait begins now that ends after `limit`.
    pub(super) fn begin(&self, limit: Duration) -> Underway<'_> {
        let until = Instant::now() + limit.min(LONGEST);
        let mut register = self.register();
        register.begun += 1;
        let number = register.begun;
        register.deadlines.push((number, until));
        Underway { waits: self, number, until }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.waits.register().deadlines.retain(|(number, _)| *number != self.number);
    }
}
