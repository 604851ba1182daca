//! The verdict on a lock, as a total function of what was seen and of the clock.
//!
//! The first row that fits decides:
//!
//! | lock file | kernel lock | verdict |
//! |---|---|---|
//! | absent | | `Free` |
//! | no record | free, unknown | `Stale(Corrupt)` |
//! | no record | held | as below: `TimedOut` or `Wait` |
//! | ours, same host, other boot | free, unknown | `Stale(Rebooted)` |
//! | ours | free | `Stale(OwnerDied)` |
//! | ours, `renewed` at least `stale_after` ago | held | `Stale(Silent)` |
//! | ours, `renewed` at least `stale_after` ago | unknown | `Stale(Expired)` |
//! | a peer's, stamp at least `stale_after` ago, or more than that ahead | any | `Stale(Expired)` |
//! | else, waited `max_wait` for this owner without progress | any | `TimedOut` |
//! | else | any | `Wait` until the first instant at which a row above can fit |
//!
//! Ages of our own records count on the boot clock while the boot is the same, so a step of
//! the wall clock changes nothing. A peer's stamp, and one from another host, has only the
//! wall clock; there a stamp from the future counts as fresh up to `stale_after` ahead.

use core::fmt;
use core::time::Duration;

use crate::policy::{OnTimeout, Policy};
use crate::record::{Detail, Host, Record, Token};
use crate::snapshot::{FileId, KernelLock, Seen, Snapshot};
use crate::time::{Boot, Now};

/// What a contender may do about a lock now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nobody has it.
    Free,
    /// Its owner is gone or silent.
    Stale(Stale),
    /// Its owner lives, but this contender's patience with it is at an end.
    TimedOut,
    /// Nothing to be done before `until`, unless the file changes.
    Wait {
        /// The earliest instant at which the verdict can change by itself.
        until: Boot,
    },
}

/// Why a lock counts as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stale {
    /// Not a record: a crashed peer's half-written file, say.
    Corrupt,
    /// The kernel says that the owner is dead.
    OwnerDied,
    /// The owner ran before the last reboot.
    Rebooted,
    /// The owner lives but has not renewed: stopped or hung.
    Silent,
    /// The stamp is too old, and the kernel cannot say more.
    Expired,
}

/// Which owner a contender waits for, and since when.
///
/// Patience is counted for one owner and starts anew when another owns the lock or this one
/// gets on, so that contenders who time out together do not break each other in turn, and a
/// slow owner is left alone. With [`OnTimeout::Fail`] the user's own patience counts
/// instead: from the start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Patience {
    subject: Option<Subject>,
    since: Boot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    file: FileId,
    token: Option<Token>,
    progress: u64,
}

/// Decides what a contender may do.
#[must_use]
pub fn judge(
    policy: &Policy,
    here: &Host,
    now: Now,
    snapshot: &Snapshot,
    waiting_since: Boot,
) -> Verdict {
    let Snapshot::Present(seen) = snapshot else {
        return Verdict::Free;
    };
    let left = match freshness(policy, here, now, seen) {
        Freshness::Over(stale) => return Verdict::Stale(stale),
        Freshness::For(left) => left,
    };
    let waited = now.boot.since(waiting_since);
    if waited >= policy.max_wait {
        return Verdict::TimedOut;
    }
    Verdict::Wait { until: now.boot.after(left.min(policy.max_wait - waited)) }
}

enum Freshness {
    Over(Stale),
    For(Duration),
}

fn freshness(policy: &Policy, here: &Host, now: Now, seen: &Seen) -> Freshness {
    let record = match (&seen.content, seen.kernel) {
        (Ok(record), _) => record,
        (Err(_), KernelLock::Held) => return Freshness::For(Duration::MAX),
        (Err(_), KernelLock::Free | KernelLock::Unknown) => {
            return Freshness::Over(Stale::Corrupt);
        }
    };
    let Some(detail) = &record.detail else {
        return by_age(policy, now.wall.0, record.stamp.0, Stale::Expired);
    };
    match seen.kernel {
        KernelLock::Held => ours_by_age(policy, here, now, record, detail, Stale::Silent),
        _ if rebooted(here, &detail.host) => Freshness::Over(Stale::Rebooted),
        KernelLock::Free => Freshness::Over(Stale::OwnerDied),
        KernelLock::Unknown => ours_by_age(policy, here, now, record, detail, Stale::Expired),
    }
}

fn ours_by_age(
    policy: &Policy,
    here: &Host,
    now: Now,
    record: &Record,
    detail: &Detail,
    stale: Stale,
) -> Freshness {
    if detail.host.boot == here.boot {
        by_age(policy, now.boot.0, detail.renewed.0, stale)
    } else {
        by_age(policy, now.wall.0, record.stamp.0, stale)
    }
}

/// Both instants in milliseconds of one clock.
fn by_age(policy: &Policy, now: u64, stamp: u64, stale: Stale) -> Freshness {
    let age = Duration::from_millis(now.saturating_sub(stamp));
    let ahead = Duration::from_millis(stamp.saturating_sub(now));
    if age >= policy.stale_after || ahead > policy.stale_after {
        return Freshness::Over(stale);
    }
    Freshness::For(policy.stale_after - age + ahead)
}

fn rebooted(here: &Host, there: &Host) -> bool {
    here.name == there.name && here.boot != there.boot
}

impl Stale {
    /// Whether the owner may still be running, so that taking over follows
    /// [`OnTimeout`].
    #[must_use]
    pub const fn owner_lives(self) -> bool {
        matches!(self, Self::Silent)
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "its file is not a lock record",
            Self::OwnerDied => "its owner died",
            Self::Rebooted => "its owner ran before the last reboot",
            Self::Silent => "its owner has stopped renewing it",
            Self::Expired => "its stamp is too old",
        })
    }
}

impl Patience {
    /// Patience that begins now.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        Self { subject: None, since: now.boot }
    }

    /// Since when this contender has waited for whomever it last saw.
    pub(crate) const fn began(&self) -> Boot {
        self.since
    }

    /// Since when this contender has waited for the owner in `snapshot`.
    pub fn since(&mut self, policy: &Policy, snapshot: &Snapshot, now: Now) -> Boot {
        if policy.on_timeout == OnTimeout::Fail {
            return self.since;
        }
        let subject = Subject::of(snapshot);
        if subject != self.subject {
            *self = Self { subject, since: now.boot };
        }
        self.since
    }
}

impl Subject {
    fn of(snapshot: &Snapshot) -> Option<Self> {
        let Snapshot::Present(seen) = snapshot else {
            return None;
        };
        let record = seen.content.as_ref().ok();
        let detail = record.and_then(|record| record.detail.as_ref());
        Some(Self {
            file: seen.id,
            token: record.map(|record| record.token.clone()),
            progress: detail.map_or(0, |detail| detail.progress.count),
        })
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
