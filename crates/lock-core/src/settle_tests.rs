//! Scripted runs of a new owner that waits for what the old one has left in flight.

use core::time::Duration;

use rstest::rstest;

use super::*;
use crate::effect::{Errno, Event};
use crate::machine::{Ownership, Reason};
use crate::policy::Settings;
use crate::testing::disk::{Disk, Nerve};
use crate::testing::worker::Worker;
use crate::testing::{owner_with, process, process_with, settings};
use crate::verdict::Stale;
use crate::{Acquire, Held, Hold};

/// What the old owner announced in its last step.
const QUIET: Duration = Duration::from_secs(3);

fn tool() -> u32 {
    process("tool").pid
}

fn old() -> u32 {
    process("old").pid
}

/// Renews seldom enough for the scripts, which have it renew not at all.
fn patient() -> Settings {
    Settings { stale_after: Duration::from_secs(60), ..settings() }
}

/// A preemptible owner with a tool that a step has started.
fn in_flight(disk: &mut Disk, settings: Settings) -> (Context, Ownership) {
    let context = Context { preemptible: true, ..process_with("old", settings) };
    let (context, ownership) = owner_with(disk, context);
    let step = Hold::step(&context, disk.now, ownership, "1/1", QUIET);
    let Ok(Held::Stepping { ownership, leave }) = Worker::new(context.clone(), step).run(disk)
    else {
        panic!("{}", disk.story());
    };
    Worker::new(context.clone(), leave).run(disk).expect("because it leaves");
    disk.inherit(context.pid, Slot::Ticket, tool());
    disk.story();
    (context, ownership)
}

/// The next owner, and what it has to wait for.
fn taken_over(disk: &mut Disk, expected: Reason) -> Worker<Settle> {
    let context = process("new");
    let contender = Worker::<Acquire>::contender(disk, context.clone());
    let acquired = contender.run(disk).expect("because the old owner can be replaced");
    let takeover = acquired.takeover.expect("because there was one");
    assert_eq!(takeover.reason, expected);
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket, Slot::Judged]);
    disk.story();
    let settle = Settle::after(&process("taker"), &takeover, disk.now)
        .expect("because the old inode is held");
    Worker::new(context, settle)
}

fn after_a_death(disk: &mut Disk) -> Worker<Settle> {
    in_flight(disk, settings());
    disk.end(old());
    taken_over(disk, Reason::Stale(Stale::OwnerDied))
}

