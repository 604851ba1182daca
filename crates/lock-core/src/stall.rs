//! A living holder in the way: how long to put up with it, and how long to sleep.

use core::time::Duration;

use crate::machine::Context;
use crate::snapshot::Stat;
use crate::time::{Boot, Now};

/// Remembers the holder that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stall {
    patience: Duration,
    holder: Option<Holder>,
    naps: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    stat: Stat,
    since: Boot,
}

impl Stall {
    pub(crate) const fn new(patience: Duration) -> Self {
        Self { patience, holder: None, naps: 0 }
    }

    /// Patience with one holder: it starts anew when another holds the mutex, or this one
    /// writes.
    pub(crate) fn is_over(&mut self, now: Now, stat: Stat) -> bool {
        match self.holder {
            Some(holder) if holder.stat == stat => now.boot.since(holder.since) >= self.patience,
            _ => {
                self.holder = Some(Holder { stat, since: now.boot });
                false
            }
        }
    }

    /// Longer with every try up to the fallback poll, out of step with the others, and not
    /// past the end of our patience. The watch wakes us when the mutex falls free; this is
    /// for when it cannot.
    pub(crate) fn next_nap(&mut self, context: &Context, now: Now, left: Duration) -> Boot {
        let policy = &context.policy;
        let base = policy.mutex_retry.saturating_mul(1 << self.naps.min(8)).min(policy.poll);
        self.naps = self.naps.saturating_add(1);
        let salt = context.token.as_str().bytes().fold(u32::from(self.naps), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let jitter = base / 2 * (salt % 256) / 256;
        let waited = self.holder.map_or(Duration::ZERO, |holder| now.boot.since(holder.since));
        let patience = self.patience.saturating_sub(waited);
        now.boot.after((base + jitter).min(left).min(patience))
    }
}
