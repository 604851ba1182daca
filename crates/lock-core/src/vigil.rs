//! Waiting outside the mutex for one owner: watch, look again, sleep.

use core::time::Duration;

use crate::decide::{Decision, Mind, Sentence};
use crate::effect::{Effect, Event, Slot, Wake};
use crate::look::{File, Look, Looked};
use crate::machine::{Context, Failure, Flow, Medium};
use crate::nap::Wakes;
use crate::snapshot::{FileId, KernelLock, Seen, Snapshot};
use crate::time::{Mono, Now};

/// The kernel tells of a close a hair before it drops the lock, and of the drop itself it
/// tells nobody. So whoever has just been told, or has begun to watch and may have come too
/// late to be told, sleeps in short naps at first, each twice as long as the one before: a
/// drop is noticed within the time again that it took, and a second of this is enough.
const FIRST_NAP: Duration = Duration::from_millis(1);
const NAPS: u8 = 10;

/// Keeps an eye on one lock file, which stays open in [`Slot::Judged`] meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vigil {
    medium: Medium,
    /// Which one, once there is one.
    file: Option<FileId>,
    wakes: Wakes,
    /// How many naps are left before a long sleep.
    naps: u8,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Watch,
    Look(Look),
    Sleep { until: Mono },
}

/// Why the wait is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// There is no lock file any more. This one, that there was, is still open.
    Gone { open: Option<FileId> },
    /// There is something to be had: enter the mutex and look once more. The file is open.
    Ripe,
    /// The owner is to be ended first. The file is open.
    Signal { sentence: Sentence, seen: FileId },
}

type Outcome = Flow<Vigil, Result<Ended, Failure>>;

impl Vigil {
    /// Over whatever is there: nothing has been looked at yet.
    pub(crate) const fn beginning(medium: Medium) -> Self {
        let at = At::Look(Look::new(medium));
        Self { medium, file: None, wakes: Wakes::Polls, naps: 0, at }
    }

    /// Over the file that has just been looked at and is open.
    pub(crate) const fn new(medium: Medium, file: FileId) -> Self {
        Self { medium, file: Some(file), wakes: Wakes::Polls, naps: 0, at: At::Watch }
    }

    pub(crate) fn effect(&self) -> Effect {
        match &self.at {
            At::Watch => Effect::Watch(Slot::Judged),
            At::Look(look) => look.effect(),
            At::Sleep { until } => Effect::Sleep { until: *until },
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        event: &Event,
    ) -> Outcome {
        match self.at.clone() {
            // The watch is set: look again before sleeping, or a change in between is lost.
            At::Watch => {
                self.wakes = match event {
                    Event::Done => Wakes::Events,
                    _ => Wakes::Polls,
                };
                self.naps = NAPS;
                self.look()
            }
            At::Look(look) => match look.step(context, now, event) {
                Flow::Go(look) => self.go(At::Look(look)),
                Flow::Done(Ok(looked)) => self.looked(context, now, mind, looked),
                Flow::Done(Err(failure)) => Flow::Done(Err(failure)),
            },
            At::Sleep { .. } => match event {
                Event::Woken(Wake::Cancelled) => Flow::Done(Err(Failure::Cancelled)),
                Event::Woken(wake) => {
                    if *wake == Wake::Closed {
                        self.naps = NAPS;
                    }
                    self.look()
                }
                event => Flow::Done(Err(Failure::of(&self.effect(), event))),
            },
        }
    }

    fn looked(self, context: &Context, now: Now, mind: &mut Mind, looked: Looked) -> Outcome {
        let Looked { snapshot, file } = looked;
        match (mind.decide(context, now, &snapshot), snapshot) {
            (Decision::GiveUp(failure), _) => Flow::Done(Err(failure)),
            (_, Snapshot::Absent) => {
                let open = self.file.filter(|_| file == File::Same);
                Flow::Done(Ok(Ended::Gone { open }))
            }
            (Decision::Signal(sentence), Snapshot::Present(Seen { id: seen, .. })) => {
                Flow::Done(Ok(Ended::Signal { sentence, seen }))
            }
            (Decision::Take(_), Snapshot::Present(_)) => Flow::Done(Ok(Ended::Ripe)),
            (Decision::Wait { until, sleep }, Snapshot::Present(seen)) => match file {
                File::Same => {
                    let until = until.min(now.mono.after(sleep));
                    self.sleep(context, now, mind, &seen, until)
                }
                File::New => Flow::Go(Self::new(self.medium, seen.id)),
            },
        }
    }

    fn sleep(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        seen: &Seen,
        until: Mono,
    ) -> Outcome {
        let longest = match self.wakes {
            Wakes::Events => Duration::MAX,
            Wakes::Polls => context.policy.poll,
        };
        let nap = match (seen.kernel, self.naps) {
            (KernelLock::Held, 1..) => FIRST_NAP * (1 << (NAPS - self.naps)),
            _ => Duration::MAX,
        };
        self.naps = self.naps.saturating_sub(1);
        let until = until.min(now.mono.after(longest.min(nap)));
        mind.sleeps(now, until);
        self.go(At::Sleep { until })
    }

    fn look(self) -> Outcome {
        let look = match self.file {
            Some(file) => Look::again(self.medium, file),
            None => Look::new(self.medium),
        };
        self.go(At::Look(look))
    }

    fn go(mut self, at: At) -> Outcome {
        self.at = at;
        Flow::Go(self)
    }
}
