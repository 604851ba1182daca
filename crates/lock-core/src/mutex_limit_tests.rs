//! Scripted waits for the mutex: when a contender's own limit ends them, and when nothing does.

use core::time::Duration;

use super::*;
use crate::acquire::Acquire;
use crate::effect::{Effect, Event, Name};
use crate::machine::Failure;
use crate::policy::Settings;
use crate::testing::disk::Disk;
use crate::testing::worker::Worker;
use crate::testing::{process, process_with, settings};

/// Where a contender has the mutex and nothing else.
const IN_THE_MUTEX: &str = "Open(Judged, Lock)";

/// Others that are in the mutex one after the other, each for a moment.
fn crowd(disk: &mut Disk, waiter: &mut Worker<Acquire>) {
    for turn in 0.. {
        // A contender that does not wait does not stand in the queue either.
        let name = ["x", "y", "z"][turn % 3];
        let hurried = process_with(name, Settings { no_wait: true, ..settings() });
        let holder = Worker::contender(disk, hurried).until(disk, IN_THE_MUTEX);
        while waiter.effect().is_some() {
            let sleeps = matches!(waiter.effect(), Some(Effect::Sleep { .. }));
            waiter.step(disk);
            if sleeps {
                break;
            }
        }
        holder.die(disk);
        disk.remove(Name::Mutex);
        if waiter.effect().is_none() {
            return;
        }
        assert!(turn < 1_000, "{}", disk.story());
    }
}

/// One deadline for all holders: it is the contender's own.
#[test]
fn a_wait_limit_ends_the_wait_for_a_mutex_that_goes_from_hand_to_hand() {
    for (settings, limit) in [
        (Settings { wait_limit: Some(Duration::from_secs(3)), ..settings() }, 3_000),
        (Settings { no_wait: true, ..settings() }, 1_000),
    ] {
        let mut disk = Disk::new();
        let first = Worker::contender(&disk, process_with("h", settings));
        let first = first.until(&mut disk, IN_THE_MUTEX);
        let start = disk.now.mono;
        let mut waiter = Worker::contender(&disk, process_with("a", settings));
        waiter = waiter.until(&mut disk, "Sleep");
        first.die(&mut disk);
        disk.remove(Name::Mutex);
        crowd(&mut disk, &mut waiter);
        let failure = waiter.run(&mut disk);
        assert!(matches!(failure, Err(Failure::MutexHeld { holder: Some(_) })), "{failure:?}");
        assert_eq!(disk.now.mono.since(start), Duration::from_millis(limit));
        assert_eq!(disk.complaints(), [""; 0]);
    }
}

/// Without a limit of its own it waits for as long as it takes.
#[test]
fn without_a_limit_a_stopped_holder_is_waited_for() {
    let mut disk = Disk::new();
    let holder =
        Worker::<Acquire>::contender(&disk, process("stopped")).until(&mut disk, IN_THE_MUTEX);
    let mut waiter = Worker::contender(&disk, process("a"));
    let start = disk.now.mono;
    while disk.now.mono.since(start) < settings().mutex_patience * 100 {
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    holder.run(&mut disk).expect("because it goes on");
    disk.end(process("stopped").pid);
    assert!(waiter.run(&mut disk).is_ok());
}

/// The limit is over while no holder can be named; the loop must not go on without a sleep.
#[test]
fn a_wait_limit_ends_a_wait_in_which_names_keep_changing() {
    let mut disk = Disk::new();
    let limit = Duration::from_millis(300);
    let context = process_with("a", Settings { wait_limit: Some(limit), ..settings() });
    let mut waiter = Worker::contender(&disk, context).until(&mut disk, "Link(Ticket, Mutex)");
    let start = disk.now.mono;
    let mut sleeps = 0;
    while waiter.effect().is_some() {
        match waiter.effect() {
            Some(Effect::Link(_, Name::Mutex)) => waiter.feed(&mut disk, Event::Exists),
            Some(Effect::Open { name: Name::Mutex, .. }) => waiter.feed(&mut disk, Event::Absent),
            effect => {
                sleeps += u32::from(matches!(effect, Some(Effect::Sleep { .. })));
                waiter.step(&mut disk);
            }
        }
        assert!(sleeps < 100, "{}", disk.story());
    }
    assert_eq!(waiter.run(&mut disk), Err(Failure::MutexHeld { holder: None }));
    assert_eq!(disk.now.mono.since(start), limit);
    assert_eq!(disk.open_slots(process("a").pid), []);
}

/// However little is left of a patience: else it would be tried again and again without a sleep.
#[test]
fn no_sleep_is_empty() {
    let context = process("a");
    let now = Disk::new().now;
    for patience in [
        Patience::Until { began: now.mono, limit: Duration::ZERO },
        Patience::PerHolder(Duration::ZERO),
    ] {
        let mut stall = Stall::new(patience);
        let until = stall.next_nap(&context, now, Duration::ZERO);
        assert_eq!(until.since(now.mono), SHORTEST_NAP);
    }
}
