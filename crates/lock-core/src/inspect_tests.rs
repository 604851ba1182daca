//! Scripted runs of someone who only looks.

use super::*;
use crate::effect::{Errno, Name, Slot};
use crate::snapshot::{Defect, KernelLock};
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{owner, process};

fn inspect() -> Worker<Inspect> {
    let context = process("person");
    let machine = Inspect::new(&context);
    Worker::new(context, machine)
}

fn kernel(snapshot: Result<Snapshot, Failure>) -> KernelLock {
    match snapshot {
        Ok(Snapshot::Present(seen)) => seen.kernel,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_is_believed_when_two_reads_agree() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    assert_eq!(kernel(inspect().run(&mut disk)), KernelLock::Held);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_torn_read_is_not_believed() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let mut inspect = inspect().until(&mut disk, "Read(Judged)");
    inspect.feed(&mut disk, Event::Bytes(b"half a rec".into()));
    let snapshot = inspect.run(&mut disk).expect("because nothing fails");
    assert!(snapshot.record().is_some());
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_free_lock_needs_one_look() {
    let mut disk = Disk::new();
    assert_eq!(inspect().run(&mut disk), Ok(Snapshot::Absent));
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_lock_that_goes_between_two_reads_is_free() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let inspect = inspect().until(&mut disk, "Look(Lock)");
    disk.remove(Name::Lock);
    assert_eq!(inspect.run(&mut disk), Ok(Snapshot::Absent));
    assert_eq!(disk.open_slots(process("person").pid), [Slot::Judged], "left to the driver");
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn a_dead_owner_and_an_unreadable_file_are_told_apart_from_a_living_one() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    assert_eq!(kernel(inspect().run(&mut disk)), KernelLock::Free);

    let mut disk = Disk::new();
    let content = Err(Errno(5));
    let unreadable = Inode { content, ..Inode::file("", disk.now.wall) };
    disk.put(&[Name::Lock], unreadable);
    match inspect().run(&mut disk) {
        Ok(Snapshot::Present(seen)) => assert_eq!(seen.content, Err(Defect::Unreadable(5))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn looking_changes_nothing() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let before = disk.text(Name::Lock);
    inspect().run(&mut disk).expect("because nothing fails");
    disk.let_go(process("person").pid);
    assert_eq!(disk.text(Name::Lock), before);
    assert!(disk.holds(context.pid, Name::Lock));
}
