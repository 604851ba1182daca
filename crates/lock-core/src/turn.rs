//! Standing in the queue: watch the one before, and wait until nobody is.
//!
//! ```text
//!  ┌─▶ list ──nobody before us──▶ our turn
//!  │     │
//!  │     ▼  ┌── with a new number
//!  │   open the one before ─▶ watch it ─▶ there and alive? ──yes──▶ sleep ─▶ …
//!  │                                         │no             (now and then: look at the lock)
//!  └── clear its number, if it is dead ◀─────┘
//! ```
//!
//! The one before us stands for everyone before it, and its ticket for all that it will do: it
//! becomes the lock, and has no name any more when that is released. So one watch serves until
//! our turn: the kernel takes a watch away with an inode's last name, and says so; a death it
//! tells of as a writer's close.
//!
//! Whoever stands behind a dead waiter removes its number, if that still leads there: a slow
//! newcomer may have been given it meanwhile.

use core::time::Duration;

use crate::decide::{Decision, Mind, Sentence};
use crate::effect::{Effect, Event, Name, Share, Slot, Wake};
use crate::look::Look;
use crate::machine::{Context, Failure, Flow};
use crate::nap::{DEEPEST, FIRST_NAP, FIRST_POLL, HAIR, Idle, LONGEST_NAP, Sight, Wakes};
use crate::queue::{Before, Found, Place};
use crate::snapshot::{FileId, Snapshot};
use crate::time::{Mono, Now};

/// How often names may change under us before we sleep.
const MAX_ROUNDS: u8 = 8;

/// Waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    place: Place,
    /// Whose ticket is open in [`Slot::Ahead`].
    open: Option<u64>,
    /// Which file that is, once we have looked.
    file: Option<FileId>,
    /// Whether one that has ended is still open there: see [`Past`](crate::past::Past).
    past: bool,
    /// What the look has told of the one before us, that is still to be followed.
    woken: Option<Wake>,
    /// How many were before us when we last counted.
    before: Option<u32>,
    wakes: Wakes,
    nap: Duration,
    rounds: u8,
    sight: Sight,
    idle: Option<Idle>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    List,
    CloseQueue(Found),
    OpenAhead(u64),
    /// An inode without a name is nobody's lock and no waiter's ticket any more.
    Stat(Wake),
    Ask(Wake, FileId),
    /// It is dead. Is its number still its own?
    Check(FileId),
    Remove,
    Unlock(Then),
    Watch,
    Sleep(Mono),
    Look(Look),
    /// Our limit is over for its owner: end it. That gives no right to the lock, so the place in
    /// the queue stays.
    Signal(Sentence),
    CloseLock(Next),
    CloseAhead(Then),
}

/// What follows when the lock file is closed that we have looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Next {
    Sleep,
    List,
}

/// What follows when the ticket before us is closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Open(u64),
    List,
    Done(Ended),
}

/// Why the wait is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// It is our turn.
    Ours(Place),
    /// Our ticket is in the queue no more.
    Missing,
}

type Outcome = Flow<Turn, Result<Ended, Failure>>;

