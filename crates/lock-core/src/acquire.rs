//! Becoming owner: enter the mutex, look, decide, act; or stand in line, and try again.
//!
//! Length: one machine, whose states lead to each other.
//!
//! ```text
//! arrive ──nobody waits──▶ enter ───▶ attempt ──free, stale, timed out──▶ leave ─▶ owned
//!   │                       │  ▲         │wait
//!   │somebody waits         │  │         ▼
//!   ▼         another in it │  │       leave
//!  join ◀───────────────────┘  │         │
//!   │   ◀──────────────────────┼─────────┤ without a number yet
//!   ▼                          │         ▼ with one, or where there is no queue
//! wait for one's turn ─────────┼──────▶ vigil over the lock ─▶ gone, or to be had
//!                              └───────────────────────────────────┘
//! ```
//!
//! Outside the mutex a look only decides whether it is worth entering; whatever is done
//! about the lock rests on a second look inside.

use alloc::boxed::Box;
use core::mem;
use core::time::Duration;

use crate::attempt::{Attempt, Attempted};
use crate::chores::Chores;
use crate::decide::{Mind, Resume, Sentence, Waiting};
use crate::effect::{Effect, Event, Name, Slot};
use crate::entry::{Entry, Holder};
use crate::inside::Inside;
use crate::line::{Line, Stood};
use crate::machine::{Acquired, Context, Failure, Flow, Machine, Medium};
use crate::mutex::Enter;
use crate::own::Own;
use crate::past::Past;
use crate::queue::Place;
use crate::snapshot::FileId;
use crate::stall::Patience;
use crate::time::Now;
use crate::vigil::{Ended, Vigil};

/// Becomes owner, or says why not.
///
/// Its end is [`Acquired`] or a [`Failure`]. Dropping it half way is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquire {
    medium: Medium,
    mind: Mind,
    queue: Queue,
    past: Past,
    /// Apart, because a machine is moved several times with each call that it makes.
    at: Box<At>,
}

/// How a contender stands to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Queue {
    /// It will stand there if it has to wait.
    Open,
    /// There is none here, or it does not wait.
    Without,
    /// It has its ticket there.
    At(Place),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Line(Line),
    Enter(Enter),
    Attempt(Attempt),
    Leave { chores: Chores, then: Then },
    Vigil(Vigil),
    Signal { sentence: Sentence, then: Resume },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Restart,
    Anew,
    Join,
    Enter(Own, Patience),
    Wait(FileId),
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

type Outcome = Flow<Acquire, Result<Acquired, Failure>>;

