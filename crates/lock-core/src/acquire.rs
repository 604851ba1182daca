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
use crate::effect::{Effect, Event, Signal, Slot, Wake};
use crate::generation::Draw;
use crate::look::{File, Look, Looked};
use crate::machine::{Context, Failure, Flow, Machine, Medium, Ownership, Reason, Takeover};
use crate::mutex::{Enter, Entry, Inside};
use crate::policy::OnTimeout;
use crate::publish::{Publish, Published};
use crate::record::{Record, Token};
use crate::snapshot::{FileId, KernelLock, Seen, Snapshot};
use crate::time::{Boot, Now};
use crate::verdict::{Patience, Verdict, judge};

/// How long to leave a file alone whose writer has just closed it: the kernel tells of the
/// close a hair before it drops the lock.
const SETTLE: Duration = Duration::from_millis(1);
const SETTLE_ROUNDS: u8 = 10;

/// Becomes owner, or says why not.
///
/// Its end is [`Acquired`] or a [`Failure`]. Dropping it half way is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquire {
    medium: Medium,
    patience: Patience,
    sentence: Option<Sentence>,
    waiting: Option<Waiting>,
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

/// Whom a contender waits for, for those who want to tell a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// The owner, if its file can be read.
    pub owner: Option<Box<Record>>,
    /// Since when this contender has waited for it.
    pub since: Boot,
    /// When it will have waited long enough.
    pub until: Boot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Enter(Enter),
    LookInside {
        inside: Inside,
        look: Look,
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
    Watch {
        seen: FileId,
    },
    LookOutside {
        vigil: Option<Vigil>,
        look: Look,
    },
    Sleep {
        vigil: Vigil,
        until: Boot,
    },
    Signal {
        sentence: Sentence,
        then: Resume,
    },
}

/// Keeping an eye on one lock file, which stays open meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Vigil {
    file: FileId,
    wakes: Wakes,
    /// How many more short sleeps to spend on a writer that has just closed the file.
    settle: u8,
}

/// What ends a sleep early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wakes {
    Events,
    /// Nothing: this file system cannot watch, so look now and then.
    Polls,
}

/// An owner, or a mutex's holder, that is being ended before its lock is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sentence {
    pid: u32,
    since: Boot,
    token: Token,
    signal: Signal,
    /// When it should have worked.
    until: Boot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Restart,
    Wait { seen: FileId },
    Signal { sentence: Sentence },
    Done(Result<Acquired, Failure>),
}

/// Where to go on after a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Resume {
    /// The lock file's owner was ended: look again.
    Look,
    /// The mutex's holder was ended: try to enter again.
    Enter,
}

type Outcome = Flow<Acquire, Result<Acquired, Failure>>;

impl Acquire {
    /// A contender that begins now.
    #[must_use]
    pub fn new(context: &Context, now: Now) -> Self {
        let mut acquire = Self {
            medium: context.medium,
            patience: Patience::new(now),
            sentence: None,
            waiting: None,
            at: At::Watch {
                seen: FileId {
                    device: 0,
                    inode: 0,
                },
            },
        };
        acquire.at = acquire.enter(context);
        acquire
    }