impl Turn {
    /// Behind this number, which was there a moment ago.
    pub(crate) const fn behind(place: Place, ahead: u64) -> Self {
        Self {
            place,
            open: None,
            file: None,
            past: false,
            woken: None,
            before: None,
            wakes: Wakes::Polls,
            nap: FIRST_NAP,
            rounds: 0,
            sight: Sight::Held(Mono(u64::MAX)),
            idle: None,
            at: At::OpenAhead(ahead),
        }
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// Whether a ticket that has ended is open in [`Slot::Ahead`].
    pub(crate) const fn has_past(&self) -> bool {
        self.past
    }

    pub(crate) fn effect(&self) -> Effect {
        match &self.at {
            At::Open => Effect::Open { slot: Slot::Queue, name: Name::Queue, write: false },
            At::List => Effect::List(Slot::Queue),
            At::CloseQueue(_) => Effect::Close(Slot::Queue),
            At::OpenAhead(number) => {
                Effect::Open { slot: Slot::Ahead, name: Name::Queued(*number), write: false }
            }
            At::Stat(_) => Effect::Stat(Slot::Ahead),
            At::Ask(..) => Effect::Lock(Slot::Ahead, Share::Shared),
            At::Check(_) => Effect::Look(self.ahead()),
            At::Remove => Effect::Unlink(self.ahead()),
            At::Unlock(_) => Effect::Unlock(Slot::Ahead),
            At::Watch => Effect::Watch(Slot::Ahead),
            At::Sleep(until) => Effect::Sleep { until: *until },
            At::Look(look) => look.effect(),
            At::Signal(sentence) => sentence.effect(Slot::Judged),
            At::CloseLock(_) => Effect::Close(Slot::Judged),
            At::CloseAhead(_) => Effect::Close(Slot::Ahead),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        event: &Event,
    ) -> Outcome {
        match (self.at.clone(), event) {
            (At::Open, Event::Done) => self.go(At::List),
            (At::Open, Event::Absent) => self.leave(Ended::Missing),
            // Whoever cannot see the queue is first for all it knows; the mutex decides.
            (At::Open, _) => self.ours(),
            (At::List, Event::Listed(numbers)) => {
                let found = self.place.find(numbers);
                self.go(At::CloseQueue(found))
            }
            (At::List, _) => self.go(At::CloseQueue(Found::First)),
            (At::CloseQueue(Found::First), _) => self.ours(),
            (At::CloseQueue(Found::Missing), _) => self.leave(Ended::Missing),
            (At::CloseQueue(Found::Behind(line)), _) => self.found(context, now, mind, line),
            (At::OpenAhead(number), Event::Done) => {
                self.open = Some(number);
                self.go(At::Watch)
            }
            (At::OpenAhead(_), Event::Absent) => self.changed(context, now, mind),
            (At::OpenAhead(_), _) => self.ours(),
            (At::Stat(_), Event::Stat(stat)) if stat.links == 0 => {
                (self.open, self.file, self.past) = (None, None, true);
                self.changed(context, now, mind)
            }
            (At::Stat(wake), Event::Stat(stat)) => {
                self.file = Some(stat.id);
                self.go(At::Ask(wake, stat.id))
            }
            (At::Ask(_, id), Event::Done) => self.go(At::Check(id)),
            (At::Ask(wake, _), Event::Busy) => self.alive(context, now, mind, wake),
            (At::Stat(_) | At::Ask(..), _) => self.ours(),
            (At::Check(id), event) if event.leads_to(id) => self.go(At::Remove),
            (At::Check(_), Event::Stat(_) | Event::Absent)
            | (At::Remove, Event::Done | Event::Absent) => self.go(At::Unlock(Then::List)),
            // A dead waiter that cannot be cleared is in nobody's way.
            (At::Check(_) | At::Remove, _) => {
                let ours = Ended::Ours(self.place);
                self.go(At::Unlock(Then::Done(ours)))
            }
            (At::Unlock(then), _) => self.close(then),
            (At::Watch, event) => {
                (self.wakes, self.nap) = match event {
                    Event::Done => (Wakes::Events, FIRST_NAP),
                    _ => (Wakes::Polls, FIRST_POLL),
                };
                self.go(At::Stat(Wake::Changed))
            }
            (At::Sleep(_), Event::Woken(Wake::Cancelled)) => Flow::Done(Err(Failure::Cancelled)),
            (At::Sleep(_), Event::Woken(wake)) => self.woken(*wake),
            (At::Sleep(_), event) => Flow::Done(Err(Failure::of(&self.effect(), event))),
            (At::Look(look), event) => match look.step(context, now, event) {
                Flow::Go(look) => self.go(At::Look(look)),
                Flow::Done(Ok(looked)) => {
                    self.woken = looked.woken;
                    self.looked(context, now, mind, &looked.snapshot)
                }
                Flow::Done(Err(failure)) => Flow::Done(Err(failure)),
            },
            (At::CloseLock(next), _) => match (self.woken.take(), next) {
                (Some(wake), _) => self.woken(wake),
                (None, Next::List) => self.go(At::Open),
                (None, Next::Sleep) => self.sleep(context, now, mind),
            },
            (At::Signal(sentence), event) => match sentence.sent(Slot::Judged, event) {
                Ok(signalled) => {
                    self.sight = Sight::Held(sentence.until);
                    mind.signalled(context, now, sentence, &signalled);
                    self.go(At::CloseLock(Next::Sleep))
                }
                Err(failure) => Flow::Done(Err(failure)),
            },
            (At::CloseAhead(then), _) => match then {
                Then::Open(number) => self.go(At::OpenAhead(number)),
                Then::List => self.changed(context, now, mind),
                Then::Done(ended) => Flow::Done(Ok(ended)),
            },
        }
    }

    /// The one before us has to be looked at.
    fn woken(mut self, wake: Wake) -> Outcome {
        self.rounds = 0;
        match self.open {
            Some(_) => self.go(At::Stat(wake)),
            None => self.go(At::Open),
        }
    }

    /// Somebody is before us.
    fn found(mut self, context: &Context, now: Now, mind: &mut Mind, line: Before) -> Outcome {
        self.before = Some(line.count);
        mind.stands_behind(line.count);
        self.idle = self.idle.filter(|idle| idle.first == line.first);
        match self.open {
            Some(open) if open == line.ahead => self.stay_or_pass(context, now, mind, line),
            None if !self.past => self.go(At::OpenAhead(line.ahead)),
            _ => self.close(Then::Open(line.ahead)),
        }
    }

    /// Names change under us: each change is another's progress.
    fn changed(mut self, context: &Context, now: Now, mind: &mut Mind) -> Outcome {
        self.rounds += 1;
        if self.rounds <= MAX_ROUNDS {
            return self.go(At::Open);
        }
        let until = now.mono.after(context.policy.mutex_retry);
        mind.sleeps(now, until);
        self.go(At::Sleep(until))
    }

    /// The one before us lives.
    fn alive(mut self, context: &Context, now: Now, mind: &mut Mind, wake: Wake) -> Outcome {
        match (self.wakes, wake) {
            // Not at each of the short sleeps.
            (Wakes::Polls, Wake::Due) if self.nap < FIRST_NAP.min(self.longest(context)) => {
                self.sleep(context, now, mind)
            }
            (_, Wake::Due) => self.go(At::Look(Look::new(context.medium))),
            (_, Wake::Closed) => {
                self.nap = HAIR;
                self.sleep(context, now, mind)
            }
            _ => self.sleep(context, now, mind),
        }
    }

    fn longest(&self, context: &Context) -> Duration {
        let poll = context.policy.poll;
        let deep = LONGEST_NAP * self.before.unwrap_or(1).clamp(1, DEEPEST);
        let longest = match (self.idle, self.wakes) {
            (None, Wakes::Events) => poll * deep,
            _ => poll,
        };
        longest.min(context.policy.wait_limit.unwrap_or(longest))
    }

    fn sleep(mut self, context: &Context, now: Now, mind: &mut Mind) -> Outcome {
        let longest = self.longest(context);
        let nap = self.nap.min(longest);
        let next = match self.wakes {
            Wakes::Events => nap * 4,
            Wakes::Polls => nap + nap.max(FIRST_POLL * 4) / 4,
        };
        self.nap = next.min(longest);
        let until = now.mono.after(nap);
        let until = match self.sight {
            Sight::Held(held) if held > now.mono => until.min(held),
            _ => until,
        };
        mind.sleeps(now, until);
        self.go(At::Sleep(until))
    }

    /// A look at the lock, now and then: the first may be stopped, or more patient than we are.
    fn looked(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        snapshot: &Snapshot,
    ) -> Outcome {
        self.sight = match mind.decide(context, now, snapshot) {
            Decision::GiveUp(failure) => return Flow::Done(Err(failure)),
            Decision::Wait { until, sleep } => Sight::Held(until.min(now.mono.after(sleep))),
            Decision::Signal(sentence) => {
                self.idle = None;
                return self.go(At::Signal(sentence));
            }
            Decision::Take(_) => Sight::Ripe,
        };
        let is_held = matches!(self.sight, Sight::Held(_));
        self.idle = self.idle.filter(|_| !is_held);
        let Snapshot::Present(seen) = snapshot else { return self.go(At::Open) };
        // While it is another's, who is before us matters only for how long we sleep. When it is
        // the one's just before us, we may be the first.
        let list = !is_held || self.file == Some(seen.id) || self.before.is_none();
        self.go(At::CloseLock(if list { Next::List } else { Next::Sleep }))
    }

    /// The lock has been looked at, and the one before us is the same as before. While the lock is
    /// to be had, each of those before us has a poll's time to take it or to pass over the
    /// first; then it is our turn before theirs. Not if another has become first meanwhile:
    /// the queue gets on.
    fn stay_or_pass(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        line: Before,
    ) -> Outcome {
        if matches!(self.sight, Sight::Held(_)) {
            return self.sleep(context, now, mind);
        }
        let idle = self.idle.unwrap_or(Idle { first: line.first, since: now.mono });
        self.idle = Some(idle);
        if now.mono.since(idle.since) < context.policy.poll * line.count {
            return self.sleep(context, now, mind);
        }
        self.ours()
    }

    /// The number of the one before us.
    fn ahead(&self) -> Name {
        Name::Queued(self.open.unwrap_or_default())
    }

    fn ours(self) -> Outcome {
        let place = self.place;
        self.leave(Ended::Ours(place))
    }

    fn leave(self, ended: Ended) -> Outcome {
        match self.open {
            Some(_) => self.close(Then::Done(ended)),
            None => Flow::Done(Ok(ended)),
        }
    }

    fn close(mut self, then: Then) -> Outcome {
        (self.open, self.file, self.past) = (None, None, false);
        self.go(At::CloseAhead(then))
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
