//! Time, counted in looks: how long a contender has seen one state of a lock.

use core::time::Duration;

use crate::policy::{OnTimeout, Policy};
use crate::record::Token;
use crate::snapshot::{FileId, Snapshot};
use crate::time::{Mono, Now};

/// How long one state of a record has been seen, look by look.
///
/// Between two looks at most twice the sleep that was planned between them counts, whatever the
/// clock says: so a suspended machine, a frozen or stopped contender and a clock that was set take
/// the lock from no owner. A count is full only after [`Count::LOOKS`] looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Count {
    pub(crate) passed: Duration,
    pub(crate) looks: u8,
}

/// What a contender has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// How long it has waited against its wait limit.
    pub waited: Duration,
    /// How long the owner has not renewed.
    pub silent: Count,
    /// How long the owner has taken no step.
    pub idle: Count,
}

/// Keeps the [`Counts`] of one contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observer {
    began: Mono,
    subject: Option<Subject>,
    /// Since when this ownership is waited for.
    since: Mono,
    /// What counts of the time since the last look, up to `last`.
    passed: Duration,
    pub(crate) last: Mono,
    /// The sleep that was planned then.
    planned: Duration,
    silent: Count,
    idle: Count,
}

/// One state of one ownership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    file: FileId,
    token: Option<Token>,
    stamp: u64,
    renewed: u64,
    progress: u64,
}

impl Count {
    /// How many looks a count takes at least.
    pub const LOOKS: u8 = 4;

    /// A count that is full, whatever the limit: for showing what a contender that waits on will
    /// come to.
    pub const FULL: Self = Self { passed: Duration::MAX, looks: Self::LOOKS };

    /// How much of `limit` is left; zero only once the count is full.
    #[must_use]
    pub fn left(&self, limit: Duration) -> Duration {
        let left = limit.saturating_sub(self.passed);
        if left.is_zero() && self.looks < Self::LOOKS {
            return Duration::from_millis(1);
        }
        left
    }

    /// How much has passed.
    #[must_use]
    pub const fn passed(&self) -> Duration {
        self.passed
    }

    /// The first look at a state.
    pub(crate) const fn first() -> Self {
        Self { passed: Duration::ZERO, looks: 1 }
    }

    fn look(&mut self, passed: Duration) {
        self.passed = self.passed.saturating_add(passed);
        self.looks = self.looks.saturating_add(1).min(Self::LOOKS);
    }
}

impl Observer {
    /// A contender that begins now.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        let (began, since, last) = (now.mono, now.mono, now.mono);
        let (passed, planned) = (Duration::ZERO, Duration::ZERO);
        let (silent, idle) = (Count::first(), Count::first());
        Self { began, subject: None, since, passed, last, planned, silent, idle }
    }

    /// Since when this contender has waited for the ownership that it last saw.
    #[must_use]
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// From when its wait limit counts: from its start, or with [`OnTimeout::Stop`] from its first
    /// look at this ownership, so that waiters who time out together do not end one owner after
    /// the other.
    #[must_use]
    pub const fn limit_from(&self, on_timeout: OnTimeout) -> Mono {
        match on_timeout {
            OnTimeout::Fail => self.began,
            OnTimeout::Stop => self.since,
        }
    }

    /// A sleep of this length is about to begin.
    pub fn plan(&mut self, now: Now, sleep: Duration) {
        self.pass(now);
        self.planned = sleep;
    }

    /// Counts the time since the last sleep was planned: of each sleep at most twice its plan, or
    /// many that were cut short would let a later one count for all of them.
    fn pass(&mut self, now: Now) {
        let passed = now.mono.since(self.last).min(self.planned.saturating_mul(2));
        self.passed = self.passed.saturating_add(passed);
        (self.last, self.planned) = (now.mono, Duration::ZERO);
    }

    /// Counts a look at the lock.
    pub fn look(&mut self, policy: &Policy, snapshot: &Snapshot, now: Now) -> Counts {
        self.pass(now);
        let passed = core::mem::take(&mut self.passed);
        let subject = Subject::of(snapshot);
        let before = self.subject.as_ref();
        let is_same = |same: fn(&Subject, &Subject) -> bool| match (before, &subject) {
            (Some(before), Some(now)) => before.owns(now) && same(before, now),
            _ => false,
        };
        let (is_owned, is_silent, is_idle) = (
            is_same(|_, _| true),
            is_same(|before, now| before == now),
            is_same(|before, now| before.progress == now.progress),
        );
        if !is_owned {
            self.since = now.mono;
        }
        for (count, is_same) in [(&mut self.silent, is_silent), (&mut self.idle, is_idle)] {
            if is_same {
                count.look(passed);
            } else {
                *count = Count::first();
            }
        }
        self.subject = subject;
        Counts {
            waited: now.mono.since(self.limit_from(policy.on_timeout)),
            silent: self.silent,
            idle: self.idle,
        }
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
            stamp: record.map_or(0, |record| record.stamp.0),
            renewed: detail.map_or(0, |detail| detail.renewed.0),
            progress: detail.map_or(0, |detail| detail.progress.count),
        })
    }

    fn owns(&self, other: &Self) -> bool {
        self.file == other.file && self.token == other.token
    }
}
