//! What a process runs: our machines, one after another, or a control subject.

use lock_core::effect::{Effect, Event};
use lock_core::machine::{Context, Failure, Flow, Machine, Ownership, Reason};
use lock_core::time::Now;
use lock_core::{Acquire, Acquired, Chores, Evict, Held, Hold};

use crate::zoo::Peer;

/// What a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The machines that ship.
    Ours(Ours),
    /// A control subject.
    Peer(Peer),
    /// Nothing any more.
    Gone(Fate),
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It owned the lock and gave it up.
    Released,
    /// It owned the lock, and another took it.
    Lost,
    /// It did not become owner, or could not act as one, for a reason that it named.
    GaveUp,
    /// It owned the lock and could not go on as its owner or give it up, and said so.
    Unreleased,
    /// It was to take the lock away, and did.
    Evicted,
    /// It was killed.
    Killed,
}

/// What a process is in the world for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// To own the lock: renew so often, take so many steps, release.
    Own {
        /// How often it may renew.
        renewals: u8,
        /// How many fenced steps it may take.
        steps: u8,
        /// Whether it has consented to be replaced while it lives.
        preemptible: bool,
    },
    /// To own the lock and release it, without having looked whether anybody waits: a control
    /// subject.
    Barge,
    /// To take the lock away from whoever has it.
    Evict,
}

/// One of our contenders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ours {
    stage: Stage,
    renewals: u8,
    steps: u8,
    /// It takes the answer to its first call for `Absent`.
    barges: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Acquire(Acquire),
    Holding(Ownership),
    Hold(Hold, Deed),
    Stepping(Ownership, Chores),
    Leaving(Ownership, Chores),
    Evict(Evict),
}

/// What an owner may do of its own will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Refresh the stamp.
    Renew,
    /// Take a fenced step.
    Step,
    /// Give the lock up.
    Release,
}

/// What the ledger must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The machine says that it owns the lock, and why it took it if it was not free.
    Acquired(Option<Reason>),
    /// A fenced step begins.
    Steps(u64),
    /// It ended.
    Ended(Fate, Option<Failure>),
}

type Next = (Option<Ours>, Option<Note>);

impl Ours {
    /// A contender that begins now.
    #[must_use]
    pub fn new(context: &Context, now: Now, plan: Plan) -> Self {
        let (renewals, steps) = match plan {
            Plan::Own { renewals, steps, .. } => (renewals, steps),
            Plan::Barge | Plan::Evict => (0, 0),
        };
        let stage = match plan {
            Plan::Own { .. } | Plan::Barge => Stage::Acquire(Acquire::new(context, now)),
            Plan::Evict => Stage::Evict(Evict::new(context, None)),
        };
        Self { stage, renewals, steps, barges: plan == Plan::Barge }
    }

    /// The call it wants made; nothing while it is its own to choose what to do.
    #[must_use]
    pub fn effect(&self, context: &Context) -> Option<Effect> {
        match &self.stage {
            Stage::Acquire(machine) => Some(machine.effect(context)),
            Stage::Hold(machine, _) => Some(machine.effect(context)),
            Stage::Leaving(_, machine) => Some(machine.effect(context)),
            Stage::Evict(machine) => Some(machine.effect(context)),
            Stage::Holding(_) | Stage::Stepping(..) => None,
        }
    }

