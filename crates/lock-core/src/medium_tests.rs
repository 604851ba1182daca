//! Scripted runs where the file system lacks something: the fallbacks, each of which must
//! hand the lock on, clear what crashes left, and leave nothing of its own.

use rstest::rstest;

use super::*;
use crate::effect::Errno;
use crate::hold::{Held, Hold};
use crate::machine::{Context, Ownership, Reason};
use crate::policy::Settings;
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::worker::Worker;
use crate::testing::{OTHER_HOST, corpse_of, process_with};
use crate::time::Wall;
use crate::verdict::Stale;
use crate::{Acquire, Acquired};

const LINKED: &[Lack] = &[Lack::Anonymous];
const SEPARATE: &[Lack] = &[Lack::Anonymous, Lack::Links];
const UNARBITRATED: &[Lack] = &[Lack::Anonymous, Lack::Locks];
const FALLBACKS: &[&[Lack]] = &[
    LINKED,
    SEPARATE,
    UNARBITRATED,
    &[Lack::Links],
    &[Lack::Locks],
    &[Lack::Anonymous, Lack::Links, Lack::Locks],
];

/// One that works without kernel locks too.
fn settings() -> Settings {
    Settings { allow_timed: true, ..crate::testing::settings() }
}

fn process(name: &str) -> Context {
    process_with(name, settings())
}

fn corpse(disk: &mut Disk, name: &str, due: &str) {
    corpse_of(disk, process(name), due);
}

fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

fn own(disk: &mut Disk, name: &str) -> Acquired {
    let acquired = contender(disk, name).run(disk);
    let acquired = acquired.expect("because nothing living is in its way");
    settled(disk, name);
    acquired
}

fn with_dead_owner(lacks: &[Lack]) -> Disk {
    let mut disk = Disk::without(lacks);
    own(&mut disk, "dead");
    disk.end(process("dead").pid);
    disk
}

fn settled(disk: &Disk, owner: &str) {
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.open_slots(process(owner).pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

fn renew(disk: &mut Disk, name: &str, ownership: Ownership) -> Ownership {
    let context = process(name);
    let machine = Hold::renew(&context, disk.now, ownership);
    match Worker::new(context, machine).run(disk) {
        Ok(Held::Renewed(ownership)) => ownership,
        other => panic!("{other:?}"),
    }
}

fn release(disk: &mut Disk, name: &str, ownership: Ownership) {
    let context = process(name);
    let pid = context.pid;
    let machine = Hold::release(&context, disk.now, ownership);
    assert_eq!(Worker::new(context, machine).run(disk), Ok(Held::Released));
    assert_eq!(disk.open_slots(pid), []);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Acquire, renew and release, told in full.
fn life(lacks: &[Lack]) -> String {
    let mut disk = Disk::without(lacks);
    let ownership = own(&mut disk, "a").ownership;
    let ownership = renew(&mut disk, "a", ownership);
    release(&mut disk, "a", ownership);
    assert_eq!(disk.names(), ["Generation"]);
    disk.story()
}

#[test]
fn without_anonymous_files_a_ticket_is_born_with_a_name() {
    insta::assert_snapshot!(life(LINKED));
}

#[test]
fn without_links_each_role_is_a_file() {
    insta::assert_snapshot!(life(SEPARATE));
}

#[test]
fn without_kernel_locks_age_decides() {
    insta::assert_snapshot!(life(UNARBITRATED));
}

#[test]
fn every_combination_has_its_fallback() {
    for lacks in FALLBACKS {
        life(lacks);
    }
}

#[test]
fn without_kernel_locks_nothing_is_done_where_they_are_required() {
    let require_kernel_lock = true;
    let settings = Settings { require_kernel_lock, ..crate::testing::settings() };
    for lacks in [&[Lack::Locks][..], UNARBITRATED] {
        let mut disk = Disk::without(lacks);
        let contender = Worker::contender(&disk, process_with("a", settings));
        assert_eq!(contender.run(&mut disk), Err(Failure::NoKernelLock));
        assert_eq!(disk.names(), [""; 0]);
    }
    for lacks in [LINKED, SEPARATE] {
        let mut disk = Disk::without(lacks);
        let contender = Worker::contender(&disk, process_with("a", settings));
        assert!(contender.run(&mut disk).is_ok());
    }
}

#[test]
fn a_dead_owner_is_replaced_on_every_medium() {
    for lacks in [LINKED, SEPARATE, UNARBITRATED] {
        let mut disk = Disk::without(lacks);
        let start = disk.now.mono;
        own(&mut disk, "dead");
        disk.end(process("dead").pid);
        let takeover = own(&mut disk, "a").takeover;
        let reason = takeover.map(|takeover| takeover.reason);
        assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)), "{lacks:?}");
        assert_eq!(disk.now.mono, start, "{lacks:?}");
    }
}

