//! Scripted runs of contenders that end an owner, or a mutex's holder, for which they have waited
//! their whole limit: whom they signal, and what that gives them.

use core::time::Duration;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::Acquire;
use crate::effect::{Errno, Name};
use crate::machine::Reason;
use crate::policy::{OnTimeout, Settings};
use crate::testing::disk::{Disk, Lack, Nerve};
use crate::testing::line::{line_of, release, together};
use crate::testing::worker::Worker;
use crate::testing::{corpse, owner, owner_with, process, process_with, settings};
use crate::time::Mono;
use crate::verdict::Stale;

const LIMIT: Duration = Duration::from_secs(5);
const MS: Duration = Duration::from_millis(1);

/// Where a contender has the mutex and nothing else.
const IN_THE_MUTEX: &str = "Open(Judged, Lock)";

fn stopping() -> Settings {
    Settings { wait_limit: Some(LIMIT), on_timeout: OnTimeout::Stop, ..settings() }
}

fn ender(name: &str) -> Context {
    process_with(name, stopping())
}

/// One that does not wait, and so does not stand in the queue.
fn hasty(name: &str) -> Context {
    process_with(name, Settings { no_wait: true, ..settings() })
}

fn mortal(disk: &mut Disk, names: &[&str], nerve: Nerve) {
    for name in names {
        disk.nerve(process(name).pid, nerve);
    }
}

fn after(disk: &Disk, wait: Duration) -> Mono {
    disk.now.mono.after(wait)
}

/// Each signal in the story, and to whom it was sent.
fn signals(story: &str) -> Vec<String> {
    story.lines().filter(|line| line.contains("Signal")).map(String::from).collect()
}

fn reason(worker: &Worker<Acquire>) -> Option<Reason> {
    let acquired = worker.outcome().expect("because it has ended");
    let acquired = acquired.as_ref().expect("because it becomes owner");
    acquired.takeover.as_ref().map(|takeover| takeover.reason)
}

