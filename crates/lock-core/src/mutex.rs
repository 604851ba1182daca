//! Getting into the mutex, and clearing a dead holder's out of the way.
//!
//! ```text
//! ticket ─▶ link mutex ──exists──▶ examine it ──alive──▶ watch, link again, sleep ─▶ …
//!            │                        │dead (its inode is now locked by us)
//!            │                        ▼
//!            │                     link reclaim ──exists──▶ examine: dead → clear, retry
//!            │                        │                              alive → sleep
//!            │                        ▼
//!            ▼                     if the mutex still leads to the dead inode,
//!         entered  ◀──────────────  rename reclaim over it
//! ```
//!
//! Reaping grants no ownership: only what is then seen under the mutex does.

use alloc::boxed::Box;
use core::mem;
use core::time::Duration;

use crate::chores::Chores;
use crate::claim::{Claim, Claimed, Role};
use crate::effect::{Effect, Event, Slot, Wake};
use crate::entry::{Entry, Holder};
use crate::examine::{Examine, Examined};
use crate::inside::Inside;
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::own::Own;
use crate::policy::OnTimeout;
use crate::reap::{Reap, Reaped, Rival};
use crate::record::Record;
use crate::stall::{Patience, Stall};
use crate::ticket::{Prepare, Prepared};
use crate::time::{Mono, Now};

/// How often names may change under us before we sleep: each change is another's progress,
/// but a loop without a sleep is a loop all the same.
const MAX_ROUNDS: u8 = 8;

/// Enters the mutex.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Enter {
    own: Own,
    /// Whether to take a number rather than wait here.
    queues: bool,
    /// Whether what it wants is the lock: then the medium has to be one that it may work on.
    owns: bool,
    rounds: u8,
    stall: Stall,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Prepare(Prepare),
    Touch,
    Claim(Claim),
    Examine(Examine),
    Watch { until: Mono },
    ClaimAgain { claim: Claim, until: Mono },
    Nap { until: Mono, guard_is_open: bool },
    Reap(Box<Reap>),
    Tidy { chores: Chores, then: Then },
}

/// What follows the tidying up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Restart,
    Touch,
    Nap { until: Mono },
    Enter(Inside),
    Fail(Failure),
    Crowded,
    Lost,
}

type Outcome = Flow<Enter, Result<Entry, Failure>>;

impl Enter {
    /// For one who has no ticket and does not want the lock.
    pub(crate) fn guest(medium: Medium, patience: Patience) -> Self {
        let mut enter = Self::new(Own::none(medium), patience);
        enter.at = enter.begin();
        enter
    }

    /// For a contender, which has no ticket yet.
    pub(crate) fn contender(medium: Medium, patience: Patience) -> Self {
        Self { owns: true, ..Self::guest(medium, patience) }
    }

    /// For a newcomer: whoever waits for the mutex without a number is overtaken by those who
    /// have one, and by those who come later.
    pub(crate) fn newcomer(medium: Medium, patience: Patience) -> Self {
        Self { queues: true, ..Self::contender(medium, patience) }
    }

    /// For an owner, or a contender whose turn it is: it comes with its ticket.
    pub(crate) fn with(own: Own, context: &Context, now: Now, patience: Patience) -> Self {
        let mut enter = Self { owns: own.is_contenders(), ..Self::new(own, patience) };
        if !enter.own.wants_touch(context, now) {
            enter.at = enter.begin();
        }
        enter
    }

    fn new(own: Own, patience: Patience) -> Self {
        let stall = Stall::new(patience);
        Self { own, queues: false, owns: false, rounds: 0, stall, at: At::Touch }
    }

    /// From the top: a ticket if one is needed, then the mutex.
    fn begin(&self) -> At {
        match self.own.is_missing() {
            true => At::Prepare(Prepare::new(self.own.medium, self.own.slot())),
            false => At::Claim(self.claim()),
        }
    }

