//! Becoming owner: enter the mutex, look, decide, act; or wait outside it and try again.
//!
//! ```text
//!  ┌─▶ enter ─▶ look ─▶ judge ──free, stale, timed out──▶ draw ─▶ write ─▶ publish ─▶ leave ─▶ owned
//!  │                      │wait
//!  │                      ▼
//!  │                    leave ─▶ watch ─▶ look ─▶ judge ──wait──▶ sleep
//!  │                               ▲                │               │
//!  │                               └── new owner ◀──┼───────────────┘
//!  └───────────────────────── something else ◀──────┘
//! ```
//!
//! Outside the mutex a look only decides whether it is worth entering; whatever is done
//! about the lock rests on a second look inside.

use alloc::boxed::Box;
use core::time::Duration;

use crate::chores::Chores;
use crate::decide::{Decision, Mind, Sentence, Waiting};
use crate::effect::{Effect, Event, Name, Slot};
use crate::generation::Draw;
use crate::inside::Inside;
use crate::look::{Look, Looked};
use crate::machine::{Context, Failure, Flow, Machine, Medium, Ownership, Takeover};
use crate::mutex::{Enter, Entry};
use crate::policy::OnTimeout;
use crate::publish::{Publish, Published};
use crate::snapshot::{FileId, Seen, Snapshot};
use crate::sweep::Sweep;
use crate::time::Now;
use crate::vigil::{Ended, Vigil};

/// Becomes owner, or says why not.
///
/// Its end is [`Acquired`] or a [`Failure`]. Dropping it half way is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquire {
    medium: Medium,
    mind: Mind,
    at: At,
}

/// The lock is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquired {
    /// What it takes to renew and release it.
    pub ownership: Ownership,
    /// From whom it was taken, if it was not free.
    pub takeover: Option<Takeover>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Enter(Enter),
    LookInside {
        inside: Inside,
        look: Look,
    },
    /// A takeover follows a crash, so it is the time to clear up after one.
    Sweep {
        inside: Inside,
        takeover: Takeover,
        sweep: Sweep,
    },
    Draw {
        inside: Inside,
        takeover: Option<Takeover>,
        draw: Draw,
    },
    Publish {
        inside: Inside,
        takeover: Option<Takeover>,
        publish: Publish,
    },
    Leave {
        chores: Chores,
        then: Then,
    },
    Vigil(Vigil),
    Signal {
        sentence: Sentence,
        then: Resume,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Restart,
    Wait {
        seen: FileId,
    },
    Signal {
        sentence: Sentence,
        seen: FileId,
    },
    /// The mutex's name is to go; what it was taken by is still there.
    Own {
        inside: Inside,
        acquired: Acquired,
    },
    Done(Result<Acquired, Failure>),
}

/// Where to go on after a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Resume {
    /// The lock file's owner is being ended: wait for that.
    Wait { seen: FileId },
    /// The mutex's holder is being ended: try to enter again.
    Enter,
}

type Outcome = Flow<Acquire, Result<Acquired, Failure>>;

impl Acquire {
    /// A contender that begins now.
    #[must_use]
    pub fn new(context: &Context, now: Now) -> Self {
        let mind = Mind::new(now);
        let enter = Enter::contender(context.medium, context.policy.mutex_patience());
        Self { medium: context.medium, mind, at: At::Enter(enter) }
    }

    /// Whom it waits for, while it does.
    #[must_use]
    pub const fn waiting(&self) -> Option<&Waiting> {
        self.mind.waiting()
    }

    fn entered(mut self, context: &Context, now: Now, outcome: Result<Entry, Failure>) -> Outcome {
        match outcome {
            Ok(Entry::Entered(inside)) => {
                self.medium = inside.medium;
                let look = Look::new(inside.medium);
                self.go(At::LookInside { inside, look })
            }
            // Contenders own nothing that they could lose.
            Ok(Entry::Lost) => Flow::Done(Err(Failure::DirectoryGone)),
            Err(Failure::MutexHeld { holder: Some(holder) })
                if context.policy.on_timeout == OnTimeout::Stop && !context.policy.no_wait =>
            {
                match self.mind.sentence_for(context, now, &holder) {
                    Some(sentence) => self.go(At::Signal { sentence, then: Resume::Enter }),
                    None => Flow::Done(Err(Failure::Survived { owner: Some(holder) })),
                }
            }
            Err(failure) => Flow::Done(Err(failure)),
        }
    }

