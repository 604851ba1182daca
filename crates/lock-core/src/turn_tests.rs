//! Scripted runs of those who stand behind another: how long they sleep, and whom they pass over.

use alloc::vec::Vec;

use rstest::rstest;

use super::*;
use crate::effect::Errno;
use crate::machine::{Context, Reason};
use crate::policy::Settings;
use crate::testing::disk::Disk;
use crate::testing::line::{acquired, contender, line, release, together};
use crate::testing::worker::Worker;
use crate::testing::{owner, owner_with, preemptible_owner, process, process_with, settings};
use crate::{Held, Hold};

#[test]
fn a_first_that_does_not_take_a_free_lock_is_passed_over() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [stopped, b] = line(&mut disk, ["stopped", "b"]);
    release(&mut disk, &context, ownership);
    disk.story();
    let start = disk.now.mono;
    let passed = acquired(b.run(&mut disk));
    insta::assert_snapshot!(disk.story());
    assert!(disk.now.mono.since(start) <= 9 * settings().poll);
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)"]);
    let stopped = stopped.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    release(&mut disk, &process("b"), passed);
    acquired(stopped.run(&mut disk));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
}

/// Those right behind the first have to notice soon that it does not take a free lock. While the
/// lock is held, nobody lists the queue a second time.
#[rstest]
#[case::second(1, 2)]
#[case::third(2, 4)]
#[case::tenth(9, 16)]
fn those_further_back_look_less_often(#[case] before: usize, #[case] seconds: u64) {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let hour = Duration::from_secs(3_600);
    let patient = Settings { stale_after: hour, ..settings() };
    let mut line = Vec::new();
    for name in &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][..=before] {
        let waiter = Worker::contender(&disk, process_with(name, patient));
        line.push(waiter.until(&mut disk, "Sleep"));
    }
    let mut last = line.pop().expect("because somebody is last");
    for _ in 0..6 {
        last = last.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    disk.story();
    let start = disk.now.mono;
    let last = last.after(&mut disk, "Sleep");
    assert_eq!(disk.now.mono.since(start), Duration::from_secs(seconds));
    last.until(&mut disk, "Sleep");
    assert!(!disk.story().contains("List"));
}

/// Each of those between has its own time to do it.
#[test]
fn of_those_behind_a_stopped_first_the_next_passes_it_over() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_stopped, b, c] = line(&mut disk, ["stopped", "b", "c"]);
    release(&mut disk, &context, ownership);
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let second = acquired(b.run(&mut disk));
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    release(&mut disk, &process("b"), second);
    acquired(c.run(&mut disk));
}

/// A poll's time for the first, and one more for the one between, which could pass it over.
#[test]
fn each_of_those_before_has_its_own_time_to_take_a_free_lock() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_first, _second, c] = line(&mut disk, ["first", "second", "c"]);
    release(&mut disk, &context, ownership);
    let c = c.after(&mut disk, "Sleep");
    let seen = disk.now.mono;
    acquired(c.run(&mut disk));
    let idle = disk.now.mono.since(seen);
    assert!((2 * settings().poll..3 * settings().poll).contains(&idle), "{idle:?}");
}

/// It hears of that when the one just before it leaves.
#[test]
fn who_has_moved_up_looks_more_often() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let hour = Duration::from_secs(3_600);
    let patient = Settings { stale_after: hour, ..settings() };
    let [_a, b, c] = ["a", "b", "c"].map(|name| {
        Worker::contender(&disk, process_with(name, patient)).until(&mut disk, "Sleep")
    });
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    b.die(&mut disk);
    let mut c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    for _ in 0..6 {
        c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    let start = disk.now.mono;
    c.after(&mut disk, "Sleep");
    assert_eq!(disk.now.mono.since(start), Duration::from_secs(2));
}

/// It has to see what the new owner does, and to end it when its own patience is over.
#[test]
fn who_is_first_by_now_watches_the_owner() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b, c] = line(&mut disk, ["a", "b", "c"]);
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    release(&mut disk, &context, ownership);
    acquired(a.run(&mut disk));
    b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert!(disk.open_slots(process("b").pid).contains(&Slot::Judged));
    assert!(!disk.open_slots(process("c").pid).contains(&Slot::Judged));
}

/// Two looks at a free lock tell nothing of the time between, if one in the middle found it held.
#[test]
fn a_lock_that_was_held_meanwhile_was_not_idle() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_stopped, b] = line(&mut disk, ["stopped", "b"]);
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    release(&mut disk, &context, ownership);
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let hasty = process_with("hasty", Settings { no_wait: true, ..settings() });
    let taken = acquired(Worker::contender(&disk, hasty.clone()).run(&mut disk));
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    release(&mut disk, &hasty, taken);
    let b = b.after(&mut disk, "Sleep");
    let seen = disk.now.mono;
    acquired(b.run(&mut disk));
    assert!(disk.now.mono.since(seen) >= settings().poll);
}

/// The first has chosen to put up with a hung owner for longer, and keeps its place.
#[test]
fn the_least_patient_takes_over_before_its_turn() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "slow");
    let stale_after = Duration::from_secs(600);
    let patient = Settings { hang_after: Duration::from_secs(500), stale_after, ..settings() };
    let context = process_with("patient", patient);
    let _patient = Worker::contender(&disk, context).until(&mut disk, "Sleep");
    let hasty = Settings { stale_after, ..settings() };
    let taken = Worker::contender(&disk, process_with("hasty", hasty)).run(&mut disk);
    let takeover = taken.expect("because its patience is at an end").takeover;
    assert_eq!(takeover.map(|takeover| takeover.reason), Some(Reason::TimedOut));
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)"]);
}

