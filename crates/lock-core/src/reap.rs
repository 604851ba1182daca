//! Clearing a dead holder's mutex, and the dead reclaim lock in front of it.
//!
//! Begins with the dead mutex's inode open in [`Slot::Guard`] and kernel-locked by us in shared
//! mode, which is the proof that its holder is dead; ends with that let go.

use alloc::boxed::Box;

use crate::chores::Chores;
use crate::claim::{Claim, Claimed, Role};
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::examine::{Examine, Examined};
use crate::inside::Inside;
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::own::Linkable;
use crate::record::Record;
use crate::snapshot::{FileId, Stat};
use crate::time::Now;

/// How many dead reclaim locks to clear in a row before it is time to sleep.
const MAX_ROUNDS: u8 = 8;

/// Puts our own mutex in a dead one's place, under the reclaim lock.
///
/// Our reclaim lock is renamed over the dead mutex: one call, so that no crash leaves the
/// one without the other. While we hold the dead inode's kernel lock and the reclaim lock
/// and the mutex leads to that inode, nobody else may remove or replace it; so what the
/// rename replaces is what was judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reap {
    medium: Medium,
    ticket: Option<Linkable>,
    dead: FileId,
    rounds: u8,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    ClaimReclaim(Claim),
    ExamineRival(Examine),
    ClearRival(Chores),
    /// The dead mutex is the reclaim lock too, so what keeps us from locking that is our own lock on
    /// it: make that exclusive.
    CloseTwin,
    LockTwin,
    ClearTakeover {
        reclaim: FileId,
        chores: Chores,
    },
    LookMutex {
        reclaim: FileId,
    },
    Rename {
        reclaim: FileId,
    },
    LetGo {
        chores: Chores,
        outcome: Result<Reaped, Failure>,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reaped {
    /// The mutex is ours.
    Entered(Inside),
    /// The dead mutex was another's to reap. Our ticket has had a name and lost it.
    Outrun,
    /// A living reaper is at it, or one too young to be taken for dead: its file is left open in
    /// [`Slot::Rival`]. Or names keep changing.
    Rest(Option<Rival>),
    /// Names changed under us; from the start.
    Again,
    /// The ticket cannot be linked.
    Unlinkable,
    /// Roles cannot be taken this way here.
    Unsupported(Medium),
}

/// Who is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rival {
    pub(crate) stat: Stat,
    pub(crate) record: Option<Box<Record>>,
}

type Outcome = Flow<Reap, Result<Reaped, Failure>>;

