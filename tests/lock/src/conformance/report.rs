//! What a trace was, once all of it has been explained.

use std::fmt;

use lock_core::machine::{Failure, Reason};
use lock_core::record::Record;
use lock_core::snapshot::Snapshot;
use lock_core::{Acquired, Evicted, Glimpse, Held, Settled};

use super::mismatch::Pair;

/// Every call on the lock, and what it was for.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The calls that effects were, in order.
    pub pairs: Vec<Pair>,
    /// The calls that need no effect, with their reasons.
    pub set_up: Vec<(String, &'static str)>,
    /// How each machine ended.
    pub ends: Vec<End>,
}

/// How a machine ended.
#[derive(Clone, Debug)]
pub enum End {
    /// An acquire.
    Acquired(Result<Acquired, Failure>),
    /// The wait for what an owner has left that was taken over from.
    Settled(Result<Settled, Failure>),
    /// A renewal, a step, a release.
    Held(Result<Held, Failure>),
    /// The way out of a step.
    Left(Result<(), Failure>),
    /// The keeper's glance at its ticket.
    Glanced(Glimpse),
    /// A look.
    Inspected(Result<Snapshot, Failure>),
    /// A look at who has it kernel-locked: how many processes.
    Holders(usize),
    /// A look at the mutex.
    Peeked(Option<Record>),
    /// A look at the queue: how many stand there.
    Waiters(usize),
    /// An eviction.
    Evicted(Result<Evicted, Failure>),
}

impl Report {
    /// How the machines ended, in words; glances that showed nothing are left out, for they come
    /// as often as the keeper wakes.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        let told = self.ends.iter().filter(|end| !matches!(end, End::Glanced(Glimpse::Named)));
        told.map(ToString::to_string).collect()
    }

    /// Whether there was such an effect, by its name.
    #[must_use]
    pub fn has(&self, effect: &str) -> bool {
        self.pairs.iter().any(|pair| pair.effect.to_string() == effect)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired(Ok(Acquired { takeover, .. })) => match takeover {
                None => f.write_str("acquired"),
                Some(takeover) => match takeover.reason {
                    Reason::Stale(stale) => write!(f, "took over: {stale:?}"),
                    Reason::TimedOut => f.write_str("took over: TimedOut"),
                },
            },
            Self::Held(Ok(Held::Renewed(_))) => f.write_str("renewed"),
            Self::Held(Ok(Held::Stepping { .. })) => f.write_str("stepping"),
            Self::Held(Ok(Held::Released)) => f.write_str("released"),
            Self::Held(Ok(Held::Lost { to: Some(_) })) => f.write_str("lost to another"),
            Self::Held(Ok(Held::Lost { to: None })) => f.write_str("lost to nobody"),
            Self::Left(Ok(())) => f.write_str("stepped"),
            Self::Glanced(Glimpse::Named) => f.write_str("named"),
            Self::Glanced(Glimpse::Replaced) => f.write_str("replaced"),
            Self::Settled(Ok(Settled::Quiet)) => f.write_str("settled"),
            Self::Settled(Ok(Settled::Running { .. })) => f.write_str("not settled"),
            Self::Inspected(Ok(Snapshot::Absent)) => f.write_str("free"),
            Self::Inspected(Ok(Snapshot::Present(seen))) => write!(f, "kernel {:?}", seen.kernel),
            Self::Holders(count) => write!(f, "{count} holders"),
            Self::Waiters(count) => write!(f, "{count} in the queue"),
            Self::Peeked(None) => f.write_str("nobody in the mutex"),
            Self::Peeked(Some(_)) => f.write_str("someone in the mutex"),
            Self::Evicted(Ok(Evicted::Done(_))) => f.write_str("evicted"),
            Self::Evicted(Ok(Evicted::WasFree)) => f.write_str("was free"),
            Self::Evicted(Ok(Evicted::Other(_))) => f.write_str("left to another"),
            Self::Evicted(Ok(Evicted::Living(_))) => f.write_str("left to its living owner"),
            Self::Evicted(Ok(Evicted::Unbreakable(_))) => f.write_str("left to a stranger"),
            Self::Acquired(Err(failure))
            | Self::Settled(Err(failure))
            | Self::Held(Err(failure))
            | Self::Left(Err(failure))
            | Self::Inspected(Err(failure))
            | Self::Evicted(Err(failure)) => write!(f, "failed: {failure}"),
        }
    }
}