impl Acquire {
    /// A contender that begins now.
    #[must_use]
    pub fn new(context: &Context, now: Now) -> Self {
        let Context { medium, policy, .. } = context;
        let mind = Mind::new(now);
        let (queue, at) = match medium.has_links() && !policy.no_wait {
            true => (Queue::Open, At::Line(Line::arriving(*medium))),
            false => {
                (Queue::Without, At::Enter(Enter::contender(*medium, mind.mutex_patience(context))))
            }
        };
        let past = Past::default();
        Self { medium: *medium, mind, queue, past, at: Box::new(at) }
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
                self.queue = match self.queue {
                    Queue::At(_) if inside.number.is_none() => Queue::Without,
                    Queue::Open if !self.medium.has_links() => Queue::Without,
                    queue => queue,
                };
                let attempt = Attempt::new(inside, self.past.judged.take());
                self.go(At::Attempt(attempt))
            }
            Ok(Entry::Crowded(own)) => {
                self.medium = own.medium;
                self.go(At::Line(Line::joining_with(own)))
            }
            // Contenders own nothing that they could lose, but their place in the queue.
            Ok(Entry::Lost) => self.anew(),
            Ok(Entry::Stuck { own, holder: Holder { slot, record }, waited }) => {
                self.medium = own.medium;
                // The grace that the one before was given is not the patience that this deserves.
                let limit = context.policy.wait_limit.unwrap_or(Duration::MAX);
                if waited < limit && !self.mind.is_ending(&record) {
                    let patience = self.mind.mutex_patience(context);
                    return self.leave(Chores::new().close(slot), Then::Enter(own, patience));
                }
                match self.mind.sentence_for(context, now, &record) {
                    Ok(sentence) => {
                        self.go(At::Signal { sentence, then: Resume::Enter(own, slot) })
                    }
                    Err(signalled) => {
                        let owner = Some(record);
                        self.drop(own, slot, Failure::Survived { owner, signalled })
                    }
                }
            }
            Err(failure) => Flow::Done(Err(failure)),
        }
    }

    /// Out of the mutex again, as owner or not.
    fn attempted(mut self, inside: Inside, attempted: Attempted) -> Outcome {
        match attempted {
            Attempted::Owned(acquired) => {
                self.leave(inside.vacate_as_owner(), Then::Own { inside, acquired })
            }
            Attempted::Wait { .. } if self.queue == Queue::Open => {
                self.leave(inside.abandon().close(Slot::Judged), Then::Join)
            }
            Attempted::Wait { seen } => self.leave(inside.step_back(), Then::Wait(seen)),
            Attempted::Signal { sentence, seen } => {
                self.leave(inside.step_back(), Then::Signal { sentence, seen })
            }
            Attempted::Again { past } => {
                self.past.judged = past;
                self.leave(inside.step_back(), Then::Restart)
            }
            Attempted::Failed(failure) => self.leave(inside.abandon(), Then::Done(Err(failure))),
        }
    }

    /// The wait for one owner is over.
    fn kept_vigil(self, context: &Context, now: Now, outcome: Result<Ended, Failure>) -> Outcome {
        match outcome {
            Ok(Ended::Gone { open }) if open.is_none() || self.queue != Queue::Open => {
                let past = Past { judged: open, ..self.past };
                Self { past, ..self }.restart(context, now)
            }
            // Whoever has no number yet may have to stand in line, and looks from there.
            Ok(Ended::Ripe | Ended::Gone { .. }) => {
                self.leave(Chores::new().close(Slot::Judged), Then::Restart)
            }
            Ok(Ended::Signal { sentence, seen }) => {
                self.go(At::Signal { sentence, then: Resume::Wait { seen } })
            }
            Err(failure) => self.quit(failure),
        }
    }

    fn signalled(
        mut self,
        context: &Context,
        now: Now,
        sentence: Sentence,
        then: &Resume,
        event: &Event,
    ) -> Outcome {
        let sent = sentence.sent(then.slot(), event);
        match (sent, then) {
            (Ok(signalled), Resume::Wait { seen }) => {
                self.mind.signalled(context, now, sentence, &signalled);
                self.wait(*seen)
            }
            // A holder that is being ended has been waited for long enough.
            (Ok(signalled), Resume::Enter(own, slot)) => {
                self.mind.signalled(context, now, sentence, &signalled);
                let grace = Patience::PerHolder(context.policy.grace);
                self.leave(Chores::new().close(*slot), Then::Enter(*own, grace))
            }
            (Err(failure), Resume::Wait { .. }) => self.quit(failure),
            (Err(failure), Resume::Enter(own, slot)) => self.drop(*own, *slot, failure),
        }
    }

    /// Ends outside the mutex, with the file of its holder open: our ticket goes.
    fn drop(self, mut own: Own, slot: Slot, failure: Failure) -> Outcome {
        let chores = Chores::new().close(slot).then(own.drop());
        self.leave(chores, Then::Done(Err(failure)))
    }

    /// Ends outside the mutex: the place in the queue goes.
    fn quit(self, failure: Failure) -> Outcome {
        let Queue::At(Place { number, .. }) = self.queue else {
            return Flow::Done(Err(failure));
        };
        let chores = Chores::new().forget(number).let_go(Slot::Ticket, self.medium);
        self.leave(chores, Then::Done(Err(failure)))
    }

    fn leave(self, chores: Chores, then: Then) -> Outcome {
        self.go(At::Leave { chores, then })
    }

    fn left(
        self,
        context: &Context,
        now: Now,
        outcome: Result<(), Failure>,
        then: Then,
    ) -> Outcome {
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
                // What the old owner left is waited for through its file.
                let chores = match &acquired.takeover {
                    Some(takeover) if !takeover.is_held => inside.let_go().close(Slot::Judged),
                    _ => inside.let_go(),
                };
                match chores.is_empty() {
                    true => Flow::Done(Ok(acquired)),
                    false => self.leave(chores, Then::Done(Ok(acquired))),
                }
            }
            // The mutex has no name any more: what cannot be let go of harms nobody.
            (_, Then::Done(Ok(acquired))) => Flow::Done(Ok(acquired)),
            (Err(failure), _) => Flow::Done(Err(failure)),
            (Ok(()), Then::Wait(seen)) => self.wait(seen),
            (Ok(()), Then::Signal { sentence, seen }) => {
                self.go(At::Signal { sentence, then: Resume::Wait { seen } })
            }
            (Ok(()), Then::Restart) => self.restart(context, now),
            (Ok(()), Then::Anew) => self.anew(),
            (Ok(()), Then::Enter(own, patience)) => {
                self.go(At::Enter(Enter::with(own, context, now, patience)))
            }
            (Ok(()), Then::Join) => {
                let line = Line::joining(self.medium);
                self.go(At::Line(line))
            }
        }
    }

    /// From the top: the ticket that we had is gone.
    fn anew(mut self) -> Outcome {
        let chores = self.past.close();
        if !chores.is_empty() {
            return self.leave(chores, Then::Anew);
        }
        self.queue = Queue::Open;
        let line = Line::arriving(self.medium);
        self.go(At::Line(line))
    }

    /// We need not stand in line any more.
    fn stood(mut self, context: &Context, now: Now, outcome: Result<Stood, Failure>) -> Outcome {
        match outcome {
            Ok(Stood::First) => self.restart(context, now),
            // Whoever owns the lock now is waited for outside the mutex, too.
            Ok(Stood::Ours(place)) => {
                self.queue = Queue::At(place);
                self.mind.stands_behind(0);
                let vigil = Vigil::beginning(self.medium);
                self.go(At::Vigil(vigil))
            }
            Ok(Stood::Nowhere) => {
                self.queue = Queue::Without;
                self.restart(context, now)
            }
            Ok(Stood::Missing) => {
                let chores = Chores::new().let_go(Slot::Ticket, self.medium);
                self.leave(chores, Then::Anew)
            }
            Err(failure) => self.quit(failure),
        }
    }

    fn restart(self, context: &Context, now: Now) -> Outcome {
        let patience = self.mind.mutex_patience(context);
        let enter = match self.queue {
            Queue::At(place) => Enter::with(Own::waiting(place), context, now, patience),
            Queue::Open => Enter::newcomer(self.medium, patience),
            Queue::Without => Enter::contender(self.medium, patience),
        };
        self.go(At::Enter(enter))
    }

    fn wait(self, seen: FileId) -> Outcome {
        let vigil = Vigil::new(self.medium, seen);
        self.go(At::Vigil(vigil))
    }

    /// Takes the state out, for a step that puts the next one there.
    fn take(&mut self) -> At {
        mem::replace(&mut *self.at, At::Line(Line::arriving(self.medium)))
    }

    fn go(mut self, at: At) -> Outcome {
        *self.at = at;
        Flow::Go(self)
    }
}