    /// A look under the mutex: what it shows is what is acted on.
    fn looked_inside(
        mut self,
        context: &Context,
        now: Now,
        inside: Inside,
        outcome: Result<Looked, Failure>,
    ) -> Outcome {
        let snapshot = match outcome {
            Ok(looked) => looked.snapshot,
            Err(failure) => return self.give_up(inside, failure),
        };
        let owner = snapshot.record().cloned().map(Box::new);
        match self.mind.decide(context, now, &snapshot) {
            Decision::Take(None) => self.draw(inside, None),
            Decision::Take(Some(takeover)) => {
                let sweep = Sweep::new(self.medium);
                self.go(At::Sweep { inside, takeover, sweep })
            }
            Decision::Wait { .. } => match snapshot {
                Snapshot::Present(seen) if !context.policy.no_wait => {
                    self.leave(inside.abandon(), Then::Wait { seen: seen.id })
                }
                _ => self.give_up(inside, Failure::Busy { owner }),
            },
            Decision::Signal(sentence) => match snapshot {
                Snapshot::Present(Seen { id: seen, .. }) => {
                    self.leave(inside.abandon(), Then::Signal { sentence, seen })
                }
                Snapshot::Absent => self.leave(inside.abandon(), Then::Restart),
            },
            Decision::GiveUp(failure) => self.give_up(inside, failure),
        }
    }

    fn draw(self, inside: Inside, takeover: Option<Takeover>) -> Outcome {
        self.go(At::Draw { inside, takeover, draw: Draw::new() })
    }

