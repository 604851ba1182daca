//! Scripted runs through the mutex: held, dead, and every mixture of what crashes leave.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use super::*;
use crate::acquire::Acquire;
use crate::effect::{Errno, Name};
use crate::machine::{Context, Ownership};
use crate::policy::Settings;
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::worker::Worker;
use crate::testing::{corpse, owner, preemptible_owner, process, process_with, settings};
use crate::time::Wall;
use crate::verdict::Stale;
use crate::{Acquired, Hold};

/// Where a contender has the mutex and nothing else.
const IN_THE_MUTEX: &str = "Open(Judged, Lock)";
/// Where a reaper has the reclaim lock, and the dead mutex still stands.
const RECLAIMING: &str = "Look(Takeover)";
/// Where a reaper has the mutex too, and has not dropped the reclaim lock.
const BURIED: &str = "Rename(Reclaim, Mutex)";

fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

fn settled(disk: &Disk, owner: &str) {
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    let pid = process(owner).pid;
    assert!(disk.holds(pid, Name::Lock));
    assert_eq!(disk.open_slots(pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

fn owns(disk: &mut Disk, worker: Worker<Acquire>) {
    let name = worker.context.token.clone();
    worker.run(disk).expect("because nothing living is in its way");
    settled(disk, name.as_str());
}

#[test]
fn a_mutex_that_is_given_back_wakes_the_next() {
    let mut disk = Disk::new();
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    let (context, ownership) = match holder.run(&mut disk) {
        Ok(acquired) => (process("h"), acquired.ownership),
        failure => panic!("{failure:?}"),
    };
    let release = Hold::release(&context, disk.now, ownership);
    Worker::new(context, release).run(&mut disk).expect("because it is the owner");
    disk.story();
    let start = disk.now;
    owns(&mut disk, waiter);
    assert_eq!(disk.now, start, "not a millisecond was slept");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn no_wake_up_is_lost_between_judging_the_mutex_and_the_watch() {
    let mut disk = Disk::new();
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let waiter = contender(&disk, "a").until(&mut disk, "Watch(Guard)");
    holder.die(&mut disk);
    disk.remove(Name::Mutex);
    disk.story();
    let start = disk.now;
    owns(&mut disk, waiter);
    assert_eq!(disk.now, start, "not a millisecond was slept");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_dead_mutex_is_reaped() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_dead_mutex_and_a_dead_reclaim_lock_are_reaped() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    corpse(&mut disk, "reaper", RECLAIMING);
    assert_eq!(disk.names(), ["Mutex", "Reclaim"]);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_reaper_that_died_before_its_rename_is_followed() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    corpse(&mut disk, "reaper", BURIED);
    assert_eq!(disk.names(), ["Mutex", "Reclaim"]);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn what_a_dead_breaker_left_goes_with_its_mutex() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    corpse(&mut disk, "breaker", "Rename(Takeover, Lock)");
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex", "Takeover"]);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn all_leftovers_at_once_are_cleared() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    corpse(&mut disk, "breaker", "Rename(Takeover, Lock)");
    corpse(&mut disk, "reaper", RECLAIMING);
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex", "Reclaim", "Takeover"]);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn an_owner_that_died_in_the_mutex_is_reaped_and_replaced() {
    let mut disk = Disk::new();
    corpse(&mut disk, "o", "Look(Mutex)");
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex"]);
    let acquired = contender(&disk, "a").run(&mut disk);
    let takeover = acquired.expect("because the owner is dead").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(crate::machine::Reason::Stale(Stale::OwnerDied)));
    settled(&disk, "a");
}

#[test]
fn a_peers_mutex_is_reaped_when_it_is_old_enough() {
    let mut disk = Disk::new();
    disk.pass(999);
    let young = Inode::file("", Wall(disk.now.wall.0 - 999));
    disk.put(&[Name::Mutex], young);
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_mutex_from_the_future_is_no_proof_of_life() {
    let mut disk = Disk::new();
    let ahead = Inode::file("", Wall(disk.now.wall.0 + 1_001));
    disk.put(&[Name::Mutex], ahead);
    let start = disk.now;
    let worker = contender(&disk, "a");
    owns(&mut disk, worker);
    assert_eq!(disk.now, start);
}

/// Few and long naps.
fn drowsy() -> Settings {
    let ms = Duration::from_millis;
    Settings { wait_limit: Some(ms(300)), mutex_retry: ms(100), poll: ms(100), ..settings() }
}

fn named(failure: Result<Acquired, Failure>) -> Option<String> {
    match failure {
        Err(Failure::MutexHeld { holder }) => holder.map(|record| record.token.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stopped_holder_is_named_when_patience_ends_and_never_robbed() {
    let mut disk = Disk::new();
    let holder = contender(&disk, "stopped").until(&mut disk, IN_THE_MUTEX);
    disk.story();
    let context = process_with("a", drowsy());
    let start = disk.now.mono;
    let failure = Worker::contender(&disk, context).run(&mut disk);
    assert_eq!(named(failure), Some("stopped".to_owned()));
    assert_eq!(disk.now.mono.since(start), Duration::from_millis(300));
    insta::assert_snapshot!(disk.story());
    owns(&mut disk, holder);
}

/// It has the dead mutex locked, which makes that look alive; but it is the reaper that has
/// to be named, or ended.
#[test]
fn a_stopped_reaper_is_named_when_patience_ends_and_never_robbed() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let reaper = contender(&disk, "stopped").until(&mut disk, RECLAIMING);
    disk.story();
    let context = process_with("a", drowsy());
    let failure = Worker::contender(&disk, context).run(&mut disk);
    disk.let_go(process("a").pid);
    owns(&mut disk, reaper);
    assert_eq!(named(failure), Some("stopped".to_owned()));
}

/// The same, when the mutex that the reaper found dead is another by now.
#[test]
fn a_stopped_reaper_of_an_older_mutex_is_waited_for_and_never_robbed() {
    let mut disk = Disk::new();
    corpse(&mut disk, "old", IN_THE_MUTEX);
    let reaper = contender(&disk, "stopped").until(&mut disk, "Lock(Guard, Shared)");
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let reaper = reaper.until(&mut disk, RECLAIMING);
    disk.story();
    let context = process_with("a", drowsy());
    let failure = Worker::contender(&disk, context).run(&mut disk);
    assert_eq!(disk.complaints(), [""; 0]);
    assert_eq!(disk.open_slots(process("a").pid), []);
    owns(&mut disk, reaper);
    assert_eq!(named(failure), Some("stopped".to_owned()));
}

/// Of one that has no limit of its own.
#[test]
fn patience_is_with_one_holder() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mutex_patience = Duration::from_millis(300);
    let drowsy = Settings { wait_limit: None, mutex_patience, ..drowsy() };
    let context = Context { policy: process_with("o", drowsy).policy, ..context };
    let mut renewal = renewal(&disk, &context, ownership);
    for name in ["first", "second", "third"] {
        // Whoever does not wait does not stand in the queue either.
        let hurried = process_with(name, Settings { no_wait: true, ..settings() });
        let holder = Worker::contender(&disk, hurried).until(&mut disk, IN_THE_MUTEX);
        renewal = renewal.after(&mut disk, "Sleep").after(&mut disk, "Sleep");
        renewal = renewal.until(&mut disk, "Sleep");
        holder.die(&mut disk);
        disk.remove(Name::Mutex);
    }
    renewal.run(&mut disk).expect("because no single holder was in the way for long");
}

#[test]
fn a_cancelled_nap_leaves_nothing_behind() {
    let mut disk = Disk::new();
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    disk.story();
    waiter.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(waiter.run(&mut disk), Err(Failure::Cancelled));
    insta::assert_snapshot!(disk.story());
    owns(&mut disk, holder);
}

#[test]
fn names_that_keep_changing_do_not_make_a_loop_without_sleep() {
    let mut disk = Disk::new();
    let mut waiter = contender(&disk, "a").until(&mut disk, "Link(Ticket, Mutex)");
    let mut rounds = 0;
    while !matches!(waiter.effect(), Some(Effect::Sleep { .. })) {
        waiter.feed(&mut disk, Event::Exists);
        if matches!(waiter.effect(), Some(Effect::Open { .. })) {
            waiter.feed(&mut disk, Event::Absent);
        }
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(rounds, 9);
}

#[test]
fn a_run_directory_that_vanished_is_said_so() {
    let mut disk = Disk::new();
    let contender = contender(&disk, "a").until(&mut disk, "Link(Ticket, Mutex)");
    disk.lose(Lack::Directory);
    assert_eq!(contender.run(&mut disk), Err(Failure::DirectoryGone));
}

/// The shortest trace to two owners under rules that unlink blindly (H1).
#[test]
fn a_late_reaper_removes_nothing_of_the_quicker_ones() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    corpse(&mut disk, "reaper", RECLAIMING);
    let late = contender(&disk, "late").until(&mut disk, "Open(Guard, Mutex)");
    let late = late.after(&mut disk, "Open(Guard, Mutex)");
    let quick = contender(&disk, "quick").until(&mut disk, "Open(Judged, Lock)");
    disk.story();
    let late = late.until(&mut disk, "Sleep");
    assert!(disk.holds(process("quick").pid, Name::Mutex));
    quick.run(&mut disk).expect("because it is in the mutex");
    let late = late.until(&mut disk, "Watch(Judged)").until(&mut disk, "Sleep");
    assert!(disk.holds(process("quick").pid, Name::Lock));
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)"]);
    insta::assert_snapshot!(disk.story());
    drop(late);
}

#[test]
fn a_reaper_that_is_late_with_the_reclaim_lock_removes_nothing() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let quick = contender(&disk, "quick").until(&mut disk, "Link(Ticket, Reclaim)");
    disk.story();
    // The mutex is examined, found dead and locked by the quick one: the late one finds it
    // busy, until the quick one has buried it. A late lock is what comes through.
    let late = contender(&disk, "late").until(&mut disk, "Lock(Guard, Shared)");
    let quick = quick.until(&mut disk, IN_THE_MUTEX);
    let late = late.until(&mut disk, "Look(Takeover)");
    let late = late.until(&mut disk, "Sleep");
    assert!(disk.holds(process("quick").pid, Name::Mutex));
    assert_eq!(disk.names(), ["Mutex", "Queued(1)"]);
    insta::assert_snapshot!(disk.story());
    quick.run(&mut disk).expect("because it is in the mutex");
    drop(late);
}

/// An asker that has the dead inode locked must not make its owner look alive: here the
/// mutex and the lock are one inode, and a late reaper still examines it.
#[test]
fn a_reaper_does_not_make_a_dead_owner_look_alive() {
    let mut disk = Disk::new();
    corpse(&mut disk, "o", "Look(Mutex)");
    let late = contender(&disk, "late").until(&mut disk, "Lock(Guard, Shared)");
    let context = process_with("a", Settings { no_wait: true, ..settings() });
    let quick = Worker::contender(&disk, context).until(&mut disk, IN_THE_MUTEX);
    let late = late.after(&mut disk, "Lock(Guard, Shared)");
    let acquired = quick.run(&mut disk);
    assert!(acquired.is_ok(), "{}", disk.story());
    drop(late);
}

/// A peer judges our mutex by its mtime: whoever links it must have touched it lately.
#[test]
fn a_ticket_that_waited_is_fresh_when_it_becomes_the_mutex() {
    let mut disk = Disk::new();
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    let start = disk.now.boot;
    while disk.now.boot.since(start) < Duration::from_secs(2) {
        waiter = waiter.after(&mut disk, "Sleep");
    }
    holder.die(&mut disk);
    disk.remove(Name::Mutex);
    let waiter = waiter.until(&mut disk, IN_THE_MUTEX);
    let now = disk.now.wall;
    let mtime = disk.at(Name::Mutex).expect("because it is in the mutex").mtime;
    assert!(now.since(mtime) < Duration::from_secs(1), "{:?}", now.since(mtime));
    drop(waiter);
}

fn renewal(disk: &Disk, context: &Context, ownership: Ownership) -> Worker<Hold> {
    let machine = Hold::renew(context, disk.now, ownership);
    Worker::new(context.clone(), machine)
}

#[test]
fn an_owner_reaps_a_dead_mutex_with_its_own_inode() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    corpse(&mut disk, "reaper", BURIED);
    renewal(&disk, &context, ownership).run(&mut disk).expect("because it owns the lock");
    settled(&disk, "o");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn an_owner_that_loses_its_lock_while_it_waits_for_the_mutex_hears_of_it() {
    let mut disk = Disk::new();
    let (context, ownership) = preemptible_owner(&mut disk, "o");
    let breaker = contender(&disk, "b").until(&mut disk, "Link(Ticket, Takeover)");
    let renewal = renewal(&disk, &context, ownership).until(&mut disk, "Sleep");
    breaker.run(&mut disk).expect("because the owner is silent");
    disk.story();
    let held = renewal.run(&mut disk).expect("because nothing fails");
    assert!(matches!(held, crate::Held::Lost { to: Some(_) }), "{held:?}");
    insta::assert_snapshot!(disk.story());
}

/// It could not drop the mutex the last time; it must not wait for itself now.
#[test]
fn an_owner_that_is_still_in_the_mutex_does_not_wait_for_itself() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mut first = renewal(&disk, &context, ownership.clone()).until(&mut disk, "Unlink(Mutex)");
    first.feed(&mut disk, Event::Failed(Errno(5)));
    assert!(first.run(&mut disk).is_err());
    let start = disk.now;
    let second = renewal(&disk, &context, ownership).run(&mut disk);
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(disk.now, start, "it slept");
    settled(&disk, "o");
}