/// A lock that is free at two looks was not idle in between, if another is first by now.
#[test]
fn a_queue_that_gets_on_is_not_passed() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b, c] = line(&mut disk, ["a", "b", "c"]);
    release(&mut disk, &context, ownership);
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let first = acquired(a.run(&mut disk));
    release(&mut disk, &process("a"), first);
    disk.pass(600);
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let second = acquired(b.run(&mut disk));
    release(&mut disk, &process("b"), second);
    acquired(c.run(&mut disk));
}

/// Where the system has no watch left, a turn is noticed within a quarter of the time waited.
#[test]
fn a_waiter_that_is_told_of_nothing_looks_often_at_first() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    let mut b = contender(&disk, "b").until(&mut disk, "Watch(Ahead)");
    disk.story();
    b.feed(&mut disk, Event::Failed(Errno(24)));
    for _ in 0..12 {
        b = b.until(&mut disk, "Sleep").after(&mut disk, "Sleep");
    }
    release(&mut disk, &context, ownership);
    let first = acquired(a.run(&mut disk));
    release(&mut disk, &process("a"), first);
    acquired(b.run(&mut disk));
    let naps = disk.story();
    let naps = naps.lines().filter(|line| line.starts_with("b  Sleep") || line.contains("Judged"));
    insta::assert_snapshot!(naps.collect::<Vec<_>>().join("\n"));
}

/// The short sleeps of one who is told of nothing end with the poll, however short that is.
#[test]
fn a_waiter_that_is_told_of_nothing_passes_a_stopped_first_as_well() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_stopped] = line(&mut disk, ["stopped"]);
    let poll = Duration::from_millis(30);
    let hurried = process_with("b", Settings { poll, ..settings() });
    let mut b = Worker::contender(&disk, hurried).until(&mut disk, "Watch(Ahead)");
    b.feed(&mut disk, Event::Failed(Errno(24)));
    let b = b.until(&mut disk, "Sleep");
    release(&mut disk, &context, ownership);
    let start = disk.now.mono;
    acquired(b.run(&mut disk));
    assert!(disk.now.mono.since(start) <= 12 * poll);
}

fn before(worker: &Worker<crate::Acquire>) -> Option<u32> {
    worker.machine().waiting().map(|waiting| waiting.before)
}

/// A person who waits is told how many others come first.
#[test]
fn a_waiter_knows_how_many_are_before_it() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b, c] = line(&mut disk, ["a", "b", "c"]);
    let c = c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert_eq!((before(&a), before(&b), before(&c)), (Some(0), Some(1), Some(2)));
    release(&mut disk, &context, ownership);
    acquired(a.run(&mut disk));
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert_eq!(before(&b), Some(0));
}

/// What is counted is counted in looks, by those behind as well.
#[rstest]
#[case::preemptible(true, 167)]
#[case::not_preemptible(false, 1_000)]
fn beside_a_preemptible_owner_those_behind_look_often_too(
    #[case] preemptible: bool,
    #[case] longest: u64,
) {
    let mut disk = Disk::new();
    let context = Context { preemptible, ..process("o") };
    let renews = Settings { stale_after: Duration::from_secs(60), ..settings() };
    let context = Context { policy: process_with("o", renews).policy, ..context };
    owner_with(&mut disk, context);
    let [_a, b] = line(&mut disk, ["a", "b"]);
    let mut b = b;
    for _ in 0..6 {
        b = b.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    let start = disk.now.mono;
    b.after(&mut disk, "Sleep");
    assert_eq!(disk.now.mono.since(start), Duration::from_millis(longest));
}

/// The clocks jump while all are frozen, and the waiters look before the owner can renew.
#[test]
fn no_pause_of_the_machine_robs_an_owner_that_renews() {
    let mut disk = Disk::new();
    let (context, mut ownership) = preemptible_owner(&mut disk, "o");
    let mut waiters = line(&mut disk, ["a", "b", "c"]);
    for round in 0..100 {
        disk.pass(3_600_000);
        let end = disk.now.mono.after(settings().renew_every);
        together(&mut disk, &mut waiters, end);
        let quiet = settings().hang_after;
        let hold = match round % 10 {
            0 => Hold::step(&context, disk.now, ownership, "on", quiet),
            _ => Hold::renew(&context, disk.now, ownership),
        };
        ownership = match Worker::new(context.clone(), hold).run(&mut disk) {
            Ok(Held::Renewed(ownership)) => ownership,
            Ok(Held::Stepping { ownership, leave }) => {
                Worker::new(context.clone(), leave).run(&mut disk).expect("because it leaves");
                ownership
            }
            other => panic!("{other:?} in round {round}"),
        };
    }
    assert!(disk.holds(context.pid, Name::Lock));
    assert!(waiters.iter().all(|waiter| waiter.outcome().is_none()));
    // And without a renewal the first of them takes it in time.
    let end = disk.now.mono.after(settings().stale_after + settings().renew_every);
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("a").pid, Name::Lock));
}
