//! Reading what stands in the mutex, without wanting it.
//!
//! The kernel is not asked whether its holder lives: an asker could be taken for a holder by
//! a contender that makes its mutex and locks it only then. What this shows is for people.

use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Flow, Machine};
use crate::record::Record;
use crate::time::Now;

/// Reads the mutex's record, if it is there and can be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peek {
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    Read,
}

impl Peek {
    /// Begins with opening it.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: At::Open }
    }
}

impl Default for Peek {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Peek {
    type Output = Option<Record>;

    fn effect(&self, _: &Context) -> Effect {
        match self.at {
            At::Open => Effect::Open { slot: Slot::Guard, name: Name::Mutex, write: false },
            At::Read => Effect::Read(Slot::Guard),
        }
    }

    fn step(self, _: &Context, _: Now, event: Event) -> Flow<Self, Self::Output> {
        match (self.at, event) {
            (At::Open, Event::Done) => Flow::Go(Self { at: At::Read }),
            (At::Read, Event::Bytes(bytes)) => Flow::Done(Record::parse(&bytes).ok()),
            (At::Open | At::Read, _) => Flow::Done(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::Acquire;
    use crate::effect::Errno;
    use crate::testing::disk::Disk;
    use crate::testing::process;
    use crate::testing::worker::Worker;

    fn peek() -> Worker<Peek> {
        Worker::new(process("person"), Peek::new())
    }

    #[test]
    fn whoever_is_in_the_mutex_is_seen_and_not_disturbed() {
        let mut disk = Disk::new();
        let mut nobody = Disk::new();
        assert_eq!(peek().run(&mut nobody), None);
        let context = process("c");
        let machine = Acquire::new(&context, disk.now);
        let contender =
            Worker::new(context.clone(), machine).until(&mut disk, "Link(Ticket, Lock)");
        let seen = peek().run(&mut disk).expect("because it is there");
        assert_eq!((seen.pid, &seen.token), (context.pid, &context.token));
        assert!(contender.run(&mut disk).is_ok());
        assert_eq!(disk.complaints(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        let mut disk = Disk::new();
        let mut peek = peek();
        peek.feed(&mut disk, Event::Done);
        peek.feed(&mut disk, Event::Failed(Errno(5)));
        assert_eq!(peek.run(&mut disk), None);
    }
}
