//! The whole way through the queue: look whether anybody waits, take a number, wait for one's
//! turn.

use crate::decide::Mind;
use crate::effect::{Effect, Event};
use crate::machine::{Context, Failure, Flow, Medium};
use crate::own::Own;
use crate::queue::{Arrive, Arrived, FIRST_NUMBER, Join, Place};
use crate::time::Now;
use crate::turn::{Ended, Turn};

/// Stands in line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    medium: Medium,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Arrive(Arrive),
    Join(Join),
    Turn(Turn),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stood {
    /// Nobody waits: try without a number.
    First,
    /// It is this ticket's turn.
    Ours(Place),
    /// There is no queue to be had here.
    Nowhere,
    /// Our number is gone, and our ticket is of no more use.
    Missing,
}

type Outcome = Flow<Line, Result<Stood, Failure>>;

impl Line {
    /// For a newcomer, who has not looked yet.
    pub(crate) const fn arriving(medium: Medium) -> Self {
        Self { medium, at: At::Arrive(Arrive::Open) }
    }

    /// For one who has seen that it has to wait.
    pub(crate) fn joining(medium: Medium) -> Self {
        Self { medium, at: At::Join(Join::new(medium, None)) }
    }

    /// For one who has a ticket to wait with.
    pub(crate) const fn joining_with(own: Own) -> Self {
        Self { medium: own.medium, at: At::Join(Join::with(own)) }
    }

    /// Our place, once we have one.
    pub(crate) const fn place(&self) -> Option<Place> {
        match &self.at {
            At::Turn(turn) => Some(turn.place()),
            At::Arrive(_) | At::Join(_) => None,
        }
    }

    /// Whether the ticket of one before us that has ended is still open.
    pub(crate) const fn has_past(&self) -> bool {
        match &self.at {
            At::Turn(turn) => turn.has_past(),
            At::Arrive(_) | At::Join(_) => false,
        }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Arrive(arrive) => arrive.effect(),
            At::Join(join) => join.effect(context),
            At::Turn(turn) => turn.effect(),
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        mind: &mut Mind,
        event: Event,
    ) -> Outcome {
        self.at = match self.at {
            At::Arrive(arrive) => match arrive.step(context, now, &event) {
                Flow::Go(arrive) => At::Arrive(arrive),
                Flow::Done(Arrived::Nobody | Arrived::First) => {
                    return Flow::Done(Ok(Stood::First));
                }
                Flow::Done(Arrived::NoQueue) => return Flow::Done(Ok(Stood::Nowhere)),
                Flow::Done(Arrived::Behind(number)) => {
                    At::Join(Join::new(self.medium, Some(number)))
                }
            },
            At::Join(join) => match join.step(context, now, event) {
                Flow::Go(join) => At::Join(join),
                // A number is one larger than another that was there a moment ago, so nobody is
                // between the two, and before the first there is nobody at all.
                Flow::Done(Some(place)) => match place.number {
                    0..=FIRST_NUMBER => return Flow::Done(Ok(Stood::Ours(place))),
                    number => At::Turn(Turn::behind(place, number - 1)),
                },
                Flow::Done(None) => return Flow::Done(Ok(Stood::Nowhere)),
            },
            At::Turn(turn) => match turn.step(context, now, mind, &event) {
                Flow::Go(turn) => At::Turn(turn),
                Flow::Done(outcome) => {
                    return Flow::Done(outcome.map(|ended| match ended {
                        Ended::Ours(place) => Stood::Ours(place),
                        Ended::Missing => Stood::Missing,
                    }));
                }
            },
        };
        Flow::Go(self)
    }
}
