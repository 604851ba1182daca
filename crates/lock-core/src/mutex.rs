//! Getting into the mutex, and clearing a dead holder's out of the way.
//!
//! ```text
//!            ┌────────────── nobody there any more ─────────────┐
//!            ▼                                                  │
//! ticket ─▶ link mutex ──exists──▶ examine it ──alive──▶ watch, link again, sleep ─▶ …
//!            │                        │dead (its inode is now locked by us)
//!            │                        ▼
//!            │                     link reclaim ──exists──▶ examine: dead → clear, retry
//!            │                        │                              alive → sleep
//!            │                        ▼
//!            │                     remove the dead names, if they still lead to its inode
//!            │                        ▼
//!            ▼                     link mutex, then drop reclaim
//!         entered  ◀─────────────────┘ (exists: another was quicker; from the start)
//! ```
//!
//! Reaping never grants anything: only linking the mutex does.

use alloc::boxed::Box;
use core::time::Duration;

use crate::chores::Chores;
use crate::claim::{Claim, Claimed, Role};
use crate::effect::{Effect, Event, Name, Slot, Wake};
use crate::examine::{Examine, Examined};
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::record::Record;
use crate::snapshot::{FileId, Stat};
use crate::ticket::{Prepare, Prepared};
use crate::time::{Boot, Now};

/// How often names may change under us before we sleep: each change is another's progress,
/// but a loop without a sleep is a loop all the same.
const MAX_ROUNDS: u8 = 8;

/// Enters the mutex.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Enter {
    who: Who,
    medium: Medium,
    ticket: Option<FileId>,
    patience: Duration,
    rounds: u8,
    naps: u8,
    stuck: Option<Stuck>,
    at: At,
}

/// Who wants to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    /// Has no ticket yet, and needs a new one whenever its last name is gone.
    Contender,
    /// Its ticket is the lock. Once that has lost its name it can never be linked again.
    Owner,
}

/// The living holder that is in the way, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stuck {
    stat: Stat,
    since: Boot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Prepare(Prepare),
    Touch,
    Claim(Claim),
    Examine(Examine),
    Watch {
        until: Boot,
    },
    ClaimAgain {
        claim: Claim,
        until: Boot,
    },
    Nap {
        until: Boot,
        guard_is_open: bool,
    },
    NameHolder,
    /// The dead mutex's inode is locked by us from here on.
    ClaimReclaim {
        dead: FileId,
        claim: Claim,
    },
    ExamineRival {
        dead: FileId,
        examine: Examine,
    },
    ClearRival {
        dead: FileId,
        chores: Chores,
    },
    Bury {
        reclaim: FileId,
        chores: Chores,
    },
    ClaimBuried {
        reclaim: FileId,
        claim: Claim,
    },
    Tidy {
        chores: Chores,
        then: Then,
    },
}

/// What follows the tidying up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Restart,
    Nap { until: Boot },
    Enter(FileId),
    Fail(Failure),
    Lost,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    /// We are in the mutex.
    Entered(Inside),
    /// We were the owner and are no longer: our ticket has no name left.
    Lost,
}

/// In the mutex: what is needed to get out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inside {
    pub(crate) medium: Medium,
    /// Our ticket; without links a contender has none yet.
    pub(crate) ticket: Option<FileId>,
    /// The inode that the mutex leads to.
    pub(crate) mutex: FileId,
}

type Outcome = Flow<Enter, Result<Entry, Failure>>;

impl Enter {
    /// For a contender, which has no ticket yet.
    pub(crate) fn contender(medium: Medium, patience: Duration) -> Self {
        let mut enter = Self::new(Who::Contender, medium, None, patience);
        enter.at = enter.begin();
        enter
    }

    /// For an owner. A peer judges our mutex by its mtime, so a ticket that has not been
    /// written for a while is touched first.
    pub(crate) fn owner(medium: Medium, ticket: FileId, patience: Duration, touch: bool) -> Self {
        let mut enter = Self::new(Who::Owner, medium, Some(ticket), patience);
        if !touch {
            enter.at = enter.begin();
        }
        enter
    }

    fn new(who: Who, medium: Medium, ticket: Option<FileId>, patience: Duration) -> Self {
        Self {
            who,
            medium,
            ticket,
            patience,
            rounds: 0,
            naps: 0,
            stuck: None,
            at: At::Touch,
        }
    }

    /// From the top: a ticket if one is needed, then the mutex.
    fn begin(&self) -> At {
        if self.medium.has_links() && self.ticket.is_none() {
            return At::Prepare(Prepare::new(self.medium));
        }
        At::Claim(self.claim(Role::Mutex))
    }