/// They time out together, and must not end each other in turn (H4).
#[test]
fn of_three_with_the_same_limit_only_the_owner_is_ended_and_the_first_takes_over() {
    let mut disk = Disk::new();
    let (hung, _) = owner(&mut disk, "hung");
    mortal(&mut disk, &["hung", "a", "b", "c"], Nerve::DiesOfTerm);
    let mut waiters = line_of(&mut disk, ["a", "b", "c"].map(ender));
    let end = after(&disk, LIMIT + settings().grace);
    together(&mut disk, &mut waiters, end);
    let story = disk.story();
    let expected = format!("→ Holders([{}])", hung.pid);
    let signals = signals(&story);
    assert!(!signals.is_empty() && signals.iter().all(|line| line.ends_with(&expected)), "{story}");
    let [a, b, c] = &waiters;
    assert_eq!(reason(a), Some(Reason::Stale(Stale::OwnerDied)));
    assert!(b.outcome().is_none() && c.outcome().is_none(), "{story}");
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(2)", "Queued(3)"]);

    // The new owner has the others' whole limit before it.
    let end = after(&disk, LIMIT - settings().grace - 100 * MS);
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("a").pid, Name::Lock));
    assert!(!disk.story().contains("Signal"));
    let end = after(&disk, LIMIT);
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("b").pid, Name::Lock), "{}", disk.story());
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Ending an owner gives no right to the lock.
#[test]
fn one_that_is_not_first_ends_the_owner_and_stays_in_line() {
    let mut disk = Disk::new();
    let (hung, _) = owner(&mut disk, "hung");
    mortal(&mut disk, &["hung"], Nerve::DiesOfKill);
    let mut waiters = line_of(&mut disk, [process("patient"), ender("b")]);
    let ticket = disk.leads_to(Name::Queued(2));
    let end = after(&disk, LIMIT * 2);
    together(&mut disk, &mut waiters, end);
    let story = disk.story();
    let expected = ["Term", "Kill"]
        .map(|signal| format!("b  Signal(Judged, {signal}) → Holders([{}])", hung.pid));
    assert_eq!(signals(&story), expected);
    let [patient, b] = &waiters;
    assert_eq!(reason(patient), Some(Reason::Stale(Stale::OwnerDied)));
    assert!(b.outcome().is_none());
    assert_eq!(disk.leads_to(Name::Queued(2)), ticket);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// It names whom it signalled, and its number goes with it.
#[test]
fn one_that_is_not_first_gives_up_on_an_owner_that_survives() {
    let mut disk = Disk::new();
    let (hung, _) = owner(&mut disk, "hung");
    mortal(&mut disk, &["hung"], Nerve::Immortal);
    let mut waiters = line_of(&mut disk, [process("patient"), ender("b")]);
    let end = after(&disk, LIMIT * 2);
    together(&mut disk, &mut waiters, end);
    let [patient, b] = &waiters;
    assert!(patient.outcome().is_none());
    match b.outcome() {
        Some(Err(Failure::Survived { owner: Some(owner), signalled })) => {
            assert_eq!(owner.token, hung.token);
            assert_eq!(*signalled, [hung.pid, hung.pid]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)"]);
}

/// Only one that has waited its whole limit for this very ownership may end it.
#[test]
fn each_owner_is_given_the_whole_limit() {
    let mut disk = Disk::new();
    let (first, ownership) = owner(&mut disk, "first");
    mortal(&mut disk, &["first", "second"], Nerve::DiesOfTerm);
    let mut waiters = line_of(&mut disk, [ender("a")]);
    let end = after(&disk, LIMIT - MS);
    together(&mut disk, &mut waiters, end);
    release(&mut disk, &first, ownership);
    owner_with(&mut disk, hasty("second"));
    let begun = disk.now.mono;
    together(&mut disk, &mut waiters, begun.after(LIMIT - MS));
    assert!(disk.holds(process("second").pid, Name::Lock), "{}", disk.story());
    assert_eq!(signals(&disk.story()), [""; 0]);
    together(&mut disk, &mut waiters, begun.after(LIMIT + MS));
    assert_eq!(signals(&disk.story()).len(), 1);
    assert_eq!(reason(&waiters[0]), Some(Reason::Stale(Stale::OwnerDied)));
}

/// Its file is open meanwhile, so that no other can be signalled, and our number stays ours.
#[test]
fn a_stopped_mutex_holder_is_ended_and_the_waiter_keeps_its_ticket() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let [waiter] = line_of(&mut disk, [ender("a")]);
    let ticket = disk.leads_to(Name::Queued(1));
    Worker::contender(&disk, hasty("stopped")).until(&mut disk, IN_THE_MUTEX);
    mortal(&mut disk, &["stopped"], Nerve::DiesOfKill);
    disk.end(context.pid);
    let start = disk.now.mono;
    let waiter = waiter.until(&mut disk, "Signal(Guard, Term)");
    assert_eq!(disk.now.mono.since(start), LIMIT);
    assert!(disk.open_slots(process("a").pid).contains(&Slot::Guard));
    let waiter = waiter.until(&mut disk, "Signal(Guard, Kill)");
    assert_eq!(disk.now.mono.since(start), LIMIT + settings().grace);
    assert_eq!(disk.leads_to(Name::Queued(1)), ticket);
    let waiter = waiter.until(&mut disk, "Rename(Takeover, Lock)");
    assert_eq!(disk.leads_to(Name::Queued(1)), ticket);
    assert!(waiter.run(&mut disk).is_ok());
    assert_eq!(disk.leads_to(Name::Lock), ticket);
    let story = disk.story();
    let pid = process("stopped").pid;
    let expected =
        ["Term", "Kill"].map(|signal| format!("a  Signal(Guard, {signal}) → Holders([{pid}])"));
    assert_eq!(signals(&story), expected);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Without a number too: it has a ticket all the same.
#[test]
fn a_mutex_holder_that_survives_is_named_and_nothing_stays_behind() {
    for lacks in [&[][..], &[Lack::Anonymous], &[Lack::Anonymous, Lack::Links]] {
        for fails in [false, true] {
            let mut disk = Disk::without(lacks);
            let stopped = Worker::contender(&disk, hasty("stopped"));
            let stopped = stopped.until(&mut disk, IN_THE_MUTEX);
            mortal(&mut disk, &["stopped"], Nerve::Immortal);
            let mut waiter =
                Worker::contender(&disk, ender("a")).until(&mut disk, "Signal(Guard, Term)");
            if fails {
                waiter.feed(&mut disk, Event::Failed(Errno(1)));
            }
            let failure = waiter.run(&mut disk).expect_err("because the mutex is held");
            match failure {
                Failure::Survived { owner, .. } if !fails => {
                    assert_eq!(owner.map(|owner| owner.token), Some(process("stopped").token));
                }
                Failure::System { errno: Errno(1), .. } if fails => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(disk.names(), ["Mutex"], "{lacks:?}");
            assert_eq!(disk.open_slots(process("a").pid), []);
            assert_eq!(disk.complaints(), [""; 0]);
            drop(stopped);
        }
    }
}

/// It has the dead mutex locked, which makes that look alive; but it is the reaper that is ended.
#[test]
fn a_stopped_reaper_is_ended_too() {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let stopped = Worker::contender(&disk, hasty("stopped")).until(&mut disk, "Look(Takeover)");
    mortal(&mut disk, &["stopped"], Nerve::DiesOfTerm);
    let start = disk.now.mono;
    let waiter = Worker::contender(&disk, ender("a")).until(&mut disk, "Signal(Rival, Term)");
    assert_eq!(disk.now.mono.since(start), LIMIT);
    assert!(waiter.run(&mut disk).is_ok(), "{}", disk.story());
    let expected = format!("a  Signal(Rival, Term) → Holders([{}])", stopped.context.pid);
    assert_eq!(signals(&disk.story()), [expected]);
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// The grace that one process was given is not the patience that others deserve.
#[test]
fn the_next_mutex_holder_is_given_the_whole_limit() {
    let mut disk = Disk::new();
    Worker::contender(&disk, hasty("one")).until(&mut disk, IN_THE_MUTEX);
    mortal(&mut disk, &["one", "other"], Nerve::DiesOfTerm);
    let waiter = Worker::contender(&disk, ender("a")).after(&mut disk, "Signal(Guard, Term)");
    Worker::contender(&disk, hasty("other")).until(&mut disk, IN_THE_MUTEX);
    let start = disk.now.mono;
    disk.story();
    assert!(waiter.run(&mut disk).is_ok());
    assert!(disk.now.mono.since(start) >= LIMIT, "{}", disk.story());
    let expected = format!("a  Signal(Guard, Term) → Holders([{}])", process("other").pid);
    assert_eq!(signals(&disk.story()), [expected]);
}
