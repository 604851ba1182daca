//! What a process runs: our machines, one after another, or a control subject.

use std::time::Duration;

use lock_core::effect::{Effect, Event};
use lock_core::machine::{Context, Failure, Flow, Machine, Ownership, Reason};
use lock_core::record::Generation;
use lock_core::time::Now;
use lock_core::{Acquire, Acquired, Chores, Evict, Held, Hold, Settle, Settled};

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
        /// Whether what it starts inherits its ticket: its command, if it has not consented; else
        /// the tools of its steps.
        shares: bool,
    },
    /// To own the lock and release it, without having looked whether anybody waits: a control
    /// subject.
    Barge,
    /// To take the lock away: from a dead owner or one that has consented; or whatever it has
    /// agreed to, from the owner with this number.
    Evict(Option<u64>),
}

/// One of our contenders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ours {
    stage: Stage,
    left: Left,
    /// It takes the answer to its first call for `Absent`.
    barges: bool,
}

/// What an owner may still do, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    renewals: u8,
    steps: u8,
    shares: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Acquire(Acquire),
    /// It owns the lock, and waits for what the owner before has in flight.
    Settling(Ownership, Settle),
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
    /// The machine says that it owns the lock.
    Acquired {
        /// Why it took it, if it was not free.
        reason: Option<Reason>,
        /// Whether something of the owner before may be in flight.
        settles: bool,
    },
    /// Nothing of the owner before is in flight any more.
    Settled,
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
        let (renewals, steps, shares) = match plan {
            Plan::Own { renewals, steps, shares, .. } => (renewals, steps, shares),
            Plan::Barge | Plan::Evict(_) => (0, 0, false),
        };
        let stage = match plan {
            Plan::Own { .. } | Plan::Barge => Stage::Acquire(Acquire::new(context, now)),
            Plan::Evict(only) => Stage::Evict(Evict::new(context, only.map(Generation))),
        };
        let left = Left { renewals, steps, shares };
        Self { stage, left, barges: plan == Plan::Barge }
    }

    /// The call it wants made; nothing while it is its own to choose what to do.
    #[must_use]
    pub fn effect(&self, context: &Context) -> Option<Effect> {
        match &self.stage {
            Stage::Acquire(machine) => Some(machine.effect(context)),
            Stage::Settling(_, machine) => Some(machine.effect(context)),
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
                let renew = (self.left.renewals > 0).then_some(Deed::Renew);
                let step = (self.left.steps > 0).then_some(Deed::Step);
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

    /// Begins what it has chosen; a step announces so long a quiet.
    #[must_use]
    pub fn begin(self, context: &Context, now: Now, deed: Deed, quiet: Duration) -> Option<Self> {
        let Stage::Holding(mut ownership) = self.stage else {
            return None;
        };
        // Its first step is going to pass the ticket on.
        ownership.shared |= self.left.shares && deed == Deed::Step;
        let machine = match deed {
            Deed::Renew => Hold::renew(context, now, ownership),
            Deed::Step => Hold::step(context, now, ownership, "step", quiet),
            Deed::Release => Hold::release(context, now, ownership),
        };
        let left = Left {
            renewals: self.left.renewals - u8::from(deed == Deed::Renew),
            steps: self.left.steps - u8::from(deed == Deed::Step),
            ..self.left
        };
        Some(Self { stage: Stage::Hold(machine, deed), left, ..self })
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
                Flow::Done(Ok(acquired)) => return self.left.won(context, now, acquired),
                Flow::Done(Err(failure)) => return end(Fate::GaveUp, Some(failure)),
            },
            Stage::Settling(ownership, machine) => match machine.step(context, now, event) {
                Flow::Go(machine) => Stage::Settling(ownership, machine),
                Flow::Done(outcome) => {
                    return self.left.settled(context, now, ownership, outcome);
                }
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

impl Left {
    /// Its command is started at once, or as soon as nothing of the owner before is in flight.
    fn won(self, context: &Context, now: Now, acquired: Acquired) -> Next {
        let Acquired { mut ownership, takeover } = acquired;
        ownership.shared = self.shares && !context.preemptible;
        let settle = takeover.as_ref().and_then(|takeover| Settle::after(context, takeover, now));
        let settles = settle.is_some();
        let stage = match settle {
            Some(settle) => Stage::Settling(ownership, settle),
            None => Stage::Holding(ownership),
        };
        let reason = takeover.map(|takeover| takeover.reason);
        (Some(self.at(stage)), Some(Note::Acquired { reason, settles }))
    }

    /// Its next renewal, which comes at once, writes down that nothing is in flight any more.
    ///
    /// If something still is, or that could not be found out, it leaves the lock's file as
    /// a dead owner's, which tells the next owner of it.
    fn settled(
        self,
        context: &Context,
        now: Now,
        mut ownership: Ownership,
        outcome: Result<Settled, Failure>,
    ) -> Next {
        match outcome {
            Ok(Settled::Quiet) => {
                ownership.settled();
                let renewal = Hold::renew(context, now, ownership);
                (Some(self.at(Stage::Hold(renewal, Deed::Renew))), Some(Note::Settled))
            }
            Ok(Settled::Running { signalled, .. }) => {
                let owner = Some(ownership.record);
                end(Fate::Unreleased, Some(Failure::Survived { owner, signalled }))
            }
            Err(failure) => end(Fate::Unreleased, Some(failure)),
        }
    }

    const fn at(self, stage: Stage) -> Ours {
        Ours { stage, left: self, barges: false }
    }
}

fn end(fate: Fate, failure: Option<Failure>) -> Next {
    (None, Some(Note::Ended(fate, failure)))
}
