//! Removing names and letting go of files: what the other machines end with.

use alloc::collections::VecDeque;

use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Failure, Flow, Machine, Medium};
use crate::snapshot::FileId;
use crate::time::Now;

/// A list of things to do in order. Each is tried, whatever became of the one before; the
/// first failure is reported at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Chores {
    tasks: VecDeque<Task>,
    failure: Option<Failure>,
}

/// A file that a machine has left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeftOpen {
    /// Where it is.
    pub slot: Slot,
    /// Whether we hold the kernel's lock on it.
    pub locked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// Remove the name if it still leads to this inode, whose kernel lock we hold.
    Vacate(Name, FileId),
    /// The look said so: remove it now. Sound because we hold the inode's kernel lock and
    /// it is open: nobody else may unlink or replace a name that leads to it, and its
    /// number cannot be another inode's.
    Remove(Name),
    /// The same, and no matter what comes of it.
    Forget(Name),
    Do(Effect),
}

impl Chores {
    /// What follows the end of a machine: lets go of the files that it has left open, except
    /// those that an owner needs. Nothing, if there are none.
    #[must_use]
    pub fn letting_go(files: impl IntoIterator<Item = LeftOpen>) -> Option<Self> {
        let mut chores = Self::new();
        for LeftOpen { slot, locked } in files {
            if locked {
                chores.tasks.push_back(Task::Do(Effect::Unlock(slot)));
            }
            chores = chores.close(slot);
        }
        (!chores.is_empty()).then_some(chores)
    }

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

    /// For names that only whoever is in the mutex may use at all.
    pub(crate) fn remove(mut self, name: Name) -> Self {
        self.tasks.push_back(Task::Remove(name));
        self
    }

    /// For our own number in the queue, which nobody else is given while we stand there. Should
    /// it stay behind, it is one dead waiter for the next to clear.
    pub(crate) fn forget(mut self, number: u64) -> Self {
        self.tasks.push_back(Task::Forget(Name::Queued(number)));
        self
    }

    pub(crate) fn close(mut self, slot: Slot) -> Self {
        self.tasks.push_back(Task::Do(Effect::Close(slot)));
        self
    }

    /// Lets go of a file that is kernel-locked by us, where there are such locks.
    pub(crate) fn let_go(mut self, slot: Slot, medium: Medium) -> Self {
        if medium.has_kernel_locks() {
            self.tasks.push_back(Task::Do(Effect::Unlock(slot)));
        }
        self.close(slot)
    }

    /// Lets go of a dead process's file that we had locked exclusively. The same inode may
    /// be the lock as well, if its maker died as owner, and whoever asked meanwhile
    /// whether that owner lives took our lock for its: the touch wakes it to ask again.
    pub(crate) fn let_go_of_the_dead(mut self, slot: Slot, medium: Medium) -> Self {
        if medium.has_kernel_locks() {
            self.tasks.push_back(Task::Do(Effect::Unlock(slot)));
            self.tasks.push_back(Task::Do(Effect::Touch(slot)));
        }
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
            Some(Task::Remove(name) | Task::Forget(name)) => Effect::Unlink(*name),
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
            // A courtesy to waiters, who look again in time anyway.
            (Some(Task::Do(Effect::Touch(_)) | Task::Forget(_)), _) => {}
            (_, event) => {
                self.failure.get_or_insert_with(|| Failure::of(&effect, event));
            }
        }
        if !self.tasks.is_empty() {
            return Flow::Go(self);
        }
        Flow::Done(self.failure.map_or(Ok(()), Err))
    }
}