/// Where neither the kernel nor the process table can say that it is dead.
#[test]
fn a_timed_owner_of_another_host_is_replaced_when_it_has_not_renewed() {
    let mut disk = Disk::without(UNARBITRATED);
    let there = Context { here: OTHER_HOST.host(), ..process("there") };
    Worker::contender(&disk, there).run(&mut disk).expect("because the lock is free");
    disk.pass(100_000);
    let start = disk.now.mono;
    let takeover = own(&mut disk, "a").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::Expired)));
    assert_eq!(disk.now.mono.since(start), settings().stale_after);
}

/// It may be slow or stopped, and it has not agreed to overlap with another.
#[test]
fn a_timed_owner_that_runs_here_is_left_alone() {
    let mut disk = Disk::without(UNARBITRATED);
    own(&mut disk, "o");
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    for _ in 0..100 {
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    disk.end(process("o").pid);
    let takeover = waiter.run(&mut disk).expect("because its owner is dead").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)));
}

/// Its work may overlap with another's there, so it has to say that it may.
#[test]
fn without_kernel_locks_an_owner_that_has_not_agreed_to_be_replaced_is_refused() {
    for (allow_timed, preemptible) in [(false, false), (true, false), (false, true)] {
        let mut disk = Disk::without(UNARBITRATED);
        let settings = Settings { allow_timed, ..settings() };
        let context = Context { preemptible, ..process_with("a", settings) };
        let acquired = Worker::contender(&disk, context).run(&mut disk);
        if allow_timed || preemptible {
            assert!(acquired.is_ok(), "{acquired:?}");
        } else {
            assert_eq!(acquired, Err(Failure::NoKernelLock));
            assert_eq!(disk.names(), [""; 0]);
        }
    }
}

/// A rename goes by names. Without links there is one for a free lock as well.
#[rstest]
#[case::anonymous(&[], true)]
#[case::linked(LINKED, true)]
#[case::separate(SEPARATE, true)]
#[case::separate_and_free(SEPARATE, false)]
#[case::unarbitrated(UNARBITRATED, true)]
fn what_a_stranger_slipped_under_the_takeover_name_is_no_ownership(
    #[case] lacks: &[Lack],
    #[case] has_dead: bool,
) {
    let mut disk = if has_dead { with_dead_owner(lacks) } else { Disk::without(lacks) };
    let breaker = contender(&disk, "a").until(&mut disk, "Rename(Takeover, Lock)");
    disk.remove(Name::Takeover);
    let written_long_ago = Wall(disk.now.wall.0 - 100_000);
    disk.put(&[Name::Takeover], Inode::file("", written_long_ago));
    let acquired = breaker.run(&mut disk).expect("because an empty file is no lock");
    let reason = acquired.takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::Corrupt)));
    settled(&disk, "a");
    release(&mut disk, "a", acquired.ownership);
}

/// The name goes again before its maker has made sure of it.
#[test]
fn a_lock_that_vanishes_as_it_is_taken_is_taken_again() {
    for lacks in [&[], LINKED, SEPARATE, UNARBITRATED] {
        let mut disk = with_dead_owner(lacks);
        let breaker = contender(&disk, "a").after(&mut disk, "Rename(Takeover, Lock)");
        disk.remove(Name::Lock);
        let acquired = breaker.run(&mut disk).expect("because the lock is free");
        assert_eq!(acquired.takeover, None, "{lacks:?}");
        settled(&disk, "a");
    }
}

/// Its maker is told nothing of what it may own by now.
#[test]
fn a_lock_that_its_taker_cannot_make_sure_of_is_removed() {
    for lacks in [&[], LINKED, SEPARATE, UNARBITRATED] {
        let mut disk = with_dead_owner(lacks);
        let mut breaker = contender(&disk, "a").after(&mut disk, "Rename(Takeover, Lock)");
        breaker.feed(&mut disk, Event::Failed(Errno(5)));
        assert!(matches!(breaker.run(&mut disk), Err(Failure::System { .. })), "{lacks:?}");
        assert_eq!(disk.names(), ["Generation"], "{lacks:?}");
        assert_eq!(disk.complaints(), [""; 0]);
    }
}