impl Machine for Acquire {
    type Output = Result<Acquired, Failure>;

    fn effect(&self, context: &Context) -> Effect {
        match &*self.at {
            At::Line(line) => line.effect(context),
            At::Enter(enter) => enter.effect(context),
            At::Attempt(attempt) => attempt.effect(context),
            At::Leave { chores, .. } => chores.effect(context),
            At::Vigil(vigil) => vigil.effect(),
            At::Signal { sentence, then } => sentence.effect(then.slot()),
        }
    }

    fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        match self.take() {
            At::Line(line) => {
                if let Some(place) = line.place() {
                    (self.medium, self.queue) = (place.medium, Queue::At(place));
                }
                self.past.ahead = line.has_past();
                match line.step(context, now, &mut self.mind, event) {
                    Flow::Go(line) => self.go(At::Line(line)),
                    Flow::Done(outcome) => self.stood(context, now, outcome),
                }
            }
            At::Enter(enter) => match enter.step(context, now, event) {
                Flow::Go(enter) => self.go(At::Enter(enter)),
                Flow::Done(outcome) => self.entered(context, now, outcome),
            },
            At::Attempt(attempt) => {
                let inside = attempt.inside();
                match attempt.step(context, now, &mut self.mind, event) {
                    Flow::Go(attempt) => self.go(At::Attempt(attempt)),
                    Flow::Done(attempted) => self.attempted(inside, attempted),
                }
            }
            At::Leave { chores, then } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Leave { chores, then }),
                Flow::Done(outcome) => self.left(context, now, outcome, then),
            },
            At::Vigil(vigil) => match vigil.step(context, now, &mut self.mind, &event) {
                Flow::Go(vigil) => self.go(At::Vigil(vigil)),
                Flow::Done(outcome) => self.kept_vigil(context, now, outcome),
            },
            At::Signal { sentence, then } => self.signalled(context, now, sentence, &then, &event),
        }
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "on_timeout_tests.rs"]
mod on_timeout_tests;
