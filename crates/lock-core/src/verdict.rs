//! The verdict on a lock, as a total function of what was seen and of what was counted.
//!
//! The first row that fits decides:
//!
//! | lock file | kernel lock | verdict |
//! |---|---|---|
//! | absent | | `Free` |
//! | no record | free, unknown | `Stale(Corrupt)` |
//! | ours | free, its cgroup not populated | `Stale(Rebooted)` or `Stale(OwnerDied)` |
//! | ours, preemptible | held, but its process has ended | `Stale(OwnerDied)` |
//! | ours, preemptible | held; no renewal for `stale_after`, by my looks | `Stale(Silent)` |
//! | ours, preemptible | held; no step for its quiet and `hang_after`, by my looks | `TimedOut(Owner)` |
//! | ours, timed | free, unknown: it holds no kernel lock itself | see below |
//! | ours | unknown | see below |
//! | a peer's | free, unknown; its stamp older than `stale_after`, or as far ahead | `Stale(Expired)` |
//! | else, my wait limit is over | any | `TimedOut(Waiter)` |
//! | else | any | `Wait` until the first instant at which a row above can fit |
//!
//! Where the kernel does not say whether an owner lives, its process does, on the same boot and
//! in the same pid namespace: `Stale(OwnerDied)` if it has ended; while it runs it is judged as one
//! that is held. Elsewhere no renewal for `stale_after`, by my looks, is `Stale(Expired)`. A timed
//! owner's file that is kernel-locked all the same is another program's.
//!
//! Of the owner's `stale_after` and `hang_after` and the contender's, the larger one counts. No
//! instant of the owner's clocks is compared with ours: a contender counts how long it has seen
//! one state of the record, look by look ([`Count`]), as DynamoDB's lock client and client-go's
//! leader election do. Only a peer's stamp is judged by the wall clock, as the original does.

use core::fmt;
use core::time::Duration;

use crate::policy::Policy;
use crate::record::{Arbitration, Detail, Host, Record};
use crate::snapshot::{KernelLock, Life, Seen, Snapshot};
use crate::time::{Mono, Now};

pub use crate::count::{Count, Counts, Observer};

/// What a contender may do about a lock now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It has no owner.
    Free,
    /// Its owner is gone, or silent and preemptible: take over.
    Stale(Stale),
    /// Its owner lives, and a limit is over.
    TimedOut(Limit),
    /// Nothing to be done before `until`, unless the file changes.
    Wait {
        /// The earliest instant at which the verdict can change by itself.
        until: Mono,
    },
}

/// Why a lock counts as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stale {
    /// Not a record: a crashed peer's half-written file, say.
    Corrupt,
    /// The owner is dead.
    OwnerDied,
    /// The owner ran before the last reboot.
    Rebooted,
    /// The owner lives, is preemptible, and has not renewed: stopped or hung.
    Silent,
    /// The stamp is too old, and the kernel cannot say more.
    Expired,
}

/// Whose limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The owner's: it is preemptible and took no step within its quiet and `hang_after`. Take
    /// over.
    Owner,
    /// The contender's own wait limit. It never takes over: it gives up, or ends the owner.
    Waiter,
}

/// Decides what a contender may do.
#[must_use]
pub fn judge(
    policy: &Policy,
    here: &Host,
    now: Now,
    snapshot: &Snapshot,
    counts: &Counts,
) -> Verdict {
    let Snapshot::Present(seen) = snapshot else {
        return Verdict::Free;
    };
    let left = match prospect(policy, here, now, seen, counts) {
        Prospect::Now(verdict) => return verdict,
        Prospect::In(left) => left,
    };
    let own = policy.wait_limit.map_or(Duration::MAX, |limit| limit.saturating_sub(counts.waited));
    if own.is_zero() {
        return Verdict::TimedOut(Limit::Waiter);
    }
    Verdict::Wait { until: now.mono.after(left.min(own)) }
}

/// How long to sleep at most beside this lock, whatever is watched: no wait rests on an event
/// alone, and what is counted is counted in looks.
#[must_use]
pub fn longest_sleep(policy: &Policy, snapshot: &Snapshot) -> Duration {
    let longest = LONGEST_SLEEP.min(policy.stale_after);
    let Snapshot::Present(seen) = snapshot else { return longest };
    let Some(detail) = seen.content.as_ref().ok().and_then(|record| record.detail.as_ref()) else {
        // Its owner need not make an event when it unlocks.
        return policy.poll;
    };
    let is_anothers = seen.kernel == KernelLock::Held && !claims_kernel_lock(detail);
    if detail.cgroup.is_some() || is_anothers {
        return policy.poll.min(longest);
    }
    let is_counted = detail.terms.preemptible || !is_arbitrated(seen, detail);
    if !is_counted {
        return longest;
    }
    let hang_after = policy.hang_after.max(detail.terms.hang_after);
    let counted = (detail.terms.renew / 2).min(hang_after / 4);
    // Looks that are rarer than renewals do no harm; a record that asks for more looks than that
    // must not keep us busy.
    let shortest = policy.poll.min(policy.stale_after / 8);
    counted.max(shortest).min(longest)
}