    fn claim(&self, role: Role) -> Claim {
        let ticket = self.ticket.filter(|_| self.medium.has_links());
        Claim::new(role, self.medium, ticket)
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Prepare(prepare) => prepare.effect(),
            At::Touch => Effect::Touch(Slot::Ticket),
            At::Claim(claim)
            | At::ClaimAgain { claim, .. }
            | At::ClaimReclaim { claim, .. }
            | At::ClaimBuried { claim, .. } => claim.effect(),
            At::Examine(examine) | At::ExamineRival { examine, .. } => examine.effect(),
            At::Watch { .. } => Effect::Watch(Slot::Guard),
            At::Nap { until, .. } => Effect::Sleep { until: *until },
            At::NameHolder => Effect::Read(Slot::Guard),
            At::ClearRival { chores, .. } | At::Bury { chores, .. } | At::Tidy { chores, .. } => {
                chores.effect(context)
            }
        }
    }

    pub(crate) fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        let at = core::mem::replace(&mut self.at, At::Touch);
        match at {
            At::Prepare(prepare) => match prepare.step(context, now, &event) {
                Flow::Go(prepare) => self.go(At::Prepare(prepare)),
                Flow::Done(outcome) => self.prepared(context, outcome),
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
                let claim = self.claim(Role::Mutex);
                self.go(At::ClaimAgain { claim, until })
            }
            At::ClaimAgain { claim, until } => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimAgain { claim, until }),
                Flow::Done(Ok(Claimed::Exists)) => self.go(At::Nap {
                    until,
                    guard_is_open: true,
                }),
                Flow::Done(outcome) => {
                    self.claimed(context, now, Chores::new().close(Slot::Guard), outcome)
                }
            },
            At::Nap { guard_is_open, .. } => self.woken(guard_is_open, &event),
            At::NameHolder => {
                let holder = match event {
                    Event::Bytes(bytes) => Record::parse(&bytes).ok().map(Box::new),
                    _ => None,
                };
                self.fail(Failure::MutexHeld { holder })
            }
            reaping => self.reap(context, now, reaping, event),
        }
    }

    fn prepared(mut self, context: &Context, outcome: Result<Prepared, Failure>) -> Outcome {
        match outcome {
            Ok(Prepared::Ready(id)) => {
                self.ticket = Some(id);
                self.restart()
            }
            Ok(Prepared::Unsupported(medium)) => self.downgrade(context, medium),
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
                let chores = guard.then(self.drop_birth_name());
                self.tidy(chores, Then::Enter(id))
            }
            Ok(Claimed::Exists) => {
                self.rounds += 1;
                if self.rounds > MAX_ROUNDS {
                    let until = self.next_nap(context, now, Duration::MAX);
                    return self.go(At::Nap {
                        until,
                        guard_is_open: false,
                    });
                }
                let examine = Examine::new(Role::Mutex, self.medium, None);
                self.go(At::Examine(examine))
            }
            Ok(Claimed::Reaped) => self.tidy(guard.unlock_and_close(Slot::Mutex), Then::Restart),
            Ok(Claimed::Unlinkable) => match self.who {
                Who::Owner => self.tidy(guard, Then::Lost),
                Who::Contender => self.fail(Failure::DirectoryGone),
            },
            Ok(Claimed::Unsupported(medium)) => self.downgrade(context, medium),
            Err(failure) => self.fail(failure),
        }
    }

    fn downgrade(mut self, context: &Context, medium: Medium) -> Outcome {
        if context.policy.require_kernel_lock && !medium.has_kernel_locks() {
            return self.fail(Failure::NoKernelLock);
        }
        let chores = self.drop_ticket();
        self.medium = medium;
        self.tidy(chores, Then::Restart)
    }

    /// The mutex is there; what do we know of its holder?
    fn examined(
        mut self,
        context: &Context,
        now: Now,
        outcome: Result<Examined, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Examined::Gone) => self.restart(),
            Ok(Examined::Alive(stat)) => {
                if self.out_of_patience(now, stat) {
                    return self.go(At::NameHolder);
                }
                let until = self.next_nap(context, now, Duration::MAX);
                self.go(At::Watch { until })
            }
            Ok(Examined::Young { stat, left }) => {
                if self.out_of_patience(now, stat) {
                    return self.go(At::NameHolder);
                }
                let until = self.next_nap(context, now, left);
                let chores = Chores::new().unlock_and_close(Slot::Guard);
                self.tidy(chores, Then::Nap { until })
            }
            Ok(Examined::Dead(dead)) => {
                let claim = self.claim(Role::Reclaim);
                self.go(At::ClaimReclaim { dead, claim })
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn woken(mut self, guard_is_open: bool, event: &Event) -> Outcome {
        match event {
            Event::Woken(Wake::Cancelled) => self.fail(Failure::Cancelled),
            Event::Woken(_) => {
                self.rounds = 0;
                let chores = if guard_is_open {
                    Chores::new().close(Slot::Guard)
                } else {
                    Chores::new()
                };
                self.tidy(chores, Then::Restart)
            }
            event => {
                let failure = Failure::of(&Effect::Sleep { until: Boot(0) }, event);
                self.fail(failure)
            }
        }
    }

    /// Patience with one holder: it starts anew when another holds the mutex, or this one
    /// writes.
    fn out_of_patience(&mut self, now: Now, stat: Stat) -> bool {
        match self.stuck {
            Some(stuck) if stuck.stat == stat => now.boot.since(stuck.since) >= self.patience,
            _ => {
                self.stuck = Some(Stuck {
                    stat,
                    since: now.boot,
                });
                false
            }
        }
    }

    /// Longer with every try up to the fallback poll, and out of step with the others. The
    /// watch wakes us when the mutex falls free; this is for when it cannot.
    fn next_nap(&mut self, context: &Context, now: Now, left: Duration) -> Boot {
        let policy = &context.policy;
        let base = policy
            .mutex_retry
            .saturating_mul(1 << self.naps.min(8))
            .min(policy.poll);
        self.naps = self.naps.saturating_add(1);
        let salt = context
            .token
            .as_str()
            .bytes()
            .fold(u32::from(self.naps), |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u32::from(byte))
            });
        let jitter = base / 2 * (salt % 256) / 256;
        now.boot.after((base + jitter).min(left))
    }

    /// A dead mutex, step by step: everything from here until the reclaim lock is dropped.
    fn reap(self, context: &Context, now: Now, at: At, event: Event) -> Outcome {
        match at {
            At::ClaimReclaim { dead, claim } => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimReclaim { dead, claim }),
                Flow::Done(outcome) => self.reclaimed(context, dead, outcome),
            },
            At::ExamineRival { dead, examine } => match examine.step(context, now, &event) {
                Flow::Go(examine) => self.go(At::ExamineRival { dead, examine }),
                Flow::Done(outcome) => self.examined_rival(context, now, dead, outcome),
            },
            At::ClearRival { dead, chores } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::ClearRival { dead, chores }),
                Flow::Done(Ok(())) => self.try_reclaim(context, now, dead),
                Flow::Done(Err(failure)) => self.fail(failure),
            },
            At::Bury { reclaim, chores } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Bury { reclaim, chores }),
                Flow::Done(Ok(())) => {
                    let claim = self.claim(Role::Mutex);
                    self.go(At::ClaimBuried { reclaim, claim })
                }
                Flow::Done(Err(failure)) => {
                    let chores = self.drop_reclaim(reclaim);
                    self.tidy(chores, Then::Fail(failure))
                }
            },
            At::ClaimBuried { reclaim, claim } => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimBuried { reclaim, claim }),
                Flow::Done(outcome) => self.buried(reclaim, outcome),
            },
            At::Tidy { chores, then } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Tidy { chores, then }),
                Flow::Done(outcome) => self.tidied(outcome, then),
            },
            // The states that `step` deals with itself.
            other => self.go(other),
        }
    }

    fn try_reclaim(mut self, context: &Context, now: Now, dead: FileId) -> Outcome {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            let until = self.next_nap(context, now, Duration::MAX);
            return self.tidy(drop_guard(), Then::Nap { until });
        }
        let claim = self.claim(Role::Reclaim);
        self.go(At::ClaimReclaim { dead, claim })
    }

    fn reclaimed(
        self,
        context: &Context,
        dead: FileId,
        outcome: Result<Claimed, Failure>,
    ) -> Outcome {
        match outcome {
            // What the dead holder left on its way to a takeover goes first: it is known by
            // its inode only for as long as the mutex leads there too.
            Ok(Claimed::Taken(reclaim)) => {
                let chores = Chores::new()
                    .vacate(Name::Takeover, dead)
                    .vacate(Name::Mutex, dead);
                self.go(At::Bury { reclaim, chores })
            }
            Ok(Claimed::Exists) => {
                let examine = Examine::new(Role::Reclaim, self.medium, Some(dead));
                self.go(At::ExamineRival { dead, examine })
            }
            Ok(Claimed::Reaped) => {
                let chores = drop_guard().unlock_and_close(Slot::Reclaim);
                self.tidy(chores, Then::Restart)
            }
            Ok(Claimed::Unlinkable) => match self.who {
                Who::Owner => self.tidy(drop_guard(), Then::Lost),
                Who::Contender => self.fail(Failure::DirectoryGone),
            },
            Ok(Claimed::Unsupported(medium)) => self.downgrade(context, medium),
            Err(failure) => self.fail(failure),
        }
    }

    /// Another's reclaim lock is in the way.
    fn examined_rival(
        mut self,
        context: &Context,
        now: Now,
        dead: FileId,
        outcome: Result<Examined, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Examined::Gone) => self.try_reclaim(context, now, dead),
            // A dead reclaim lock needs no fourth file: whoever holds its inode's kernel
            // lock, and no one else, may remove its name.
            Ok(Examined::Dead(id)) => {
                let chores = Chores::new()
                    .vacate(Name::Reclaim, id)
                    .unlock_and_close(Slot::Rival);
                self.go(At::ClearRival { dead, chores })
            }
            Ok(Examined::Alive(stat) | Examined::Young { stat, .. }) => {
                let chores = drop_guard().unlock_and_close(Slot::Rival);
                if self.out_of_patience(now, stat) {
                    return self.tidy(chores, Then::Fail(Failure::MutexHeld { holder: None }));
                }
                let until = self.next_nap(context, now, Duration::MAX);
                self.tidy(chores, Then::Nap { until })
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// The dead mutex is gone and we tried for a new one while we still had the reclaim
    /// lock, because a ticket whose last name goes cannot be linked again.
    fn buried(mut self, reclaim: FileId, outcome: Result<Claimed, Failure>) -> Outcome {
        let chores = self.drop_reclaim(reclaim);
        match outcome {
            Ok(Claimed::Taken(id)) => {
                let chores = chores.then(self.drop_birth_name());
                self.tidy(chores, Then::Enter(id))
            }
            Ok(_) if self.who == Who::Contender && self.medium == Medium::Anonymous => {
                self.ticket = None;
                self.tidy(chores.unlock_and_close(Slot::Ticket), Then::Restart)
            }
            Ok(Claimed::Reaped) => self.tidy(chores.unlock_and_close(Slot::Mutex), Then::Restart),
            Ok(_) => self.tidy(chores, Then::Restart),
            Err(failure) => self.tidy(chores, Then::Fail(failure)),
        }
    }

    fn drop_reclaim(&self, reclaim: FileId) -> Chores {
        let chores = Chores::new().vacate(Name::Reclaim, reclaim);
        let chores = match self.medium.has_links() {
            true => chores,
            false => chores.unlock_and_close(Slot::Reclaim),
        };
        chores.then(drop_guard())
    }

    /// A ticket that was born with a name loses it as soon as it has a better one.
    fn drop_birth_name(&self) -> Chores {
        match (self.who, self.medium, self.ticket) {
            (Who::Contender, Medium::Linked, Some(id)) => Chores::new().vacate(Name::Ticket, id),
            _ => Chores::new(),
        }
    }

    fn drop_ticket(&mut self) -> Chores {
        let chores = self.drop_birth_name();
        match self.who {
            Who::Contender if self.ticket.take().is_some() => chores.unlock_and_close(Slot::Ticket),
            _ => chores,
        }
    }

    fn fail(mut self, failure: Failure) -> Outcome {
        let chores = self.drop_ticket();
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
            (_, Then::Fail(failure)) | (Err(failure), _) => Flow::Done(Err(failure)),
            (Ok(()), Then::Restart) => self.restart(),
            (Ok(()), Then::Nap { until }) => self.go(At::Nap {
                until,
                guard_is_open: false,
            }),
            (Ok(()), Then::Lost) => Flow::Done(Ok(Entry::Lost)),
            (Ok(()), Then::Enter(mutex)) => {
                let Self { medium, ticket, .. } = self;
                Flow::Done(Ok(Entry::Entered(Inside {
                    medium,
                    ticket,
                    mutex,
                })))
            }
        }
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

/// The dead mutex, which examining it has locked.
fn drop_guard() -> Chores {
    Chores::new().unlock_and_close(Slot::Guard)
}

impl Inside {
    /// The way out of the mutex.
    pub(crate) fn leave(&self) -> Chores {
        let chores = Chores::new().vacate(Name::Mutex, self.mutex);
        match self.medium.has_links() {
            true => chores,
            false => chores.unlock_and_close(Slot::Mutex),
        }
    }

    /// The way out for a contender that does not become owner.
    pub(crate) fn abandon(&self) -> Chores {
        match self.ticket {
            Some(_) if self.medium.has_links() => self.leave().unlock_and_close(Slot::Ticket),
            _ => self.leave(),
        }
    }
}