    fn published(
        self,
        inside: Inside,
        takeover: Option<Takeover>,
        outcome: Result<Published, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Published::Owned(ownership)) => {
                let acquired = Acquired { ownership, takeover };
                self.leave(inside.vacate(), Then::Own { inside, acquired })
            }
            // Only a peer that was not in our mutex can have done that; look again.
            Ok(Published::Taken) => self.leave(inside.abandon(), Then::Restart),
            Err(failure) => self.give_up(inside, failure),
        }
    }

    /// The wait for one owner is over.
    fn kept_vigil(self, context: &Context, outcome: Result<Ended, Failure>) -> Outcome {
        match outcome {
            Ok(Ended::Gone) => self.restart(context),
            Ok(Ended::Ripe) => self.leave(Chores::new().close(Slot::Judged), Then::Restart),
            Ok(Ended::Signal { sentence, seen }) => {
                self.go(At::Signal { sentence, then: Resume::Wait { seen } })
            }
            Err(failure) => Flow::Done(Err(failure)),
        }
    }

    fn signalled(
        mut self,
        context: &Context,
        sentence: Sentence,
        then: &Resume,
        event: &Event,
    ) -> Outcome {
        match event {
            Event::Done | Event::Absent => self.mind.signalled(sentence),
            event => {
                let Sentence { pid, since, signal, .. } = sentence;
                let effect = Effect::Signal { pid, since, signal };
                return Flow::Done(Err(Failure::of(&effect, event)));
            }
        }
        match then {
            // A holder that is being ended has been waited for long enough.
            Resume::Enter => self.enter(context.policy.grace),
            Resume::Wait { seen } => self.wait(*seen),
        }
    }

    fn give_up(self, inside: Inside, failure: Failure) -> Outcome {
        self.leave(inside.abandon(), Then::Done(Err(failure)))
    }

    fn leave(self, chores: Chores, then: Then) -> Outcome {
        self.go(At::Leave { chores, then })
    }

    fn left(self, context: &Context, outcome: Result<(), Failure>, then: Then) -> Outcome {
        match (outcome, then) {
            (_, Then::Done(Err(failure))) => Flow::Done(Err(failure)),
            // The lock is ours and the mutex will not go: neither may be kept. As long as the
            // mutex has its name and its kernel lock we are in it, so the lock goes first.
            (Err(failure), Then::Own { inside, acquired: Acquired { ownership, .. } }) => {
                let chores = Chores::new().vacate(Name::Lock, ownership.ticket);
                let chores = chores.let_go(Slot::Ticket, ownership.medium).then(inside.let_go());
                self.leave(chores, Then::Done(Err(failure)))
            }
            (Ok(()), Then::Own { inside, acquired }) => {
                let chores = match acquired.takeover {
                    Some(_) => inside.let_go().close(Slot::Judged),
                    None => inside.let_go(),
                };
                match chores.is_empty() {
                    true => Flow::Done(Ok(acquired)),
                    false => self.leave(chores, Then::Done(Ok(acquired))),
                }
            }
            // The mutex has no name any more: what cannot be let go of harms nobody.
            (_, Then::Done(Ok(acquired))) => Flow::Done(Ok(acquired)),
            (Err(failure), _) => Flow::Done(Err(failure)),
            (Ok(()), Then::Wait { seen }) => self.wait(seen),
            (Ok(()), Then::Signal { sentence, seen }) => {
                self.go(At::Signal { sentence, then: Resume::Wait { seen } })
            }
            (Ok(()), Then::Restart) => self.restart(context),
        }
    }

    fn restart(self, context: &Context) -> Outcome {
        self.enter(context.policy.mutex_patience())
    }

    fn enter(self, patience: Duration) -> Outcome {
        let enter = Enter::contender(self.medium, patience);
        self.go(At::Enter(enter))
    }

    fn wait(self, seen: FileId) -> Outcome {
        let vigil = Vigil::new(self.medium, seen);
        self.go(At::Vigil(vigil))
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

impl Machine for Acquire {
    type Output = Result<Acquired, Failure>;

    fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Enter(enter) => enter.effect(context),
            At::LookInside { look, .. } => look.effect(),
            At::Sweep { sweep, .. } => sweep.effect(context),
            At::Draw { draw, .. } => draw.effect(context),
            At::Publish { publish, .. } => publish.effect(context),
            At::Leave { chores, .. } => chores.effect(context),
            At::Vigil(vigil) => vigil.effect(),
            At::Signal { sentence: Sentence { pid, since, signal, .. }, .. } => {
                Effect::Signal { pid: *pid, since: *since, signal: *signal }
            }
        }
    }

    fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        match self.at.clone() {
            At::Enter(enter) => match enter.step(context, now, event) {
                Flow::Go(enter) => self.go(At::Enter(enter)),
                Flow::Done(outcome) => self.entered(context, now, outcome),
            },
            At::LookInside { inside, look } => match look.step(&event) {
                Flow::Go(look) => self.go(At::LookInside { inside, look }),
                Flow::Done(outcome) => self.looked_inside(context, now, inside, outcome),
            },
            At::Sweep { inside, takeover, sweep } => match sweep.step(context, now, event) {
                Flow::Go(sweep) => self.go(At::Sweep { inside, takeover, sweep }),
                Flow::Done(()) => self.draw(inside, Some(takeover)),
            },
            At::Draw { inside, takeover, draw } => match draw.step(context, now, &event) {
                Flow::Go(draw) => self.go(At::Draw { inside, takeover, draw }),
                Flow::Done(Ok(generation)) => {
                    let replaces = takeover.is_some();
                    let publish = Publish::new(context, now, &inside, generation, replaces);
                    self.go(At::Publish { inside, takeover, publish })
                }
                Flow::Done(Err(failure)) => self.give_up(inside, failure),
            },
            At::Publish { inside, takeover, publish } => match publish.step(context, now, event) {
                Flow::Go(publish) => self.go(At::Publish { inside, takeover, publish }),
                Flow::Done(outcome) => self.published(inside, takeover, outcome),
            },
            At::Leave { chores, then } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Leave { chores, then }),
                Flow::Done(outcome) => self.left(context, outcome, then),
            },
            At::Vigil(vigil) => match vigil.step(context, now, &mut self.mind, &event) {
                Flow::Go(vigil) => self.go(At::Vigil(vigil)),
                Flow::Done(outcome) => self.kept_vigil(context, outcome),
            },
            At::Signal { sentence, then } => self.signalled(context, sentence, &then, &event),
        }
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "on_timeout_tests.rs"]
mod on_timeout_tests;
