//! One attempt in the mutex: look, decide, act.
//!
//! What is seen here is what is acted on: nobody else can change the lock meanwhile.

use alloc::boxed::Box;

use crate::decide::{Decision, Mind, Sentence};
use crate::effect::{Effect, Event};
use crate::generation::Draw;
use crate::inside::Inside;
use crate::look::{File, Look, Looked};
use crate::machine::{Acquired, Context, Failure, Flow, Takeover};
use crate::publish::{Publish, Published};
use crate::record::Generation;
use crate::snapshot::{FileId, Seen, Snapshot};
use crate::sweep::Sweep;
use crate::time::Now;

/// Becomes owner if the lock may be had. Begins and ends in the mutex.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    inside: Inside,
    /// A lock file that was gone before we came, and that is still open.
    past: Option<FileId>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Look(Look),
    /// A takeover follows a crash, so it is the time to clear up after one.
    Sweep {
        takeover: Takeover,
        sweep: Sweep,
    },
    Draw {
        takeover: Option<Takeover>,
        draw: Draw,
    },
    Publish {
        takeover: Option<Takeover>,
        publish: Publish,
    },
}

/// What came of it. The file that was looked at, if there was one, is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attempted {
    /// The lock is ours.
    Owned(Acquired),
    /// It has another owner, to be waited for.
    Wait { seen: FileId },
    /// Its owner is to be ended first.
    Signal { sentence: Sentence, seen: FileId },
    /// Something has changed that only a peer outside our mutex can have changed. What was past
    /// before may be open still.
    Again { past: Option<FileId> },
    /// There is nothing to be had.
    Failed(Failure),
}

impl Attempt {
    pub(crate) fn new(inside: Inside, past: Option<FileId>) -> Self {
        let medium = inside.medium;
        let look = past.map_or(Look::new(medium), |open| Look::again(medium, open));
        Self { inside, past, at: At::Look(look) }
    }

    pub(crate) const fn inside(&self) -> Inside {
        self.inside
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Look(look) => look.effect(),
            At::Sweep { sweep, .. } => sweep.effect(context),
            At::Draw { draw, .. } => draw.effect(context),
            At::Publish { publish, .. } => publish.effect(context),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        event: Event,
    ) -> Flow<Self, Attempted> {
        self.at = match self.at {
            At::Look(look) => match look.step(context, now, &event) {
                Flow::Go(look) => At::Look(look),
                Flow::Done(Err(failure)) => return failed(failure),
                Flow::Done(Ok(Looked { snapshot, file })) => {
                    let is_kept = snapshot == Snapshot::Absent && file == File::Same;
                    self.past = self.past.filter(|_| is_kept);
                    match decide(context, now, mind, snapshot, self.past) {
                        Flow::Go(None) => {
                            At::Draw { takeover: None, draw: Draw::new(Generation::default()) }
                        }
                        Flow::Go(Some(takeover)) => {
                            At::Sweep { takeover, sweep: Sweep::new(self.inside.medium) }
                        }
                        Flow::Done(attempted) => return Flow::Done(attempted),
                    }
                }
            },
            At::Sweep { takeover, sweep } => match sweep.step(context, now, event) {
                Flow::Go(sweep) => At::Sweep { takeover, sweep },
                Flow::Done(()) => {
                    let judged = takeover.from.as_ref().and_then(|record| record.generation());
                    let draw = Draw::new(judged.unwrap_or_default());
                    At::Draw { takeover: Some(takeover), draw }
                }
            },
            At::Draw { takeover, draw } => match draw.step(context, now, &event) {
                Flow::Go(draw) => At::Draw { takeover, draw },
                Flow::Done(Err(failure)) => return failed(failure),
                Flow::Done(Ok(generation)) => {
                    let replaced = takeover.as_ref();
                    let publish = Publish::new(context, now, &self.inside, generation, replaced);
                    At::Publish { takeover, publish }
                }
            },
            At::Publish { takeover, publish } => match publish.step(context, now, event) {
                Flow::Go(publish) => At::Publish { takeover, publish },
                Flow::Done(Ok(Published::Owned(ownership))) => {
                    return Flow::Done(Attempted::Owned(Acquired { ownership, takeover }));
                }
                Flow::Done(Ok(Published::Taken)) => {
                    return Flow::Done(Attempted::Again { past: self.past });
                }
                Flow::Done(Err(failure)) => return failed(failure),
            },
        };
        Flow::Go(self)
    }
}

/// Whether to take the lock, and from whom; or what else.
fn decide(
    context: &Context,
    now: Now,
    mind: &mut Mind,
    snapshot: Snapshot,
    past: Option<FileId>,
) -> Flow<Option<Takeover>, Attempted> {
    let owner = snapshot.record().cloned().map(Box::new);
    match (mind.decide(context, now, &snapshot), snapshot) {
        (Decision::Take(takeover), _) => Flow::Go(takeover),
        (Decision::GiveUp(failure), _) => Flow::Done(Attempted::Failed(failure)),
        (Decision::Wait { .. }, Snapshot::Present(seen)) if !context.policy.no_wait => {
            Flow::Done(Attempted::Wait { seen: seen.id })
        }
        (Decision::Wait { .. }, _) => Flow::Done(Attempted::Failed(Failure::Busy { owner })),
        (Decision::Signal(sentence), Snapshot::Present(Seen { id: seen, .. })) => {
            Flow::Done(Attempted::Signal { sentence, seen })
        }
        (Decision::Signal(_), Snapshot::Absent) => Flow::Done(Attempted::Again { past }),
    }
}

fn failed(failure: Failure) -> Flow<Attempt, Attempted> {
    Flow::Done(Attempted::Failed(failure))
}