    /// What it may choose to do now.
    #[must_use]
    pub fn deeds(&self) -> Vec<Deed> {
        match &self.stage {
            Stage::Holding(_) => {
                let renew = (self.renewals > 0).then_some(Deed::Renew);
                let step = (self.steps > 0).then_some(Deed::Step);
                renew.into_iter().chain(step).chain([Deed::Release]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it is in the middle of a fenced step, which only it can end.
    #[must_use]
    pub const fn is_stepping(&self) -> bool {
        matches!(self.stage, Stage::Stepping(..))
    }

    /// Whether the lock is to be removed by its owner's own will.
    #[must_use]
    pub const fn releases(&self) -> bool {
        matches!(self.stage, Stage::Hold(_, Deed::Release))
    }

    /// Whether it is still trying to become owner: nobody has been told that it is.
    #[must_use]
    pub const fn acquires(&self) -> bool {
        matches!(self.stage, Stage::Acquire(_))
    }

    /// Whether it removes others' locks.
    #[must_use]
    pub const fn evicts(&self) -> bool {
        matches!(self.stage, Stage::Evict(_))
    }

    /// Begins what it has chosen.
    #[must_use]
    pub fn begin(self, context: &Context, now: Now, deed: Deed) -> Option<Self> {
        let Stage::Holding(ownership) = self.stage else {
            return None;
        };
        let machine = match deed {
            Deed::Renew => Hold::renew(context, now, ownership),
            Deed::Step => Hold::step(context, now, ownership, "step"),
            Deed::Release => Hold::release(context, now, ownership),
        };
        Some(Self {
            stage: Stage::Hold(machine, deed),
            renewals: self.renewals - u8::from(deed == Deed::Renew),
            steps: self.steps - u8::from(deed == Deed::Step),
            ..self
        })
    }

    /// The fenced step is over.
    #[must_use]
    pub fn leave_step(mut self) -> Self {
        if let Stage::Stepping(ownership, leave) = self.stage {
            self.stage = Stage::Leaving(ownership, leave);
        }
        self
    }

    /// Takes what came of its call.
    #[must_use]
    pub fn step(mut self, context: &Context, now: Now, event: Event) -> Next {
        let event = if std::mem::take(&mut self.barges) { Event::Absent } else { event };
        self.stage = match self.stage {
            Stage::Acquire(machine) => match machine.step(context, now, event) {
                Flow::Go(machine) => Stage::Acquire(machine),
                Flow::Done(Ok(acquired)) => {
                    return won(self.renewals, self.steps, acquired);
                }
                Flow::Done(Err(failure)) => return end(Fate::GaveUp, Some(failure)),
            },
            Stage::Hold(machine, deed) => match machine.step(context, now, event) {
                Flow::Go(machine) => Stage::Hold(machine, deed),
                Flow::Done(Ok(Held::Renewed(ownership))) => Stage::Holding(ownership),
                Flow::Done(Ok(Held::Stepping { ownership, leave })) => {
                    let generation = ownership.generation().0;
                    self.stage = Stage::Stepping(ownership, leave);
                    return (Some(self), Some(Note::Steps(generation)));
                }
                Flow::Done(Ok(Held::Released)) => return end(Fate::Released, None),
                Flow::Done(Ok(Held::Lost { .. })) => return end(Fate::Lost, None),
                Flow::Done(Err(failure)) => return end(Fate::Unreleased, Some(failure)),
            },
            Stage::Leaving(ownership, machine) => match machine.step(context, now, event) {
                Flow::Go(machine) => Stage::Leaving(ownership, machine),
                Flow::Done(Ok(())) => Stage::Holding(ownership),
                Flow::Done(Err(failure)) => return end(Fate::Unreleased, Some(failure)),
            },
            Stage::Evict(machine) => match machine.step(context, now, event) {
                Flow::Go(machine) => Stage::Evict(machine),
                Flow::Done(Ok(_)) => return end(Fate::Evicted, None),
                Flow::Done(Err(failure)) => return end(Fate::GaveUp, Some(failure)),
            },
            waiting @ (Stage::Holding(_) | Stage::Stepping(..)) => waiting,
        };
        (Some(self), None)
    }
}

fn won(renewals: u8, steps: u8, acquired: Acquired) -> Next {
    let reason = acquired.takeover.map(|takeover| takeover.reason);
    let stage = Stage::Holding(acquired.ownership);
    let ours = Ours { stage, renewals, steps, barges: false };
    (Some(ours), Some(Note::Acquired(reason)))
}

fn end(fate: Fate, failure: Option<Failure>) -> Next {
    (None, Some(Note::Ended(fate, failure)))
}
