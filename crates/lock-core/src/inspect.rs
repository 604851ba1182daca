//! Looking at a lock without wanting it.

use crate::effect::{Effect, Event};
use crate::look::{Look, Looked};
use crate::machine::{Context, Failure, Flow, Machine};
use crate::snapshot::Snapshot;
use crate::time::Now;

/// Takes a snapshot without entering the mutex. Since an owner rewrites its record in
/// place, a torn read is possible in principle: so the file is read until two reads in a
/// row agree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inspect {
    look: Look,
    last: Option<Snapshot>,
}

impl Inspect {
    /// Begins with the lock's file.
    #[must_use]
    pub const fn new(context: &Context) -> Self {
        Self { look: Look::new(context.medium), last: None }
    }
}

impl Machine for Inspect {
    type Output = Result<Snapshot, Failure>;

    fn effect(&self, _: &Context) -> Effect {
        self.look.effect()
    }

    fn step(self, context: &Context, now: Now, event: Event) -> Flow<Self, Self::Output> {
        let snapshot = match self.look.step(context, now, &event) {
            Flow::Go(look) => return Flow::Go(Self { look, ..self }),
            Flow::Done(Ok(Looked { snapshot, .. })) => snapshot,
            Flow::Done(Err(failure)) => return Flow::Done(Err(failure)),
        };
        match &snapshot {
            Snapshot::Present(seen) if self.last.as_ref() != Some(&snapshot) => {
                let look = Look::again(context.medium, seen.id);
                Flow::Go(Self { look, last: Some(snapshot) })
            }
            _ => Flow::Done(Ok(snapshot)),
        }
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
