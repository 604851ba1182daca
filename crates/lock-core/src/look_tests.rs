//! Scripted looks at a lock file: how the kernel is asked, and what else is.

use rstest::rstest;

use alloc::string::String;

use super::*;
use crate::Acquire;
use crate::effect::{Errno, Name};
use crate::machine::{Ownership, Reason};
use crate::record::Birth;
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::worker::Worker;
use crate::testing::{OTHER_BOOT, OTHER_HOST, owner, owner_with, process, process_with, settings};
use crate::verdict::Stale;
use crate::{Inspect, policy::Settings};

/// Another program, which knows nothing of our records.
const FLOCK: u32 = 4_711;

fn inspector(name: &str) -> Worker<Inspect> {
    let context = process(name);
    Worker::new(context.clone(), Inspect::new(&context))
}

fn seen(disk: &mut Disk, worker: Worker<Inspect>) -> Seen {
    let pid = worker.context.pid;
    let snapshot = worker.run(disk);
    disk.let_go(pid);
    match snapshot {
        Ok(Snapshot::Present(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

fn inspected(disk: &mut Disk) -> Seen {
    seen(disk, inspector("person"))
}

fn with_file(content: &str) -> Disk {
    let mut disk = Disk::new();
    let now = disk.now.wall;
    disk.put(&[Name::Lock], Inode::file(content, now));
    disk
}

/// `flock -s` has the lock as much as `flock` has.
#[rstest]
#[case::exclusively(Share::Exclusive)]
#[case::shared(Share::Shared)]
fn a_file_without_a_record_is_held_by_another_programs_lock(#[case] share: Share) {
    for content in ["", "half a rec", "42\n1000000\npeer\n"] {
        let mut disk = with_file(content);
        assert_eq!(inspected(&mut disk).kernel, KernelLock::Free);
        disk.lock_by_hand(FLOCK, share);
        assert_eq!(inspected(&mut disk).kernel, KernelLock::Held);
        disk.end(FLOCK);
        assert_eq!(inspected(&mut disk).kernel, KernelLock::Free);
        assert_eq!(disk.complaints(), [""; 0]);
    }
}

/// Each of them would look like an owner to the other.
#[test]
fn two_that_ask_at_once_do_not_take_each_other_for_an_owner() {
    let mut disk = with_file("half a rec");
    let one = inspector("one").after(&mut disk, "Lock(Judged, Exclusive)");
    let other = inspector("other").until(&mut disk, "Sleep");
    let start = disk.now.mono;
    assert_eq!(seen(&mut disk, one).kernel, KernelLock::Free);
    assert_eq!(seen(&mut disk, other).kernel, KernelLock::Free);
    let paused = disk.now.mono.since(start);
    assert!((SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&paused), "{paused:?}");
}

/// Two that paused for equally long would meet again.
#[test]
fn each_asker_pauses_for_a_time_of_its_own() {
    let pauses =
        ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"].map(|name| {
            let mut disk = with_file("half a rec");
            disk.lock_by_hand(FLOCK, Share::Exclusive);
            match inspector(name).until(&mut disk, "Sleep").effect() {
                Some(Effect::Sleep { until }) => until.since(disk.now.mono),
                other => panic!("{other:?}"),
            }
        });
    let distinct: alloc::collections::BTreeSet<_> = pauses.into_iter().collect();
    assert!(distinct.len() > 2, "{distinct:?}");
}

/// Askers must not look like owners to each other.
#[test]
fn a_record_of_ours_is_asked_about_in_shared_mode() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    disk.end(dead.pid);
    let one = inspector("one").after(&mut disk, "Lock(Judged, Shared)");
    assert_eq!(seen(&mut disk, inspector("other")).kernel, KernelLock::Free);
    assert_eq!(seen(&mut disk, one).kernel, KernelLock::Free);
    assert!(!disk.story().contains("Exclusive)"), "{}", disk.story());
}

/// A newer fleet's record is as much ours.
#[test]
fn a_record_of_a_newer_format_is_asked_about_in_shared_mode() {
    let mut disk = with_file("42\n1000000\nt\nformat=3\n");
    assert_eq!(inspected(&mut disk).kernel, KernelLock::Free);
    disk.lock_by_hand(FLOCK, Share::Exclusive);
    assert_eq!(inspected(&mut disk).kernel, KernelLock::Held);
    let story = disk.story();
    assert!(!story.contains("Lock(Judged, Exclusive)") && !story.contains("Sleep"), "{story}");
}

/// Unlocking need not make an event: so nothing is slept through for longer than a poll.
#[test]
fn a_lock_of_another_program_is_waited_for_poll_by_poll() {
    for content in ["", "42\n1000000\npeer\n"] {
        let mut disk = with_file(content);
        disk.lock_by_hand(FLOCK, Share::Shared);
        let context = process("a");
        let mut waiter =
            Worker::contender(&disk, context.clone()).until(&mut disk, "Watch(Judged)");
        let start = disk.now.mono;
        while disk.now.mono.since(start) < Duration::from_secs(60) {
            waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Look(Lock)");
        }
        disk.unlock_by_hand(FLOCK);
        let unlocked = disk.now.mono;
        let acquired = waiter.run(&mut disk).expect("because it was unlocked");
        let reason = acquired.takeover.map(|takeover| takeover.reason);
        let stale = if content.is_empty() { Stale::Corrupt } else { Stale::Expired };
        assert_eq!(reason, Some(Reason::Stale(stale)));
        assert!(disk.now.mono.since(unlocked) <= settings().poll);
        assert_eq!(disk.complaints(), [""; 0]);
    }
}

fn preemptible(disk: &mut Disk, birth: Birth) -> (Context, Ownership) {
    owner_with(disk, Context { preemptible: true, birth, ..process("o") })
}

/// Its tools may have the lock when it is dead.
#[test]
fn a_preemptible_owners_process_is_asked_about() {
    let mut disk = Disk::new();
    let (context, _) = preemptible(&mut disk, process("o").birth);
    assert_eq!(inspected(&mut disk).process, Life::Running);
    disk.inherit(context.pid, Slot::Ticket, FLOCK);
    disk.end(context.pid);
    let seen = inspected(&mut disk);
    assert_eq!((seen.kernel, seen.process), (KernelLock::Held, Life::Ended));
}

/// Whatever it has left is its work.
#[test]
fn the_process_of_one_that_is_not_preemptible_is_not() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    assert_eq!(inspected(&mut disk).process, Life::Unknown);
    assert!(!disk.story().contains("AskProcess"));
}

