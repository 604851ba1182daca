//! Removing names and letting go of files: what the other machines end with.

use alloc::collections::VecDeque;

use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Failure, Flow, Machine};
use crate::snapshot::FileId;
use crate::time::Now;

/// A list of things to do in order. Each is tried, whatever became of the one before; the
/// first failure is reported at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Chores {
    tasks: VecDeque<Task>,
    failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// Remove the name if it still leads to this inode, whose kernel lock we hold.
    Vacate(Name, FileId),
    /// The look said so: remove it now. Sound because we hold the inode's kernel lock and
    /// it is open: nobody else may unlink or replace a name that leads to it, and its
    /// number cannot be another inode's.
    Remove(Name),
    Do(Effect),
}

impl Chores {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(crate) fn vacate(mut self, name: Name, id: FileId) -> Self {
        self.tasks.push_back(Task::Vacate(name, id));
        self
    }

    pub(crate) fn close(mut self, slot: Slot) -> Self {
        self.tasks.push_back(Task::Do(Effect::Close(slot)));
        self
    }

    pub(crate) fn unlock_and_close(mut self, slot: Slot) -> Self {
        self.tasks.push_back(Task::Do(Effect::Unlock(slot)));
        self.close(slot)
    }

    pub(crate) fn then(mut self, mut later: Self) -> Self {
        self.tasks.append(&mut later.tasks);
        self
    }
}

impl Machine for Chores {
    type Output = Result<(), Failure>;

    fn effect(&self, _: &Context) -> Effect {
        match self.tasks.front() {
            Some(Task::Vacate(name, _)) => Effect::Look(*name),
            Some(Task::Remove(name)) => Effect::Unlink(*name),
            Some(Task::Do(effect)) => effect.clone(),
            // Never reached: a list is only ever entered with something on it. Harmless
            // if it were: an unlock of what is not locked does nothing.
            None => Effect::Unlock(Slot::Ticket),
        }
    }

    fn step(mut self, context: &Context, _: Now, event: Event) -> Flow<Self, Self::Output> {
        let effect = self.effect(context);
        match (self.tasks.pop_front(), &event) {
            (Some(Task::Vacate(name, id)), event) if event.leads_to(id) => {
                self.tasks.push_front(Task::Remove(name));
            }
            (Some(Task::Vacate(..)), Event::Stat(_)) | (_, Event::Done | Event::Absent) => {}
            (_, event) => {
                self.failure
                    .get_or_insert_with(|| Failure::of(&effect, event));
            }
        }
        if !self.tasks.is_empty() {
            return Flow::Go(self);
        }
        Flow::Done(self.failure.map_or(Ok(()), Err))
    }
}