impl Reap {
    /// `ticket` is the inode to link, where roles are links.
    pub(crate) fn new(medium: Medium, ticket: Option<Linkable>, dead: FileId) -> Self {
        let at = At::ClaimReclaim(Claim::new(Role::Reclaim, medium, ticket));
        Self { medium, ticket, dead, rounds: 0, at }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::ClaimReclaim(claim) => claim.effect(context),
            At::LookMutex { .. } => Effect::Look(Name::Mutex),
            At::Rename { .. } => Effect::Rename { from: Name::Reclaim, to: Name::Mutex },
            At::ExamineRival(examine) => examine.effect(),
            At::CloseTwin => Effect::Close(Slot::Rival),
            At::LockTwin => Effect::Lock(Slot::Guard, Share::Exclusive),
            At::ClearRival(chores)
            | At::ClearTakeover { chores, .. }
            | At::LetGo { chores, .. } => chores.effect(context),
        }
    }

    pub(crate) fn step(self, context: &Context, now: Now, event: Event) -> Outcome {
        let effect = self.effect(context);
        match self.at.clone() {
            At::ClaimReclaim(claim) => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimReclaim(claim)),
                Flow::Done(outcome) => self.reclaimed(outcome),
            },
            At::ExamineRival(examine) => match examine.step(context, now, &event) {
                Flow::Go(examine) => self.go(At::ExamineRival(examine)),
                Flow::Done(outcome) => self.examined(outcome),
            },
            At::ClearRival(chores) => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::ClearRival(chores)),
                Flow::Done(Ok(())) => self.try_again(),
                Flow::Done(Err(failure)) => self.let_go(Chores::new(), Err(failure)),
            },
            At::CloseTwin => self.go(At::LockTwin),
            At::LockTwin => match event {
                Event::Done => {
                    let chores = Chores::new().vacate(Name::Reclaim, self.dead);
                    let chores = chores.let_go_of_the_dead(Slot::Guard, self.medium);
                    self.go(At::LetGo { chores, outcome: Ok(Reaped::Again) })
                }
                // Another knows as well that it is dead. We may have lost our lock by asking.
                Event::Busy => self.let_go(Chores::new(), Ok(Reaped::Rest(None))),
                event => {
                    let failure = Failure::of(&effect, &event);
                    self.let_go(Chores::new(), Err(failure))
                }
            },
            At::ClearTakeover { reclaim, chores } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::ClearTakeover { reclaim, chores }),
                Flow::Done(Ok(())) => self.go(At::LookMutex { reclaim }),
                Flow::Done(Err(failure)) => self.withdraw(reclaim, Err(failure)),
            },
            At::LookMutex { reclaim } => match event {
                event if event.leads_to(self.dead) => self.go(At::Rename { reclaim }),
                Event::Stat(_) | Event::Absent => self.withdraw(reclaim, Ok(Reaped::Outrun)),
                event => self.withdraw(reclaim, Err(Failure::of(&effect, &event))),
            },
            At::Rename { reclaim } => match event {
                Event::Done => {
                    let own = self.ticket.map_or(Slot::Reclaim, |ticket| ticket.slot);
                    let inside = Inside::by_reaping(self.medium, own, reclaim);
                    self.let_go(Chores::new(), Ok(Reaped::Entered(inside)))
                }
                event => self.withdraw(reclaim, Err(Failure::of(&effect, &event))),
            },
            At::LetGo { chores, outcome } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::LetGo { chores, outcome }),
                Flow::Done(Err(failure)) => self.failed(failure, outcome),
                Flow::Done(Ok(())) => Flow::Done(outcome),
            },
        }
    }

    /// One attempt at the reclaim lock is over.
    fn reclaimed(self, outcome: Result<Claimed, Failure>) -> Outcome {
        let nothing = Chores::new();
        match outcome {
            // What the dead holder left on its way to a takeover goes first: it is known by
            // its inode only for as long as the mutex leads there too.
            Ok(Claimed::Taken(reclaim)) => {
                let chores = nothing.vacate(Name::Takeover, self.dead);
                self.go(At::ClearTakeover { reclaim, chores })
            }
            Ok(Claimed::Exists) => {
                let examine = Examine::new(Role::Reclaim, self.medium, None);
                self.go(At::ExamineRival(examine))
            }
            Ok(Claimed::Reaped) => self.let_go(nothing, Ok(Reaped::Again)),
            Ok(Claimed::Unlinkable) => self.let_go(nothing, Ok(Reaped::Unlinkable)),
            Ok(Claimed::Unsupported(medium)) => {
                self.let_go(nothing, Ok(Reaped::Unsupported(medium)))
            }
            Err(failure) => self.let_go(nothing, Err(failure)),
        }
    }

    /// Another's reclaim lock is in the way.
    fn examined(self, outcome: Result<Examined, Failure>) -> Outcome {
        let nothing = Chores::new();
        match outcome {
            Ok(Examined::Gone) => self.try_again(),
            // A dead reclaim lock needs no fourth file: whoever holds its inode's kernel
            // lock exclusively, and no one else, may remove its name.
            Ok(Examined::Dead(id)) => {
                let chores = Chores::new().vacate(Name::Reclaim, id);
                let chores = chores.let_go_of_the_dead(Slot::Rival, self.medium);
                self.go(At::ClearRival(chores))
            }
            Ok(Examined::Alive(stat, _)) if stat.id == self.dead => self.go(At::CloseTwin),
            Ok(Examined::Alive(stat, record)) => {
                self.let_go(nothing, Ok(Reaped::Rest(Some(Rival { stat, record }))))
            }
            Ok(Examined::Young { stat, .. }) => {
                self.let_go(nothing, Ok(Reaped::Rest(Some(Rival { stat, record: None }))))
            }
            // Not asked about, and a reaper's ticket has no such name yet.
            Ok(Examined::Ours(_)) => self.let_go(nothing.close(Slot::Rival), Ok(Reaped::Again)),
            Err(failure) => self.let_go(nothing, Err(failure)),
        }
    }

    fn try_again(mut self) -> Outcome {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return self.let_go(Chores::new(), Ok(Reaped::Rest(None)));
        }
        let claim = Claim::new(Role::Reclaim, self.medium, self.ticket);
        self.go(At::ClaimReclaim(claim))
    }

    /// Without the mutex, the reclaim lock goes.
    fn withdraw(self, reclaim: FileId, outcome: Result<Reaped, Failure>) -> Outcome {
        let chores = Chores::new().vacate(Name::Reclaim, reclaim);
        let chores = match self.medium.has_links() {
            true => chores,
            false => chores.let_go(Slot::Reclaim, self.medium),
        };
        self.let_go(chores, outcome)
    }

    /// The dead mutex, which examining it has locked, comes last.
    fn let_go(self, chores: Chores, outcome: Result<Reaped, Failure>) -> Outcome {
        let chores = chores.let_go(Slot::Guard, self.medium);
        self.go(At::LetGo { chores, outcome })
    }

    /// Letting go failed. If the mutex is ours by now, it must not be kept.
    fn failed(self, failure: Failure, outcome: Result<Reaped, Failure>) -> Outcome {
        match outcome {
            Ok(Reaped::Entered(inside)) => {
                // Where it is a link to the ticket, that goes with the ticket's end.
                let chores = match self.medium.has_links() {
                    true => inside.vacate(),
                    false => inside.leave(),
                };
                self.go(At::LetGo { chores, outcome: Err(failure) })
            }
            Ok(_) => Flow::Done(Err(failure)),
            Err(first) => Flow::Done(Err(first)),
        }
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

#[cfg(test)]
#[path = "reap_tests.rs"]
mod tests;
