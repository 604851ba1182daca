//! What a crash can leave that only a reaper with the dead inode's lock to itself can clear.

use super::*;
use crate::Acquire;
use crate::testing::disk::Disk;
use crate::testing::worker::Worker;
use crate::testing::{owner, process};

/// An owner that could not remove its reclaim lock, and died in its next stay in the mutex.
fn twins() -> Disk {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    for name in [Name::Mutex, Name::Reclaim] {
        assert_eq!(disk.call(&context, &Effect::Link(Slot::Ticket, name)), Event::Done);
    }
    disk.let_go(context.pid);
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex", "Reclaim"]);
    disk
}

#[test]
fn a_dead_ticket_that_is_mutex_and_reclaim_lock_at_once_is_cleared() {
    let mut disk = twins();
    let contender = Worker::<Acquire>::contender(&disk, process("a"));
    assert!(contender.run(&mut disk).is_ok());
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Each of them keeps the other from having the dead inode's lock to itself.
#[test]
fn two_that_find_such_a_ticket_at_once_clear_it_one_after_the_other() {
    let mut disk = twins();
    let other = Worker::<Acquire>::contender(&disk, process("b"));
    let other = other.after(&mut disk, "Lock(Guard, Shared)");
    let contender = Worker::<Acquire>::contender(&disk, process("a")).until(&mut disk, "Sleep");
    let other = other.until(&mut disk, "Lock(Judged, Shared)");
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex"]);
    assert!(other.run(&mut disk).is_ok());
    drop(contender);
}