/// It was held up for so long that another takes its file for dead, and relies on the name.
#[test]
fn a_guard_that_the_kernel_does_not_lock_is_not_removed_under_another() {
    let mut disk = Disk::without(SEPARATE);
    let mut slow = contender(&disk, "a").until(&mut disk, "Lock(Mutex, Exclusive)");
    disk.pass(1_000);
    let reaper = contender(&disk, "b").until(&mut disk, "Create(Reclaim, Reclaim)");
    slow.feed(&mut disk, Event::Failed(Errno(5)));
    assert!(matches!(slow.run(&mut disk), Err(Failure::System { .. })));
    assert!(disk.at(Name::Mutex).is_some());
    assert!(reaper.run(&mut disk).is_ok());
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn dead_guards_are_cleared_on_every_medium() {
    for lacks in [LINKED, SEPARATE, UNARBITRATED] {
        let mut disk = Disk::without(lacks);
        corpse(&mut disk, "dead", "Open(Judged, Lock)");
        disk.pass(1_000);
        corpse(&mut disk, "reaper", "Look(Takeover)");
        assert_eq!(
            disk.names().iter().filter(|name| !name.starts_with("Ticket")).count(),
            2,
            "{lacks:?}"
        );
        disk.pass(1_000);
        let acquired = contender(&disk, "a").run(&mut disk);
        assert!(acquired.is_ok(), "{lacks:?}: {acquired:?}\n{}", disk.story());
    }
}

#[test]
fn a_dead_mutex_without_links_is_reaped() {
    let mut disk = Disk::without(SEPARATE);
    corpse(&mut disk, "dead", "Open(Judged, Lock)");
    own(&mut disk, "a");
    insta::assert_snapshot!(disk.story());
}

/// It had no time to lock or fill it, so only its age tells.
#[test]
fn a_mutex_that_was_only_created_is_reaped_when_it_is_old() {
    let mut disk = Disk::without(SEPARATE);
    corpse(&mut disk, "dead", "Stat(Mutex)");
    let start = disk.now.mono;
    own(&mut disk, "a");
    assert_eq!(disk.now.mono.since(start).as_millis(), 1_000);
}

/// An asker that had the new file locked for a moment would cost its maker the role, and the
/// file would block everybody until it is old. So nobody asks a young file without a record.
#[test]
fn an_asker_does_not_cost_a_creator_its_mutex() {
    let mut disk = Disk::without(SEPARATE);
    let creator = contender(&disk, "a").until(&mut disk, "Lock(Mutex, Exclusive)");
    let asker = contender(&disk, "b").after(&mut disk, "Read(Guard)");
    let creator = creator.after(&mut disk, "Lock(Mutex, Exclusive)");
    let start = disk.now.mono;
    let asker = asker.until(&mut disk, "Sleep");
    let owner = creator.run(&mut disk).expect("because nobody else has the mutex");
    let waited = disk.now.mono.since(start).as_millis();
    assert!(waited < 100, "{waited} ms\n{}", disk.story());
    drop((asker, owner));
}

/// A contender that was held up between creating its mutex and locking it, for so long that
/// another took it for dead.
#[test]
fn a_late_creator_whose_mutex_was_reaped_takes_nothing() {
    let mut disk = Disk::without(SEPARATE);
    let late = contender(&disk, "late").until(&mut disk, "Lock(Mutex, Exclusive)");
    disk.pass(1_000);
    let quick = contender(&disk, "quick").until(&mut disk, "Open(Judged, Lock)");
    let late = late.until(&mut disk, "Sleep");
    assert!(disk.holds(process("quick").pid, Name::Mutex));
    quick.run(&mut disk).expect("because it is in the mutex");
    assert_eq!(disk.complaints(), [""; 0]);
    let late = late.until(&mut disk, "Watch(Judged)").until(&mut disk, "Sleep");
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
    drop(late);
}

/// The kernel says that a name is taken before it says that it cannot link.
#[test]
fn missing_links_are_noticed_behind_a_dead_mutex_too() {
    let mut disk = Disk::without(SEPARATE);
    corpse(&mut disk, "dead", "Open(Judged, Lock)");
    let acquired = contender(&disk, "a").run(&mut disk);
    assert!(acquired.is_ok(), "{acquired:?}\n{}", disk.story());
    settled(&disk, "a");
}

/// The same where the mutex falls free between two attempts to link it.
#[test]
fn missing_links_are_noticed_behind_a_living_mutex_too() {
    let mut disk = Disk::without(SEPARATE);
    let holder = contender(&disk, "h").until(&mut disk, "Open(Judged, Lock)");
    let contender = contender(&disk, "a").until(&mut disk, "Watch(Guard)");
    let acquired = holder.run(&mut disk).expect("because it is in the mutex");
    release(&mut disk, "h", acquired.ownership);
    let acquired = contender.run(&mut disk);
    assert!(acquired.is_ok(), "{acquired:?}\n{}", disk.story());
    settled(&disk, "a");
}

/// Whatever it gives up for, a ticket that was born with a name takes it along.
#[test]
fn a_name_that_a_ticket_was_born_with_never_stays() {
    let mut disk = Disk::without(LINKED);
    let ms = core::time::Duration::from_millis;
    let impatient = Settings { wait_limit: Some(ms(100)), ..settings() };
    corpse(&mut disk, "old", "Open(Judged, Lock)");
    let reaper = contender(&disk, "stopped").until(&mut disk, "Lock(Guard, Shared)");
    corpse(&mut disk, "dead", "Open(Judged, Lock)");
    let reaper = reaper.until(&mut disk, "Look(Takeover)");
    let contender = Worker::contender(&disk, process_with("a", impatient));
    let failure = contender.run(&mut disk);
    assert!(matches!(failure, Err(Failure::MutexHeld { .. })), "{failure:?}");
    assert!(!disk.names().contains(&"Ticket of a"), "{:?}", disk.names());
    drop(reaper);
}