/// No sleep is longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

enum Prospect {
    Now(Verdict),
    /// Not before so much time has passed.
    In(Duration),
}

fn prospect(policy: &Policy, here: &Host, now: Now, seen: &Seen, counts: &Counts) -> Prospect {
    let stale = |stale| Prospect::Now(Verdict::Stale(stale));
    let record = match (&seen.content, seen.kernel) {
        (Ok(record), _) => record,
        (Err(_), KernelLock::Held) => return Prospect::In(Duration::MAX),
        (Err(_), KernelLock::Free | KernelLock::Unknown) => return stale(Stale::Corrupt),
    };
    let Some(detail) = &record.detail else {
        return match seen.kernel {
            KernelLock::Held => Prospect::In(Duration::MAX),
            KernelLock::Free | KernelLock::Unknown => by_stamp(policy, now, record),
        };
    };
    if !is_arbitrated(seen, detail) {
        return by_process(policy, seen, detail, counts);
    }
    match seen.kernel {
        _ if !claims_kernel_lock(detail) => Prospect::In(Duration::MAX),
        KernelLock::Free if seen.cgroup == Life::Running => Prospect::In(Duration::MAX),
        _ if seen.kernel == KernelLock::Free && rebooted(here, &detail.host) => {
            stale(Stale::Rebooted)
        }
        KernelLock::Free => stale(Stale::OwnerDied),
        _ if !detail.terms.preemptible => Prospect::In(Duration::MAX),
        _ if seen.process == Life::Ended => stale(Stale::OwnerDied),
        _ => preemptible(policy, detail, counts),
    }
}

/// A living owner that has agreed to be replaced.
fn preemptible(policy: &Policy, detail: &Detail, counts: &Counts) -> Prospect {
    let stale_after = policy.stale_after.max(detail.terms.stale_after);
    let silent = counts.silent.left(stale_after);
    if silent.is_zero() {
        return Prospect::Now(Verdict::Stale(Stale::Silent));
    }
    let hang_after = policy.hang_after.max(detail.terms.hang_after);
    let idle = counts.idle.left(detail.terms.quiet.saturating_add(hang_after));
    if idle.is_zero() {
        return Prospect::Now(Verdict::TimedOut(Limit::Owner));
    }
    Prospect::In(silent.min(idle))
}

/// Where the kernel does not say whether the owner lives.
fn by_process(policy: &Policy, seen: &Seen, detail: &Detail, counts: &Counts) -> Prospect {
    let is_preemptible = detail.terms.preemptible;
    match seen.process {
        Life::Ended => Prospect::Now(Verdict::Stale(Stale::OwnerDied)),
        Life::Running if !is_preemptible => Prospect::In(Duration::MAX),
        Life::Running => preemptible(policy, detail, counts),
        Life::Unknown => {
            let left = counts.silent.left(policy.stale_after.max(detail.terms.stale_after));
            match is_preemptible {
                _ if left.is_zero() => Prospect::Now(Verdict::Stale(Stale::Expired)),
                true => preemptible(policy, detail, counts),
                false => Prospect::In(left),
            }
        }
    }
}

/// As the original judges.
fn by_stamp(policy: &Policy, now: Now, record: &Record) -> Prospect {
    let age = now.wall.since(record.stamp);
    let ahead = record.stamp.since(now.wall);
    if age >= policy.stale_after || ahead > policy.stale_after {
        return Prospect::Now(Verdict::Stale(Stale::Expired));
    }
    Prospect::In(policy.stale_after - age + ahead)
}

/// Whether the kernel lock says if the owner lives. It also does where another program has locked
/// the file of an owner that has not.
fn is_arbitrated(seen: &Seen, detail: &Detail) -> bool {
    match seen.kernel {
        KernelLock::Held => true,
        KernelLock::Free => claims_kernel_lock(detail),
        KernelLock::Unknown => false,
    }
}

const fn claims_kernel_lock(detail: &Detail) -> bool {
    matches!(detail.arbitration, Arbitration::Kernel(_))
}

fn rebooted(here: &Host, there: &Host) -> bool {
    here.name == there.name && here.boot != there.boot
}

impl Stale {
    /// Whether the owner may still be running.
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

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
