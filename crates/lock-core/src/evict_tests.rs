//! Scripted runs of a person who takes a lock away.

use super::*;
use crate::effect::{Errno, Slot};
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{owner, preemptible_owner, process};

fn evict(disk: &mut Disk, only: Option<Generation>) -> Worker<Evict> {
    let context = process("person");
    disk.let_go(context.pid);
    let machine = Evict::new(&context, only);
    Worker::new(context, machine)
}

#[test]
fn a_living_owner_that_has_agreed_is_evicted() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "o");
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation"]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn only_the_ownership_that_was_meant_is_evicted() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let evicted = evict(&mut disk, Some(Generation(2))).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Other(Some(_)))), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    let evicted = evict(&mut disk, Some(Generation(1))).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation"]);
}

#[test]
fn a_file_that_nobody_can_read_is_evicted() {
    let mut disk = Disk::new();
    let mtime = disk.now.wall;
    disk.put(&[Name::Lock], Inode::file("half a rec", mtime));
    let evicted = evict(&mut disk, Some(Generation(1))).run(&mut disk);
    assert_eq!(evicted, Ok(Evicted::Other(None)));
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert_eq!(evicted, Ok(Evicted::Done(None)));
    assert_eq!(disk.names(), [""; 0]);
}

#[test]
fn nothing_can_be_evicted_from_a_free_lock() {
    let mut disk = Disk::new();
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert_eq!(evicted, Ok(Evicted::WasFree));
    assert_eq!(disk.names(), [""; 0]);
    assert_eq!(disk.open_slots(process("person").pid), []);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_lock_that_cannot_be_removed_does_not_look_evicted() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "o");
    let mut evict = evict(&mut disk, None).until(&mut disk, "Unlink(Lock)");
    evict.feed(&mut disk, Event::Failed(Errno(30)));
    let evicted = evict.run(&mut disk);
    assert!(matches!(evicted, Err(Failure::System { .. })), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.open_slots(process("person").pid), [Slot::Judged]);
}
