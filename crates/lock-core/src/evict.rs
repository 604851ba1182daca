//! Taking a lock away on a person's order, without wanting it.

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name};
use crate::entry::Entry;
use crate::inside::Inside;
use crate::look::{Look, Looked};
use crate::machine::{Context, Failure, Flow, Machine};
use crate::mutex::Enter;
use crate::record::{Generation, Record};
use crate::snapshot::{KernelLock, Life, Seen, Snapshot};
use crate::stall::Patience;
use crate::time::Now;

/// Removes the lock file under the mutex. Its owner, if it lives, finds out as it would
/// after any takeover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evict {
    only: Option<Generation>,
    at: At,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Evicted {
    /// The lock was taken away from this owner, if its file could be read.
    Done(Option<Record>),
    /// There was nothing to take away.
    WasFree,
    /// The lock is another ownership by now; nothing was changed.
    Other(Option<Record>),
    /// Its owner lives and has not agreed to be replaced, and it was not named; nothing was
    /// changed.
    Living(Record),
    /// Some process has it kernel-locked that has written no record of ours, `flock(1)` say. Taking
    /// its file away would not end that lock; nothing was changed.
    Unbreakable(Option<Record>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Enter(Enter),
    Look { inside: Inside, look: Look },
    Unlink { inside: Inside, owner: Option<Record> },
    Leave { chores: Chores, then: Result<Evicted, Failure> },
}

type Outcome = Flow<Evict, Result<Evicted, Failure>>;

impl Evict {
    /// Takes the lock away from an owner that is dead, or that has agreed to be replaced; with
    /// `only`, from that ownership, whatever it has agreed to.
    #[must_use]
    pub fn new(context: &Context, only: Option<Generation>) -> Self {
        let patience = Patience::PerHolder(context.policy.mutex_patience);
        Self { only, at: At::Enter(Enter::guest(context.medium, patience)) }
    }

    fn looked(self, inside: Inside, outcome: Result<Looked, Failure>) -> Outcome {
        let snapshot = match outcome {
            Ok(looked) => looked.snapshot,
            Err(failure) => return self.leave(inside, Err(failure)),
        };
        let owner = snapshot.record().cloned();
        let generation = owner.as_ref().and_then(Record::generation);
        match (&snapshot, self.only) {
            (Snapshot::Absent, _) => self.leave(inside, Ok(Evicted::WasFree)),
            (_, Some(only)) if generation != Some(only) => {
                self.leave(inside, Ok(Evicted::Other(owner)))
            }
            (Snapshot::Present(seen), only) if lives(seen) => match owner {
                Some(record) if record.detail.is_none() => {
                    self.leave(inside, Ok(Evicted::Unbreakable(Some(record))))
                }
                None => self.leave(inside, Ok(Evicted::Unbreakable(None))),
                Some(record) if only.is_none() && !record.is_preemptible() => {
                    self.leave(inside, Ok(Evicted::Living(record)))
                }
                owner => self.go(At::Unlink { inside, owner }),
            },
            _ => self.go(At::Unlink { inside, owner }),
        }
    }

    fn leave(self, inside: Inside, then: Result<Evicted, Failure>) -> Outcome {
        self.go(At::Leave { chores: inside.abandon(), then })
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

/// Whether something that owns the lock runs, as far as the kernel tells.
fn lives(seen: &Seen) -> bool {
    seen.kernel == KernelLock::Held || seen.process == Life::Running || seen.cgroup == Life::Running
}

impl Machine for Evict {
    type Output = Result<Evicted, Failure>;

    fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Enter(enter) => enter.effect(context),
            At::Look { look, .. } => look.effect(),
            At::Unlink { .. } => Effect::Unlink(Name::Lock),
            At::Leave { chores, .. } => chores.effect(context),
        }
    }

    fn step(self, context: &Context, now: Now, event: Event) -> Outcome {
        let effect = self.effect(context);
        match self.at.clone() {
            At::Enter(enter) => match enter.step(context, now, event) {
                Flow::Go(enter) => self.go(At::Enter(enter)),
                Flow::Done(Ok(Entry::Entered(inside))) => {
                    let look = Look::new(inside.medium);
                    self.go(At::Look { inside, look })
                }
                // Who does not queue is not told of a crowd, and has no name to lose.
                Flow::Done(Ok(Entry::Crowded(_) | Entry::Stuck { .. } | Entry::Lost)) => {
                    Flow::Done(Err(Failure::DirectoryGone))
                }
                Flow::Done(Err(failure)) => Flow::Done(Err(failure)),
            },
            At::Look { inside, look } => match look.step(context, now, &event) {
                Flow::Go(look) => self.go(At::Look { inside, look }),
                Flow::Done(outcome) => self.looked(inside, outcome),
            },
            At::Unlink { inside, owner } => {
                let then = match event {
                    Event::Done | Event::Absent => Ok(Evicted::Done(owner)),
                    event => Err(Failure::of(&effect, &event)),
                };
                self.leave(inside, then)
            }
            At::Leave { chores, then } => match (chores.step(context, now, event), then) {
                (Flow::Go(chores), then) => self.go(At::Leave { chores, then }),
                (Flow::Done(Err(failure)), Ok(_)) => Flow::Done(Err(failure)),
                (Flow::Done(_), then) => Flow::Done(then),
            },
        }
    }
}

#[cfg(test)]
#[path = "evict_tests.rs"]
mod tests;
