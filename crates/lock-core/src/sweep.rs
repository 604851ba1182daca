//! Clearing a reclaim lock that a crash has left without a mutex.
//!
//! Such a file harms nobody: it is looked at only when a mutex is to be reaped. But nobody
//! else would ever remove it.

use crate::chores::Chores;
use crate::claim::Role;
use crate::effect::{Effect, Event, Name, Slot};
use crate::examine::{Examine, Examined};
use crate::machine::{Context, Flow, Machine, Medium};
use crate::time::Now;

/// Removes a dead reclaim lock, by the same rule as a reaper does. Whatever fails, fails in
/// silence: this is a courtesy, and the lock is more important.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sweep {
    medium: Medium,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Examine(Examine),
    Clear(Chores),
}

impl Sweep {
    pub(crate) fn new(medium: Medium) -> Self {
        let examine = Examine::new(Role::Reclaim, medium, None);
        Self { medium, at: At::Examine(examine) }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        match &self.at {
            At::Examine(examine) => examine.effect(),
            At::Clear(chores) => chores.effect(context),
        }
    }

    pub(crate) fn step(mut self, context: &Context, now: Now, event: Event) -> Flow<Self, ()> {
        self.at = match self.at {
            At::Examine(examine) => match examine.step(context, now, &event) {
                Flow::Go(examine) => At::Examine(examine),
                Flow::Done(Ok(Examined::Gone) | Err(_)) => return Flow::Done(()),
                Flow::Done(Ok(Examined::Dead(id))) => {
                    let chores = Chores::new().vacate(Name::Reclaim, id);
                    At::Clear(chores.let_go_of_the_dead(Slot::Rival, self.medium))
                }
                Flow::Done(Ok(_)) => At::Clear(Chores::new().close(Slot::Rival)),
            },
            At::Clear(chores) => match chores.step(context, now, event) {
                Flow::Go(chores) => At::Clear(chores),
                Flow::Done(_) => return Flow::Done(()),
            },
        };
        Flow::Go(self)
    }
}
