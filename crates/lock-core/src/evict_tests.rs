//! Scripted runs of a person who takes a lock away.

use super::*;
use crate::effect::{Errno, Share, Slot};
use crate::policy::Settings;
use crate::testing::disk::Lack;
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{owner, owner_with, preemptible_owner, process, process_with, settings};

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

/// Another program.
const FLOCK: u32 = 4_711;

fn unchanged(disk: &mut Disk, before: Option<String>) {
    assert_eq!(disk.text(Name::Lock), before);
    assert_eq!(disk.complaints(), [""; 0]);
    let names = disk.names();
    assert!(names.iter().all(|name| ["Generation", "Lock"].contains(name)), "{names:?}");
    disk.let_go(process("person").pid);
}

/// It has not agreed to be replaced: a person has to name it.
#[test]
fn a_living_owner_that_has_not_agreed_has_to_be_named() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.pass(1_000_000);
    let before = disk.text(Name::Lock);
    match evict(&mut disk, None).run(&mut disk) {
        Ok(Evicted::Living(record)) => assert_eq!(record.token, context.token),
        other => panic!("{other:?}"),
    }
    unchanged(&mut disk, before);
    let evicted = evict(&mut disk, Some(Generation(1))).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation"]);
}

#[test]
fn a_dead_owner_need_not_be_named() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    disk.end(dead.pid);
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    assert_eq!(disk.names(), ["Generation"]);
}

/// What is left of it has the lock, or is in its cgroup.
#[test]
fn a_dead_owner_whose_work_goes_on_has_to_be_named() {
    for is_in_a_cgroup in [true, false] {
        let mut disk = Disk::new();
        let (context, _) = owner(&mut disk, "o");
        if is_in_a_cgroup {
            let text = disk.text(Name::Lock).expect("because it is owned");
            let text = text.replace("progress=", "cgroup=work\nprogress=");
            disk.at(Name::Lock).expect("because it is owned").content = Ok(text.into_bytes());
            disk.populate("work", true);
        } else {
            disk.inherit(context.pid, Slot::Ticket, FLOCK);
        }
        disk.end(context.pid);
        let before = disk.text(Name::Lock);
        let evicted = evict(&mut disk, None).run(&mut disk);
        assert!(matches!(evicted, Ok(Evicted::Living(_))), "{evicted:?}");
        unchanged(&mut disk, before);
        let evicted = evict(&mut disk, Some(Generation(1))).run(&mut disk);
        assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    }
}

/// Taking the file away would not end that lock, only hide it.
#[test]
fn what_another_program_has_locked_cannot_be_broken() {
    for (content, has_record) in [("", false), ("42\n1000000\npeer\n", true)] {
        let mut disk = Disk::new();
        let mtime = disk.now.wall;
        disk.put(&[Name::Lock], Inode::file(content, mtime));
        disk.lock_by_hand(FLOCK, Share::Shared);
        let before = disk.text(Name::Lock);
        match evict(&mut disk, None).run(&mut disk) {
            Ok(Evicted::Unbreakable(record)) => assert_eq!(record.is_some(), has_record),
            other => panic!("{other:?}"),
        }
        unchanged(&mut disk, before.clone());
        // It has no number by which it could be named.
        let evicted = evict(&mut disk, Some(Generation(1))).run(&mut disk);
        assert!(matches!(evicted, Ok(Evicted::Other(_))), "{evicted:?}");
        unchanged(&mut disk, before);
        disk.end(FLOCK);
        let evicted = evict(&mut disk, None).run(&mut disk);
        assert!(matches!(evicted, Ok(Evicted::Done(_))), "{evicted:?}");
        assert_eq!(disk.names(), [""; 0]);
    }
}

/// A peer overwrote our own record: the owner is still there.
#[test]
fn an_owner_whose_record_was_overwritten_cannot_be_broken() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let lock = disk.at(Name::Lock).expect("because it is owned");
    lock.content = Ok(b"42\n1000000\npeer\n".into());
    let before = disk.text(Name::Lock);
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Unbreakable(Some(_)))), "{evicted:?}");
    unchanged(&mut disk, before);
}

#[test]
fn a_timed_owner_that_runs_here_has_to_be_named() {
    let mut disk = Disk::without(&[Lack::Locks]);
    let timed = process_with("o", Settings { allow_timed: true, ..settings() });
    let (context, _) = owner_with(&mut disk, timed);
    let before = disk.text(Name::Lock);
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Living(_))), "{evicted:?}");
    unchanged(&mut disk, before);
    disk.end(context.pid);
    let evicted = evict(&mut disk, None).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
}
