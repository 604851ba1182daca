//! A living holder in the way: how long to put up with it, and how long to sleep.

use core::time::Duration;

use crate::machine::Context;
use crate::snapshot::Stat;
use crate::time::{Mono, Now};

/// However little is left of a patience, a loop without a sleep is none.
const SHORTEST_NAP: Duration = Duration::from_millis(1);

/// How long a mutex is waited for whose holder does not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Patience {
    /// So long for one holder: it starts anew when another holds the mutex, or this one writes.
    PerHolder(Duration),
    /// To the end of a wait that began then, no matter which process holds it.
    Until { began: Mono, limit: Duration },
}

/// Remembers the holder that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stall {
    patience: Patience,
    holder: Option<Holder>,
    naps: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    stat: Stat,
    since: Mono,
}

impl Stall {
    pub(crate) const fn new(patience: Patience) -> Self {
        Self { patience, holder: None, naps: 0 }
    }

    /// Whether the patience with this holder is at an end.
    pub(crate) fn is_over(&mut self, now: Now, stat: Stat) -> bool {
        if self.holder.is_none_or(|holder| holder.stat != stat) {
            self.holder = Some(Holder { stat, since: now.mono });
        }
        self.left(now).is_zero()
    }

    /// Whether the wait is at an end, whichever process holds the mutex.
    pub(crate) fn is_past_its_limit(&self, now: Now) -> bool {
        matches!(self.patience, Patience::Until { .. }) && self.left(now).is_zero()
    }

    /// Longer with every try up to the fallback poll, out of step with the others, and not
    /// past the end of our patience. The watch wakes us when the mutex falls free; this is
    /// for when it cannot.
    pub(crate) fn next_nap(&mut self, context: &Context, now: Now, left: Duration) -> Mono {
        let policy = &context.policy;
        let base = policy.mutex_retry.saturating_mul(1 << self.naps.min(8)).min(policy.poll);
        self.naps = self.naps.saturating_add(1);
        let jitter = base / 2 * context.salt(self.naps) / 256;
        let nap = (base + jitter).min(left).min(self.left(now));
        now.mono.after(nap.max(SHORTEST_NAP))
    }

    /// How long the one that is in the way has been waited for.
    pub(crate) fn waited(&self, now: Now) -> Duration {
        self.holder.map_or(Duration::ZERO, |one| now.mono.since(one.since))
    }

    fn left(&self, now: Now) -> Duration {
        match self.patience {
            Patience::PerHolder(patience) => patience.saturating_sub(self.waited(now)),
            Patience::Until { began, limit } => limit.saturating_sub(now.mono.since(began)),
        }
    }
}

#[cfg(test)]
#[path = "mutex_limit_tests.rs"]
mod tests;
