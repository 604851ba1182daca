//! Clearing a dead holder's mutex, and the dead reclaim lock in front of it.
//!
//! Begins with the dead mutex's inode open in [`Slot::Guard`] and kernel-locked by us in shared
//! mode, which is the proof that its holder is dead; ends with that let go.

use alloc::boxed::Box;

use crate::chores::Chores;
use crate::claim::{Claim, Claimed, Role};
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::examine::{Examine, Examined, Known};
use crate::inside::Inside;
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::record::Record;
use crate::snapshot::{FileId, Stat};
use crate::time::Now;

/// How many dead reclaim locks to clear in a row before it is time to sleep.
const MAX_ROUNDS: u8 = 8;

/// Removes a dead mutex under the reclaim lock and tries for a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reap {
    medium: Medium,
    ticket: Option<FileId>,
    dead: FileId,
    share: Share,
    rounds: u8,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    ClaimReclaim(Claim),
    ExamineRival(Examine),
    ClearRival(Chores),
    Bury { reclaim: FileId, chores: Chores },
    ClaimMutex { reclaim: FileId, claim: Claim },
    LetGo { chores: Chores, outcome: Result<Reaped, Failure> },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reaped {
    /// The new mutex is ours.
    Entered(FileId),
    /// The dead mutex is gone, but another was quicker with a new one. Our ticket has had a
    /// name and lost it.
    Outrun,
    /// A living reaper is at it, or one too young to be taken for dead.
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
    pub(crate) fn new(medium: Medium, ticket: Option<FileId>, dead: FileId) -> Self {
        let at = At::ClaimReclaim(Claim::new(Role::Reclaim, medium, ticket));
        Self { medium, ticket, dead, share: Share::Shared, rounds: 0, at }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::ClaimReclaim(claim) | At::ClaimMutex { claim, .. } => claim.effect(context),
            At::ExamineRival(examine) => examine.effect(),
            At::ClearRival(chores) | At::Bury { chores, .. } | At::LetGo { chores, .. } => {
                chores.effect(context)
            }
        }
    }

    pub(crate) fn step(self, context: &Context, now: Now, event: Event) -> Outcome {
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
            At::Bury { reclaim, chores } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Bury { reclaim, chores }),
                Flow::Done(Ok(())) => {
                    let claim = Claim::new(Role::Mutex, self.medium, self.ticket);
                    self.go(At::ClaimMutex { reclaim, claim })
                }
                Flow::Done(Err(failure)) => {
                    let chores = self.drop_reclaim(reclaim);
                    self.let_go(chores, Err(failure))
                }
            },
            At::ClaimMutex { reclaim, claim } => match claim.step(context, now, &event) {
                Flow::Go(claim) => self.go(At::ClaimMutex { reclaim, claim }),
                Flow::Done(outcome) => self.claimed(reclaim, outcome),
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
                let dead = self.dead;
                let chores = nothing.vacate(Name::Takeover, dead).vacate(Name::Mutex, dead);
                self.go(At::Bury { reclaim, chores })
            }
            Ok(Claimed::Exists) => {
                let examine = Examine::new(Role::Reclaim, self.medium, Known::Dead(self.dead));
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
    fn examined(mut self, outcome: Result<Examined, Failure>) -> Outcome {
        let rival = Chores::new().close(Slot::Rival);
        match outcome {
            Ok(Examined::Gone) => self.try_again(),
            // A dead reclaim lock needs no fourth file: whoever holds its inode's kernel
            // lock exclusively, and no one else, may remove its name.
            Ok(Examined::Dead(id)) => {
                let chores = Chores::new().vacate(Name::Reclaim, id);
                let chores = chores.let_go_of_the_dead(Slot::Rival, self.medium);
                self.go(At::ClearRival(chores))
            }
            Ok(Examined::Twin(id)) => {
                self.share = Share::Exclusive;
                let chores = Chores::new().vacate(Name::Reclaim, id);
                self.go(At::ClearRival(chores.then(rival)))
            }
            Ok(Examined::Alive(stat, record)) => {
                self.let_go(rival, Ok(Reaped::Rest(Some(Rival { stat, record }))))
            }
            Ok(Examined::Young { stat, .. }) => {
                self.let_go(rival, Ok(Reaped::Rest(Some(Rival { stat, record: None }))))
            }
            // Not asked about, and a reaper's ticket has no such name yet.
            Ok(Examined::Ours(_)) => self.let_go(rival, Ok(Reaped::Again)),
            Err(failure) => self.let_go(rival, Err(failure)),
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

    /// We tried for the mutex while we still had the reclaim lock, because a ticket whose
    /// last name goes cannot be linked again.
    fn claimed(self, reclaim: FileId, outcome: Result<Claimed, Failure>) -> Outcome {
        let chores = self.drop_reclaim(reclaim);
        match outcome {
            Ok(Claimed::Taken(id)) => self.let_go(chores, Ok(Reaped::Entered(id))),
            Ok(_) => self.let_go(chores, Ok(Reaped::Outrun)),
            Err(failure) => self.let_go(chores, Err(failure)),
        }
    }

    fn drop_reclaim(&self, reclaim: FileId) -> Chores {
        let chores = Chores::new().vacate(Name::Reclaim, reclaim);
        match self.medium.has_links() {
            true => chores,
            false => chores.let_go(Slot::Reclaim, self.medium),
        }
    }

    /// The dead mutex, which examining it has locked, comes last.
    fn let_go(self, chores: Chores, outcome: Result<Reaped, Failure>) -> Outcome {
        let chores = match self.share {
            Share::Shared => chores.let_go(Slot::Guard, self.medium),
            Share::Exclusive => chores.let_go_of_the_dead(Slot::Guard, self.medium),
        };
        self.go(At::LetGo { chores, outcome })
    }

    /// Letting go failed. If the mutex is ours by now, it must not be kept.
    fn failed(self, failure: Failure, outcome: Result<Reaped, Failure>) -> Outcome {
        match outcome {
            Ok(Reaped::Entered(mutex)) => {
                let Self { medium, ticket, .. } = self;
                let chores = Inside { medium, ticket, mutex }.leave();
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