    fn claim(&self) -> Claim {
        Claim::new(Role::Mutex, self.own.medium, self.own.linkable())
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Prepare(prepare) => prepare.effect(context),
            At::Touch => Effect::Touch(self.own.slot()),
            At::Claim(claim) | At::ClaimAgain { claim, .. } => claim.effect(context),
            At::Examine(examine) => examine.effect(),
            At::Reap(reap) => reap.effect(context),
            At::Watch { .. } => Effect::Watch(Slot::Guard),
            At::Nap { until, .. } => Effect::Sleep { until: *until },
            At::Tidy { chores, .. } => chores.effect(context),
        }
    }

    pub(crate) fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        match mem::replace(&mut self.at, At::Touch) {
            At::Prepare(prepare) => match prepare.step(context, now, &event) {
                Flow::Go(prepare) => self.go(At::Prepare(prepare)),
                Flow::Done(outcome) => self.prepared(context, now, outcome),
            },
            At::Touch => self.restart(),
            At::Claim(claim) => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::Claim(claim)),
                Flow::Done(outcome) => self.claimed(context, now, Chores::new(), outcome),
            },
            At::Examine(examine) => match examine.step(context, now, &event) {
                Flow::Go(examine) => self.go(At::Examine(examine)),
                Flow::Done(outcome) => self.examined(context, now, outcome),
            },
            // The watch is set: look again before sleeping. The look is the link itself.
            At::Watch { until } => {
                let claim = self.claim();
                self.go(At::ClaimAgain { claim, until })
            }
            At::ClaimAgain { claim, until } => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimAgain { claim, until }),
                Flow::Done(Ok(Claimed::Exists)) => self.go(At::Nap { until, guard_is_open: true }),
                Flow::Done(outcome) => {
                    self.claimed(context, now, Chores::new().close(Slot::Guard), outcome)
                }
            },
            At::Nap { guard_is_open, .. } => {
                let touch = self.own.wants_touch(context, now);
                self.woken(guard_is_open, touch, &event)
            }
            At::Reap(reap) => match reap.step(context, now, event) {
                Flow::Go(reap) => self.go(At::Reap(Box::new(reap))),
                Flow::Done(outcome) => self.reaped(context, now, outcome),
            },
            At::Tidy { chores, then } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Tidy { chores, then }),
                Flow::Done(outcome) => self.tidied(outcome, then),
            },
        }
    }

    fn prepared(
        mut self,
        context: &Context,
        now: Now,
        outcome: Result<Prepared, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Prepared::Ready(id)) => {
                self.own = self.own.made(id, now);
                self.restart()
            }
            Ok(Prepared::Unsupported(medium)) => self.downgrade(context, medium, Chores::new()),
            Err(failure) => Flow::Done(Err(failure)),
        }
    }

    /// One attempt at the mutex is over; `guard` lets go of what was examined before it.
    fn claimed(
        mut self,
        context: &Context,
        now: Now,
        guard: Chores,
        outcome: Result<Claimed, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Claimed::Taken(id)) => {
                let chores = guard.then(self.own.drop_birth_name());
                let inside = self.own.inside(id);
                self.tidy(chores, Then::Enter(inside))
            }
            Ok(Claimed::Exists) => {
                self.rounds += 1;
                if self.rounds > MAX_ROUNDS {
                    return self.rest(context, now, guard);
                }
                let examine = Examine::new(Role::Mutex, self.own.medium, self.own.in_the_mutex());
                self.go(At::Examine(examine))
            }
            Ok(Claimed::Reaped) => self.tidy(guard, Then::Restart),
            Ok(Claimed::Unlinkable) => self.unlinkable(guard),
            Ok(Claimed::Unsupported(medium)) => self.downgrade(context, medium, guard),
            Err(failure) => self.fail(guard, failure),
        }
    }

    fn downgrade(mut self, context: &Context, medium: Medium, guard: Chores) -> Outcome {
        if self.owns && context.refuses(medium) {
            return self.fail(guard, Failure::NoKernelLock);
        }
        let chores = guard.then(self.own.drop());
        self.own.medium = medium;
        self.tidy(chores, Then::Restart)
    }

    /// The mutex is there; what do we know of its holder?
    fn examined(
        mut self,
        context: &Context,
        now: Now,
        outcome: Result<Examined, Failure>,
    ) -> Outcome {
        let guard = Chores::new().close(Slot::Guard);
        match outcome {
            Ok(Examined::Gone) => self.restart(),
            Ok(Examined::Ours(id)) => {
                let inside = self.own.inside(id);
                self.tidy(guard, Then::Enter(inside))
            }
            Ok(Examined::Alive(stat, holder)) if self.stall.is_over(now, stat) => {
                self.stuck(context, now, Slot::Guard, holder)
            }
            Ok(Examined::Alive(..)) if self.queues && self.own.is_ready() => {
                self.tidy(guard, Then::Crowded)
            }
            Ok(Examined::Alive(..)) => {
                let until = self.stall.next_nap(context, now, Duration::MAX);
                self.go(At::Watch { until })
            }
            Ok(Examined::Young { stat, .. }) if self.stall.is_over(now, stat) => {
                self.fail(guard, Failure::MutexHeld { holder: None })
            }
            Ok(Examined::Young { left, .. }) => {
                let until = self.stall.next_nap(context, now, left);
                self.tidy(guard, Then::Nap { until })
            }
            Ok(Examined::Dead(dead)) => {
                // Apart: the largest of the states, all of which are moved with each call, is rare.
                let reap = Reap::new(self.own.medium, self.own.linkable(), dead);
                self.go(At::Reap(Box::new(reap)))
            }
            Err(failure) => self.fail(Chores::new(), failure),
        }
    }

    /// A dead mutex has been dealt with.
    fn reaped(mut self, context: &Context, now: Now, outcome: Result<Reaped, Failure>) -> Outcome {
        let nothing = Chores::new();
        match outcome {
            Ok(Reaped::Entered(inside)) => {
                let inside = self.own.within(inside);
                let chores = self.own.drop_birth_name();
                self.tidy(chores, Then::Enter(inside))
            }
            // The one name it had is gone: this ticket is spent.
            Ok(Reaped::Outrun) if self.own.is_spent_without_a_role() => {
                let chores = self.own.drop();
                self.tidy(chores, Then::Restart)
            }
            Ok(Reaped::Outrun | Reaped::Again) => self.restart(),
            Ok(Reaped::Rest(Some(Rival { stat, record }))) if self.stall.is_over(now, stat) => {
                self.stuck(context, now, Slot::Rival, record)
            }
            Ok(Reaped::Rest(Some(_))) => self.rest(context, now, nothing.close(Slot::Rival)),
            Ok(Reaped::Rest(None)) => self.rest(context, now, nothing),
            Ok(Reaped::Unlinkable) => self.unlinkable(nothing),
            Ok(Reaped::Unsupported(medium)) => self.downgrade(context, medium, nothing),
            Err(failure) => self.fail(nothing, failure),
        }
    }

    /// A ticket that cannot be linked has lost its last name; if it has never had one, it is the
    /// directory that is gone.
    fn unlinkable(mut self, guard: Chores) -> Outcome {
        match self.own.had_a_name() {
            true => {
                let chores = guard.then(self.own.drop());
                self.tidy(chores, Then::Lost)
            }
            false => self.fail(guard, Failure::DirectoryGone),
        }
    }

    fn woken(mut self, guard_is_open: bool, touch: bool, event: &Event) -> Outcome {
        let nothing = Chores::new();
        let guard = if guard_is_open { nothing.close(Slot::Guard) } else { nothing };
        match event {
            Event::Woken(Wake::Cancelled) => self.fail(guard, Failure::Cancelled),
            Event::Woken(_) => {
                self.rounds = 0;
                self.tidy(guard, if touch { Then::Touch } else { Then::Restart })
            }
            event => {
                let failure = Failure::of(&Effect::Sleep { until: Mono(0) }, event);
                self.fail(guard, failure)
            }
        }
    }

    /// Our patience with this holder, whose file is open there, is at an end.
    fn stuck(
        self,
        context: &Context,
        now: Now,
        slot: Slot,
        holder: Option<Box<Record>>,
    ) -> Outcome {
        let Context { policy, .. } = context;
        let ends = self.owns && policy.on_timeout == OnTimeout::Stop && !policy.no_wait;
        match holder {
            Some(record) if ends => {
                let waited = self.stall.waited(now);
                let holder = Holder { slot, record };
                Flow::Done(Ok(Entry::Stuck { own: self.own, holder, waited }))
            }
            holder => self.fail(Chores::new().close(slot), Failure::MutexHeld { holder }),
        }
    }

    /// No single holder is known to be in the way: names change under us.
    fn rest(mut self, context: &Context, now: Now, guard: Chores) -> Outcome {
        if self.stall.is_past_its_limit(now) {
            return self.fail(guard, Failure::MutexHeld { holder: None });
        }
        let until = self.stall.next_nap(context, now, Duration::MAX);
        self.tidy(guard, Then::Nap { until })
    }

    fn fail(mut self, guard: Chores, failure: Failure) -> Outcome {
        let chores = guard.then(self.own.drop());
        self.tidy(chores, Then::Fail(failure))
    }

    fn restart(mut self) -> Outcome {
        self.at = self.begin();
        Flow::Go(self)
    }

    fn tidy(self, chores: Chores, then: Then) -> Outcome {
        if chores.is_empty() {
            return self.tidied(Ok(()), then);
        }
        self.go(At::Tidy { chores, then })
    }

    fn tidied(self, outcome: Result<(), Failure>, then: Then) -> Outcome {
        match (outcome, then) {
            (_, Then::Fail(failure)) => Flow::Done(Err(failure)),
            // We are in the mutex all the same, and must not keep it.
            (Err(failure), Then::Enter(inside)) => {
                let chores = self.own.leave_to_drop(&inside);
                self.fail(chores, failure)
            }
            (Err(failure), _) => self.fail(Chores::new(), failure),
            (Ok(()), Then::Restart) => self.restart(),
            (Ok(()), Then::Touch) => self.go(At::Touch),
            (Ok(()), Then::Nap { until }) => self.go(At::Nap { until, guard_is_open: false }),
            (Ok(()), Then::Crowded) => Flow::Done(Ok(Entry::Crowded(self.own))),
            (Ok(()), Then::Lost) => Flow::Done(Ok(Entry::Lost)),
            (Ok(()), Then::Enter(inside)) => Flow::Done(Ok(Entry::Entered(inside))),
        }
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

#[cfg(test)]
#[path = "mutex_tests.rs"]
mod tests;