#[rstest]
#[case::in_another_pid_namespace(Birth { pidns: 2, start: 1 })]
#[case::that_does_not_know_when_it_started(Birth { pidns: 1, start: 0 })]
fn a_process_that_cannot_be_told_from_others_is_not_asked_about(#[case] birth: Birth) {
    let mut disk = Disk::new();
    preemptible(&mut disk, birth);
    assert_eq!(inspected(&mut disk).process, Life::Unknown);
    assert!(!disk.story().contains("AskProcess"));
}

/// Neither numbers nor cgroups mean anything there.
#[test]
fn nothing_is_asked_about_another_host_or_boot() {
    for place in [OTHER_HOST, OTHER_BOOT] {
        let mut disk = Disk::new();
        let there = Context { preemptible: true, here: place.host(), ..process("o") };
        let (context, _) = owner_with(&mut disk, there);
        inspected(&mut disk);
        in_cgroup(&mut disk);
        disk.end(context.pid);
        inspected(&mut disk);
        assert!(!disk.story().contains("Ask"));
    }
}

#[test]
fn where_there_are_no_kernel_locks_the_process_is_asked_about() {
    let mut disk = Disk::without(&[Lack::Locks]);
    let timed = process_with("o", Settings { allow_timed: true, ..settings() });
    let (context, _) = owner_with(&mut disk, timed);
    let seen = inspected(&mut disk);
    assert_eq!((seen.kernel, seen.process), (KernelLock::Unknown, Life::Running));
    disk.end(context.pid);
    assert_eq!(inspected(&mut disk).process, Life::Ended);
}

/// The record names a cgroup of its work.
fn in_cgroup(disk: &mut Disk) {
    let text = disk.text(Name::Lock).expect("because it is owned");
    let text: String = text.replace("progress=", "cgroup=work\nprogress=");
    disk.at(Name::Lock).expect("because it is owned").content = Ok(text.into_bytes());
}

#[test]
fn a_cgroup_is_asked_about_when_nothing_has_the_lock() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    in_cgroup(&mut disk);
    disk.populate("work", true);
    let seen = inspected(&mut disk);
    assert_eq!((seen.kernel, seen.cgroup), (KernelLock::Held, Life::Unknown));
    disk.end(context.pid);
    let seen = inspected(&mut disk);
    assert_eq!((seen.kernel, seen.cgroup), (KernelLock::Free, Life::Running));
    disk.populate("work", false);
    let seen = inspected(&mut disk);
    assert_eq!((seen.kernel, seen.cgroup), (KernelLock::Free, Life::Ended));
}

/// A populated cgroup is life, even if no descriptor is left; and its end makes no event.
#[test]
fn work_in_a_cgroup_is_waited_for_poll_by_poll() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    in_cgroup(&mut disk);
    disk.populate("work", true);
    disk.end(context.pid);
    let mut waiter = Worker::<Acquire>::contender(&disk, process("a"));
    let start = disk.now.mono;
    while disk.now.mono.since(start) < Duration::from_secs(60) {
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    disk.populate("work", false);
    let ended = disk.now.mono;
    let acquired = waiter.run(&mut disk).expect("because the work has ended");
    let reason = acquired.takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)));
    assert!(disk.now.mono.since(ended) <= settings().poll);
}

/// It may run: so it is counted like one elsewhere.
#[test]
fn what_cannot_be_asked_about_is_not_taken_for_dead() {
    let mut disk = Disk::new();
    preemptible(&mut disk, process("o").birth);
    for answer in [Event::Unsupported, Event::Failed(Errno(13))] {
        let mut look = inspector("person").until(&mut disk, "AskProcess");
        look.feed(&mut disk, answer.clone());
        let mut look = look.until(&mut disk, "AskProcess");
        look.feed(&mut disk, answer);
        assert_eq!(seen(&mut disk, look).process, Life::Unknown);
    }
}
