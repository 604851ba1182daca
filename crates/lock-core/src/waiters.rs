//! Reading who stands in the queue, in order, without standing there.
//!
//! What this shows is for people; whoever waits looks for itself.

use alloc::vec::Vec;

use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Context, Flow, Machine};
use crate::record::Record;
use crate::time::Now;

/// Reads the tickets of those who wait and live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiters {
    /// Still to be read; the next one last.
    numbers: Vec<u64>,
    found: Vec<Record>,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    OpenQueue,
    List,
    CloseQueue,
    Open(u64),
    /// In shared mode, so that nobody takes us for a waiter.
    Ask,
    Unlock,
    Read,
    Close,
}

impl Waiters {
    /// Begins with the queue's directory.
    #[must_use]
    pub const fn new() -> Self {
        Self { numbers: Vec::new(), found: Vec::new(), at: At::OpenQueue }
    }

    fn next(mut self) -> Flow<Self, Vec<Record>> {
        match self.numbers.pop() {
            Some(number) => self.go(At::Open(number)),
            None => Flow::Done(self.found),
        }
    }

    fn go(mut self, at: At) -> Flow<Self, Vec<Record>> {
        self.at = at;
        Flow::Go(self)
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Waiters {
    type Output = Vec<Record>;

    fn effect(&self, _: &Context) -> Effect {
        match self.at {
            At::OpenQueue => Effect::Open { slot: Slot::Queue, name: Name::Queue, write: false },
            At::List => Effect::List(Slot::Queue),
            At::CloseQueue => Effect::Close(Slot::Queue),
            At::Open(number) => {
                Effect::Open { slot: Slot::Ahead, name: Name::Queued(number), write: false }
            }
            At::Ask => Effect::Lock(Slot::Ahead, Share::Shared),
            At::Unlock => Effect::Unlock(Slot::Ahead),
            At::Read => Effect::Read(Slot::Ahead),
            At::Close => Effect::Close(Slot::Ahead),
        }
    }

    fn step(mut self, _: &Context, _: Now, event: Event) -> Flow<Self, Self::Output> {
        match (self.at, event) {
            (At::OpenQueue, Event::Done) => self.go(At::List),
            (At::OpenQueue, _) => Flow::Done(self.found),
            (At::List, Event::Listed(mut numbers)) => {
                numbers.sort_unstable_by(|one, other| other.cmp(one));
                self.numbers = numbers;
                self.go(At::CloseQueue)
            }
            (At::List, _) => self.go(At::CloseQueue),
            (At::Open(_), Event::Done) => self.go(At::Ask),
            // It is gone already.
            (At::CloseQueue | At::Open(_) | At::Close, _) => self.next(),
            // It is dead.
            (At::Ask, Event::Done) => self.go(At::Unlock),
            (At::Ask, Event::Busy) => self.go(At::Read),
            (At::Read, Event::Bytes(bytes)) => {
                self.found.extend(Record::parse(&bytes));
                self.go(At::Close)
            }
            (At::Ask | At::Unlock | At::Read, _) => self.go(At::Close),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::Acquire;
    use crate::testing::disk::Disk;
    use crate::testing::worker::Worker;
    use crate::testing::{owner, process};

    fn seen(disk: &mut Disk) -> Vec<u32> {
        let waiters = Worker::new(process("person"), Waiters::new()).run(disk);
        assert_eq!(disk.open_slots(process("person").pid), []);
        waiters.iter().map(|record| record.pid).collect()
    }

    #[test]
    fn who_waits_is_shown_in_order_and_the_dead_are_not() {
        let mut disk = Disk::new();
        assert_eq!(seen(&mut disk), []);
        owner(&mut disk, "o");
        let line = ["x", "dead", "b"].map(|name| {
            let machine = Acquire::new(&process(name), disk.now);
            Worker::new(process(name), machine).until(&mut disk, "Sleep")
        });
        disk.let_go(process("dead").pid);
        assert_eq!(seen(&mut disk), [process("x").pid, process("b").pid]);
        assert_eq!(disk.complaints(), [""; 0]);
        drop(line);
    }
}
