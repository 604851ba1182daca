//! Control subjects: other locks, written from their rules, that must be found wanting.
//!
//! A checker that cannot fail proves nothing. Each subject here is known to break, and the
//! suite is red if the explorer does not find how. The rules are public; the code is ours.

mod fleet;
mod foreign;
mod november;
mod plain;

use lock_core::effect::{Effect, Event, Share};
use lock_core::machine::{Context, Reason};
use lock_core::time::{Mono, Now};
use lock_core::verdict::Stale;

pub use fleet::Fleet;
pub use foreign::{Foreign, Newer};
pub use november::{Limit, November};
pub use plain::{Break, Gate, Judge, Plain};

use crate::world::Call;
use crate::world::Fate;

/// A control subject, or a peer that follows the original's rules beside ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The original: a mutex, and a reclaim lock for it, both judged by mtime.
    Fleet(Fleet),
    /// One lock file without a mutex.
    Plain(Plain),
    /// One inode for every role.
    November(November),
    /// `flock(1)`.
    Foreign(Foreign),
    /// A newer fleet.
    Newer(Newer),
}

/// Which control subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The original.
    Fleet,
    /// One of the locks without a mutex.
    Plain(Judge, Break, Gate),
    /// The rules of 27 November.
    November(Limit),
    /// `flock(1)` on the lock's path, for itself or together with others.
    Foreign(Share),
    /// A fleet whose format we do not know.
    Newer,
}

/// What a subject knows beside what it sees.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Its settings and its name.
    pub me: &'a Context,
    /// The clocks.
    pub now: Now,
    /// Which process ids are running.
    pub living: &'a [u32],
    /// How long it waits before it acts on a living owner, in milliseconds.
    pub limit: u64,
}

/// What the ledger must be told of a subject's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It means to take the lock from whoever it judged.
    Breaks(Reason),
    /// It holds itself for the owner.
    Owns,
    /// It has the kernel's lock on the file that it has opened, wherever that stands now.
    Holds,
    /// It is through.
    Ends(Fate),
}

/// Where a subject's step leads.
pub type Turn<T> = (T, Option<Said>);

impl Peer {
    /// One that begins now.
    #[must_use]
    pub fn new(kind: Kind, now: Now) -> Self {
        match kind {
            Kind::Fleet => Self::Fleet(Fleet::new(now)),
            Kind::Plain(judge, breaks, gate) => Self::Plain(Plain::new(judge, breaks, gate, now)),
            Kind::November(limit) => Self::November(November::new(limit, now)),
            Kind::Foreign(share) => Self::Foreign(Foreign::new(share)),
            Kind::Newer => Self::Newer(Newer::new()),
        }
    }

    /// The call it wants made; nothing while it holds the lock.
    #[must_use]
    pub fn call(&self, around: &Around<'_>) -> Option<Call> {
        match self {
            Self::Fleet(fleet) => fleet.call(around),
            Self::Plain(plain) => plain.call(around),
            Self::November(november) => november.call(around),
            Self::Foreign(foreign) => foreign.call(),
            Self::Newer(newer) => newer.call(around),
        }
    }

    /// Takes what came of the call.
    #[must_use]
    pub fn step(self, around: &Around<'_>, event: &Event) -> Turn<Self> {
        match self {
            Self::Fleet(fleet) => wrap(fleet.step(around, event), Self::Fleet),
            Self::Plain(plain) => wrap(plain.step(around, event), Self::Plain),
            Self::November(november) => wrap(november.step(around, event), Self::November),
            Self::Foreign(foreign) => wrap(foreign.step(event), Self::Foreign),
            Self::Newer(newer) => wrap(newer.step(event), Self::Newer),
        }
    }

    /// The owner lets go.
    #[must_use]
    pub fn release(self) -> Self {
        match self {
            Self::Fleet(fleet) => Self::Fleet(fleet.release()),
            Self::Plain(plain) => Self::Plain(plain.release()),
            Self::November(november) => Self::November(november.release()),
            Self::Foreign(foreign) => Self::Foreign(foreign.release()),
            Self::Newer(newer) => Self::Newer(newer.release()),
        }
    }

    /// Whether it is giving up what it owned.
    #[must_use]
    pub const fn releases(&self) -> bool {
        match self {
            Self::Fleet(fleet) => fleet.releases(),
            Self::Plain(plain) => plain.releases(),
            Self::November(november) => november.releases(),
            Self::Foreign(_) => false,
            Self::Newer(newer) => newer.releases(),
        }
    }

    /// Whether it is removing the mutex that it believes is its own.
    #[must_use]
    pub const fn leaves_mutex(&self) -> bool {
        match self {
            Self::Fleet(fleet) => fleet.leaves_mutex(),
            Self::November(november) => november.leaves_mutex(),
            Self::Plain(_) | Self::Foreign(_) | Self::Newer(_) => false,
        }
    }
}

fn wrap<T>((next, said): Turn<T>, into: fn(T) -> Peer) -> Turn<Peer> {
    (into(next), said)
}

/// The three lines.
fn lines(around: &Around<'_>) -> String {
    let Around { me, now, .. } = around;
    format!("{}\n{}\n{}\n", me.pid, now.wall, me.token)
}

/// What the third line says, or that there is none.
fn token(bytes: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(bytes).lines().nth(2)?.to_owned();
    (!line.is_empty()).then_some(line)
}

/// Whether these lines are mine.
fn is_mine(around: &Around<'_>, bytes: &[u8]) -> bool {
    token(bytes).is_some_and(|token| token == around.me.token.as_str())
}

/// Old by the wall clock; a time from the future is young.
fn is_old(around: &Around<'_>, stamp: u64) -> bool {
    let age = around.now.wall.0.saturating_sub(stamp);
    u128::from(age) >= around.me.policy.stale_after.as_millis()
}

/// By the second line; what has none is old.
fn is_old_text(around: &Around<'_>, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let stamp = text.lines().nth(1).and_then(|line| line.parse().ok());
    stamp.is_none_or(|stamp| is_old(around, stamp))
}

/// Whether the contender's whole patience is gone; `began` is when it came.
fn is_late(around: &Around<'_>, began: u64) -> bool {
    let waited = around.now.wall.0.saturating_sub(began);
    waited >= around.limit
}

fn nap(around: &Around<'_>) -> Call {
    let until = Mono(around.now.mono.0 + 20);
    Call::Core(Effect::Sleep { until })
}

const STALE: Reason = Reason::Stale(Stale::Expired);