fn settled(disk: &Disk) {
    assert_eq!(disk.open_slots(process("new").pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn a_dead_owners_tool_that_ends_by_itself_is_waited_for() {
    let mut disk = Disk::new();
    let mut settle = after_a_death(&mut disk);
    let start = disk.now.mono;
    let deadline = start.after(QUIET);
    while disk.now.mono.since(start) < QUIET / 2 {
        settle = settle.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
        assert_eq!(settle.machine().waiting(), (&[tool()][..], deadline));
    }
    disk.end(tool());
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert!(disk.now.mono.since(start) <= QUIET / 2 + settings().poll * 2);
    assert!(!disk.story().contains("Signal"));
    settled(&disk);
}

#[rstest]
#[case::at_the_first_asking(Nerve::DiesOfTerm, Duration::ZERO)]
#[case::by_force(Nerve::DiesOfKill, settings().grace)]
fn a_tool_is_ended_when_the_quiet_is_over(#[case] nerve: Nerve, #[case] then: Duration) {
    let mut disk = Disk::new();
    let settle = after_a_death(&mut disk);
    disk.nerve(tool(), nerve);
    let start = disk.now.mono;
    let settle = settle.until(&mut disk, "Signal(Judged, Term)");
    assert_eq!(disk.now.mono.since(start), QUIET);
    disk.story();
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert_eq!(disk.now.mono.since(start), QUIET + then);
    settled(&disk);
    if nerve == Nerve::DiesOfKill {
        insta::assert_snapshot!(disk.story());
    }
}

#[rstest]
#[case::signalled_in_vain(Some(Nerve::Immortal), &[tool(), tool()])]
#[case::not_ours_to_signal(None, &[])]
fn a_tool_that_survives_is_named(#[case] nerve: Option<Nerve>, #[case] signalled: &[u32]) {
    let mut disk = Disk::new();
    let settle = after_a_death(&mut disk);
    if let Some(nerve) = nerve {
        disk.nerve(tool(), nerve);
    }
    let start = disk.now.mono;
    let (holders, signalled) = (Vec::from([tool()]), Vec::from(signalled));
    assert_eq!(settle.run(&mut disk), Ok(Settled::Running { holders, signalled }));
    assert_eq!(disk.now.mono.since(start), QUIET + settings().grace * 2);
    settled(&disk);
}

/// What it changes it changes in steps, which now refuse.
#[test]
fn a_living_owner_is_spared_and_its_tool_is_not() {
    let mut disk = Disk::new();
    in_flight(&mut disk, settings());
    disk.nerve(old(), Nerve::DiesOfTerm);
    disk.nerve(tool(), Nerve::DiesOfTerm);
    let settle = taken_over(&mut disk, Reason::Stale(Stale::Silent));
    let start = disk.now.mono;
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    // It was silent for a while before it was replaced.
    assert_eq!(disk.now.mono.since(start), QUIET - settings().stale_after);
    assert!(disk.open_slots(tool()).is_empty());
    assert_eq!(disk.open_slots(old()), [Slot::Ticket]);
    settled(&disk);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_living_owner_without_tools_is_not_waited_for() {
    let mut disk = Disk::new();
    in_flight(&mut disk, settings());
    disk.end(tool());
    let settle = taken_over(&mut disk, Reason::Stale(Stale::Silent));
    let start = disk.now.mono;
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert_eq!(disk.now.mono, start);
    settled(&disk);
}

/// Its quiet is over: nothing is left of it to wait for.
#[test]
fn a_hung_owners_tool_is_ended_at_once() {
    let mut disk = Disk::new();
    in_flight(&mut disk, patient());
    disk.nerve(old(), Nerve::DiesOfTerm);
    disk.nerve(tool(), Nerve::DiesOfTerm);
    let settle = taken_over(&mut disk, Reason::TimedOut);
    let start = disk.now.mono;
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert_eq!(disk.now.mono, start);
    assert!(disk.open_slots(tool()).is_empty());
    assert_eq!(disk.open_slots(old()), [Slot::Ticket]);
}

/// It died after it was replaced.
#[test]
fn a_tool_that_outlives_its_owner_meanwhile_is_waited_for() {
    let mut disk = Disk::new();
    in_flight(&mut disk, settings());
    let settle = taken_over(&mut disk, Reason::Stale(Stale::Silent)).until(&mut disk, "Sleep");
    disk.end(old());
    let settle = settle.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    disk.end(tool());
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert!(!disk.story().contains("Signal"));
    settled(&disk);
}

/// Its tools cannot be seen either, but the kernel says that something holds the file.
#[test]
fn a_living_owner_that_cannot_be_seen_has_the_quiet_that_it_announced() {
    let mut disk = Disk::new();
    in_flight(&mut disk, settings());
    for pid in [old(), tool()] {
        disk.nerve(pid, Nerve::DiesOfTerm);
        disk.hide(pid);
    }
    let settle = taken_over(&mut disk, Reason::Stale(Stale::Silent));
    let start = disk.now.mono;
    let other = settle.clone();
    assert_eq!(settle.run(&mut disk.clone()), Ok(Settled::Quiet));
    let mut later = disk.clone();
    assert_eq!(other.clone().run(&mut later), Ok(Settled::Quiet));
    assert_eq!(later.now.mono.since(start), QUIET - settings().stale_after);
    assert!(!later.story().contains("Signal"));
    let other = other.after(&mut disk, "Sleep");
    disk.end(old());
    disk.end(tool());
    assert_eq!(other.run(&mut disk), Ok(Settled::Quiet));
    assert!(disk.now.mono.since(start) <= settings().poll);
}

#[test]
fn a_cancelled_wait_closes_the_old_file() {
    let mut disk = Disk::new();
    let mut settle = after_a_death(&mut disk).until(&mut disk, "Sleep");
    settle.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(settle.run(&mut disk), Err(Failure::Cancelled));
    settled(&disk);
}

#[test]
fn whatever_fails_the_old_file_is_closed() {
    for due in ["Lock(Judged, Shared)", "ListHolders(Judged)", "Sleep", "Signal(Judged, Term)"] {
        let mut disk = Disk::new();
        let mut settle = after_a_death(&mut disk).until(&mut disk, due);
        settle.feed(&mut disk, Event::Failed(Errno(5)));
        let failure = settle.run(&mut disk);
        assert!(matches!(failure, Err(Failure::System { errno: Errno(5), .. })), "{failure:?}");
        settled(&disk);
    }
}

/// One that has not agreed to be replaced is dead, with all that had its lock.
#[test]
fn there_is_nothing_to_wait_for_after_a_plain_death() {
    for preemptible in [false, true] {
        let mut disk = Disk::new();
        let (dead, _) = owner_with(&mut disk, Context { preemptible, ..process("old") });
        disk.end(dead.pid);
        let context = process("new");
        let acquired = Worker::<Acquire>::contender(&disk, context).run(&mut disk);
        let takeover = acquired.expect("because the owner is dead").takeover;
        let takeover = takeover.expect("because there was an owner");
        assert!(!takeover.is_held);
        assert_eq!(Settle::after(&process("taker"), &takeover, disk.now), None);
        settled(&disk);
    }
}

/// Counted by the new owner's own looks at that step.
#[test]
fn the_wait_is_as_long_as_what_is_left_of_the_quiet() {
    let mut disk = Disk::new();
    in_flight(&mut disk, patient());
    disk.nerve(tool(), Nerve::DiesOfTerm);
    let context = process("new");
    let mut waiter = Worker::<Acquire>::contender(&disk, context.clone());
    let begun = disk.now.mono;
    while disk.now.mono.since(begun) < QUIET / 2 {
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    disk.end(old());
    let acquired = waiter.run(&mut disk).expect("because the owner is dead");
    let takeover = acquired.takeover.expect("because there was an owner");
    let settle = Settle::after(&process("taker"), &takeover, disk.now)
        .expect("because the old inode is held");
    Worker::new(context, settle).until(&mut disk, "Signal(Judged, Term)");
    let waited = disk.now.mono.since(begun);
    assert!((QUIET..QUIET + settings().poll).contains(&waited), "{waited:?}");
}

/// The next but one: the owner that waited ends before it has begun its work.
fn after_two_deaths(disk: &mut Disk) -> Worker<Settle> {
    let settle = after_a_death(disk).until(disk, "Sleep");
    settle.die(disk);
    disk.end(process("new").pid);
    let context = process("third");
    let acquired = Worker::<Acquire>::contender(disk, context.clone()).run(disk);
    let takeover = acquired.expect("because its owner is dead").takeover;
    let takeover = takeover.expect("because the lock was not released");
    let settle = Settle::after(&context, &takeover, disk.now);
    disk.story();
    Worker::new(context, settle.expect("because the record says that a tool may still run"))
}

#[test]
fn a_tool_outlives_two_owners_and_is_still_waited_for() {
    let mut disk = Disk::new();
    let settle = after_two_deaths(&mut disk).until(&mut disk, "Sleep");
    assert_eq!(settle.machine().waiting().0, [tool()]);
    disk.end(tool());
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
    assert_eq!(disk.open_slots(process("third").pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

/// The first of them is stopped, say; the second ends while it settles.
#[test]
fn an_owner_that_was_replaced_alive_does_not_hold_up_the_next_but_one() {
    let mut disk = Disk::new();
    in_flight(&mut disk, settings());
    let settle = taken_over(&mut disk, Reason::Stale(Stale::Silent)).until(&mut disk, "Sleep");
    settle.die(&mut disk);
    disk.end(process("new").pid);
    disk.end(tool());
    let context = process("third");
    let acquired = Worker::<Acquire>::contender(&disk, context.clone()).run(&mut disk);
    let takeover = acquired.expect("because its owner is dead").takeover;
    let takeover = takeover.expect("because the lock was not released");
    assert_eq!(takeover.after.map(|inode| inode.spared), Some(old()));
    let settle = Settle::after(&context, &takeover, disk.now);
    let settle = Worker::new(context, settle.expect("because the record says what to wait for"));
    assert_eq!(settle.run(&mut disk), Ok(Settled::Quiet));
}

/// Its number may be another file's by now, so what has that locked is not ended.
#[test]
fn what_an_inherited_number_names_is_not_signalled() {
    let mut disk = Disk::new();
    let settle = after_two_deaths(&mut disk);
    disk.nerve(tool(), Nerve::DiesOfTerm);
    let (holders, signalled) = (Vec::from([tool()]), Vec::new());
    assert_eq!(settle.run(&mut disk), Ok(Settled::Running { holders, signalled }));
    assert!(!disk.story().contains("Signal"));
}

#[test]
fn an_owner_that_has_settled_says_so() {
    let mut disk = Disk::new();
    drop(after_a_death(&mut disk));
    let text = disk.text(crate::effect::Name::Lock).expect("because it is owned");
    assert!(text.contains("\nafter=1:"), "{text}");
    let record = crate::record::Record::parse(text.as_bytes()).expect("because we wrote it");
    let detail = record.detail.as_ref().expect("because it is ours");
    assert_eq!(detail.after.map(|inode| inode.device), Some(1));
    assert!(!record.clone().replacing(None).encode(0).contains("\nafter="));
}