    /// Whom it waits for, while it does.
    #[must_use]
    pub fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    fn enter(&self, context: &Context) -> At {
        let patience = match &self.sentence {
            Some(_) => context.policy.grace,
            None => context.policy.mutex_patience(),
        };
        At::Enter(Enter::contender(self.medium, patience))
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
            Err(Failure::MutexHeld {
                holder: Some(holder),
            }) if context.policy.on_timeout == OnTimeout::Stop => {
                match self.sentence_for(context, now, &holder) {
                    Some(sentence) => self.go(At::Signal {
                        sentence,
                        then: Resume::Enter,
                    }),
                    None => Flow::Done(Err(Failure::Survived {
                        owner: Some(holder),
                    })),
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
        match self.decide(context, now, &snapshot) {
            Decision::Take(takeover) => self.go(At::Draw {
                inside,
                takeover,
                draw: Draw::new(),
            }),
            Decision::Wait { .. } => match snapshot {
                Snapshot::Present(seen) if !context.policy.no_wait => {
                    self.leave(inside.abandon(), Then::Wait { seen: seen.id })
                }
                _ => self.give_up(inside, Failure::Busy { owner }),
            },
            Decision::Signal(sentence) => self.leave(inside.abandon(), Then::Signal { sentence }),
            Decision::GiveUp(failure) => self.give_up(inside, failure),
        }
    }

    /// The verdict, and what this contender's policy makes of it.
    fn decide(&mut self, context: &Context, now: Now, snapshot: &Snapshot) -> Decision {
        let Context { policy, here, .. } = context;
        let since = self.patience.since(policy, snapshot, now);
        let deadline = since.after(policy.max_wait);
        let from = snapshot.record().cloned().map(Box::new);
        self.waiting = None;
        let reason = match judge(policy, here, now, snapshot, since) {
            Verdict::Free => return Decision::Take(None),
            Verdict::Stale(stale) => Reason::Stale(stale),
            Verdict::TimedOut => Reason::TimedOut,
            Verdict::Wait { until } => {
                self.waiting = Some(Waiting {
                    owner: from,
                    since,
                    until: deadline,
                });
                return Decision::Wait { until };
            }
        };
        let dead = matches!(reason, Reason::Stale(stale) if !stale.owner_lives());
        match (policy.on_timeout, from) {
            (OnTimeout::Fail, owner) if !dead && now.boot >= deadline => {
                Decision::GiveUp(Failure::TimedOut { owner })
            }
            // Whoever means to give up rather than take over gains nothing from a silent
            // owner before its own time is up; that owner may yet come back.
            (OnTimeout::Fail, owner) if !dead => {
                self.waiting = Some(Waiting {
                    owner,
                    since,
                    until: deadline,
                });
                Decision::Wait { until: deadline }
            }
            (OnTimeout::Stop, Some(owner)) if !dead => self.stop(context, now, owner),
            (_, from) => Decision::Take(Some(Takeover { reason, from })),
        }
    }

    /// End the owner first, and take the lock only when the kernel says that it is gone.
    fn stop(&mut self, context: &Context, now: Now, owner: Box<Record>) -> Decision {
        match &self.sentence {
            Some(sentence) if sentence.token == owner.token && now.boot < sentence.until => {
                let (since, until) = (self.patience.began(), sentence.until);
                self.waiting = Some(Waiting {
                    owner: Some(owner),
                    since,
                    until,
                });
                Decision::Wait { until }
            }
            _ => match self.sentence_for(context, now, &owner) {
                Some(sentence) => Decision::Signal(sentence),
                None => Decision::GiveUp(Failure::Survived { owner: Some(owner) }),
            },
        }
    }

    /// The next thing to do to this owner: ask first, then kill; then there is nothing left.
    fn sentence_for(&self, context: &Context, now: Now, owner: &Record) -> Option<Sentence> {
        let signal = match &self.sentence {
            Some(last) if last.token == owner.token => match last.signal {
                Signal::Term => Signal::Kill,
                Signal::Kill => return None,
            },
            _ => Signal::Term,
        };
        Some(Sentence {
            pid: owner.pid,
            since: owner.detail.as_ref().map_or(Boot(0), |detail| detail.since),
            token: owner.token.clone(),
            signal,
            until: now.boot.after(context.policy.grace),
        })
    }

    fn published(
        self,
        inside: Inside,
        takeover: Option<Takeover>,
        outcome: Result<Published, Failure>,
    ) -> Outcome {
        match outcome {
            Ok(Published::Owned(ownership)) => {
                let chores = match takeover {
                    Some(_) => inside.leave().close(Slot::Judged),
                    None => inside.leave(),
                };
                self.leave(
                    chores,
                    Then::Done(Ok(Acquired {
                        ownership,
                        takeover,
                    })),
                )
            }
            // Only a peer that was not in our mutex can have done that; look again.
            Ok(Published::Taken) => self.leave(inside.abandon(), Then::Restart),
            Err(failure) => self.give_up(inside, failure),
        }
    }

    /// A look outside the mutex: is there anything to be had?
    fn looked_outside(
        mut self,
        context: &Context,
        now: Now,
        vigil: Option<Vigil>,
        outcome: Result<Looked, Failure>,
    ) -> Outcome {
        let Looked { snapshot, file } = match outcome {
            Ok(looked) => looked,
            Err(failure) => return Flow::Done(Err(failure)),
        };
        let decision = self.decide(context, now, &snapshot);
        match (decision, snapshot, vigil) {
            (Decision::Wait { until }, Snapshot::Present(seen), Some(vigil))
                if file == File::Same =>
            {
                self.sleep(context, now, &seen, vigil, until)
            }
            (Decision::Wait { .. }, Snapshot::Present(seen), _) => {
                self.go(At::Watch { seen: seen.id })
            }
            (Decision::Signal(sentence), ..) => self.go(At::Signal {
                sentence,
                then: Resume::Look,
            }),
            (Decision::GiveUp(failure), ..) => Flow::Done(Err(failure)),
            (_, Snapshot::Present(_), _) => {
                self.leave(Chores::new().close(Slot::Judged), Then::Restart)
            }
            (_, Snapshot::Absent, _) => self.restart(context),
        }
    }

    fn sleep(self, context: &Context, now: Now, seen: &Seen, vigil: Vigil, until: Boot) -> Outcome {
        let longest = match (vigil.wakes, seen.kernel) {
            (_, KernelLock::Held) if vigil.settle > 0 => SETTLE,
            (Wakes::Polls, _) => context.policy.poll,
            (Wakes::Events, _) => Duration::MAX,
        };
        let vigil = Vigil {
            settle: vigil.settle.saturating_sub(1),
            ..vigil
        };
        self.go(At::Sleep {
            vigil,
            until: until.min(now.boot.after(longest)),
        })
    }

    fn woken(self, mut vigil: Vigil, event: &Event) -> Outcome {
        match event {
            Event::Woken(Wake::Cancelled) => return Flow::Done(Err(Failure::Cancelled)),
            Event::Woken(Wake::Closed) => vigil.settle = SETTLE_ROUNDS,
            Event::Woken(Wake::Changed | Wake::Due) => {}
            event => {
                let effect = Effect::Sleep { until: Boot(0) };
                return Flow::Done(Err(Failure::of(&effect, event)));
            }
        }
        let look = Look::again(self.medium, vigil.file);
        self.go(At::LookOutside {
            vigil: Some(vigil),
            look,
        })
    }

    fn signalled(
        mut self,
        context: &Context,
        sentence: Sentence,
        then: &Resume,
        event: &Event,
    ) -> Outcome {
        match event {
            // No such process: the lock is held by something that it left behind, or by a
            // process that we cannot see. Wait and see, then try harder.
            Event::Done | Event::Absent => self.sentence = Some(sentence),
            event => {
                let Sentence {
                    pid, since, signal, ..
                } = sentence;
                let effect = Effect::Signal { pid, since, signal };
                return Flow::Done(Err(Failure::of(&effect, event)));
            }
        }
        match then {
            Resume::Enter => self.restart(context),
            Resume::Look => self.leave(Chores::new().close(Slot::Judged), Then::Restart),
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
            (_, Then::Done(Err(failure))) | (Err(failure), _) => Flow::Done(Err(failure)),
            (Ok(()), Then::Done(acquired)) => Flow::Done(acquired),
            (Ok(()), Then::Wait { seen }) => self.go(At::Watch { seen }),
            (Ok(()), Then::Signal { sentence }) => self.go(At::Signal {
                sentence,
                then: Resume::Look,
            }),
            (Ok(()), Then::Restart) => self.restart(context),
        }
    }

    fn restart(mut self, context: &Context) -> Outcome {
        self.at = self.enter(context);
        Flow::Go(self)
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}

/// What to do about a snapshot.
enum Decision {
    Take(Option<Takeover>),
    Wait { until: Boot },
    Signal(Sentence),
    GiveUp(Failure),
}

impl Machine for Acquire {
    type Output = Result<Acquired, Failure>;

    fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Enter(enter) => enter.effect(context),
            At::LookInside { look, .. } | At::LookOutside { look, .. } => look.effect(),
            At::Draw { draw, .. } => draw.effect(),
            At::Publish { publish, .. } => publish.effect(context),
            At::Leave { chores, .. } => chores.effect(context),
            At::Watch { .. } => Effect::Watch(Slot::Judged),
            At::Sleep { until, .. } => Effect::Sleep { until: *until },
            At::Signal {
                sentence: Sentence {
                    pid, since, signal, ..
                },
                ..
            } => Effect::Signal {
                pid: *pid,
                since: *since,
                signal: *signal,
            },
        }
    }

    fn step(mut self, context: &Context, now: Now, event: Event) -> Outcome {
        let parked = At::Watch {
            seen: FileId {
                device: 0,
                inode: 0,
            },
        };
        match core::mem::replace(&mut self.at, parked) {
            At::Enter(enter) => match enter.step(context, now, event) {
                Flow::Go(enter) => self.go(At::Enter(enter)),
                Flow::Done(outcome) => self.entered(context, now, outcome),
            },
            At::LookInside { inside, look } => match look.step(&event) {
                Flow::Go(look) => self.go(At::LookInside { inside, look }),
                Flow::Done(outcome) => self.looked_inside(context, now, inside, outcome),
            },
            At::Draw {
                inside,
                takeover,
                draw,
            } => match draw.step(context, &event) {
                Flow::Go(draw) => self.go(At::Draw {
                    inside,
                    takeover,
                    draw,
                }),
                Flow::Done(Ok(generation)) => {
                    let replaces = takeover.is_some();
                    let publish = Publish::new(context, now, &inside, generation, replaces);
                    self.go(At::Publish {
                        inside,
                        takeover,
                        publish,
                    })
                }
                Flow::Done(Err(failure)) => self.give_up(inside, failure),
            },
            At::Publish {
                inside,
                takeover,
                publish,
            } => match publish.step(context, now, event) {
                Flow::Go(publish) => self.go(At::Publish {
                    inside,
                    takeover,
                    publish,
                }),
                Flow::Done(outcome) => self.published(inside, takeover, outcome),
            },
            At::Leave { chores, then } => match chores.step(context, now, event) {
                Flow::Go(chores) => self.go(At::Leave { chores, then }),
                Flow::Done(outcome) => self.left(context, outcome, then),
            },
            // The watch is set: look again before sleeping, or a change in between is lost.
            At::Watch { seen } => {
                let wakes = if event == Event::Done {
                    Wakes::Events
                } else {
                    Wakes::Polls
                };
                let vigil = Vigil {
                    file: seen,
                    wakes,
                    settle: 0,
                };
                let look = Look::again(self.medium, seen);
                self.go(At::LookOutside {
                    vigil: Some(vigil),
                    look,
                })
            }
            At::LookOutside { vigil, look } => match look.step(&event) {
                Flow::Go(look) => self.go(At::LookOutside { vigil, look }),
                Flow::Done(outcome) => self.looked_outside(context, now, vigil, outcome),
            },
            At::Sleep { vigil, .. } => self.woken(vigil, &event),
            At::Signal { sentence, then } => self.signalled(context, sentence, &then, &event),
        }
    }
}
