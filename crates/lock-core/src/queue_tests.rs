//! Scripted runs of those who wait: who watches whom, and who is next.

use core::time::Duration;

use super::*;
use crate::effect::{Errno, Wake};
use crate::machine::{Failure, Reason};
use crate::policy::{OnTimeout, Settings};
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::line::{acquired, contender, line, release};
use crate::testing::worker::Worker;
use crate::testing::{owner, process, process_with, settings};
use crate::verdict::Stale;

fn waits_on(disk: &Disk, pid: u32, slot: Slot) -> bool {
    disk.open_slots(pid).contains(&slot)
}

#[test]
fn the_second_to_wait_watches_the_first_and_not_the_owner() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [_a] = line(&mut disk, ["a"]);
    contender(&disk, "b").until(&mut disk, "Sleep");
    insta::assert_snapshot!(disk.story());
    assert!(waits_on(&disk, process("a").pid, Slot::Judged));
    assert!(!waits_on(&disk, process("b").pid, Slot::Judged));
}

#[test]
fn a_release_is_handed_to_the_first_and_wakes_nobody_else() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b] = line(&mut disk, ["a", "b"]);
    release(&mut disk, &context, ownership);
    assert!(disk.wakes(process("a").pid));
    let first = acquired(a.run(&mut disk));
    assert!(!disk.wakes(process("b").pid), "it was woken while it has somebody before it");
    disk.story();
    release(&mut disk, &process("a"), first);
    assert!(disk.wakes(process("b").pid));
    acquired(b.run(&mut disk));
    insta::assert_snapshot!(disk.story());
}

/// To close the last descriptor of a file without a name takes the kernel a while.
#[test]
fn what_was_waited_for_is_closed_only_when_the_lock_is_ours() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b] = line(&mut disk, ["a", "b"]);
    release(&mut disk, &context, ownership);
    let first = acquired(a.run(&mut disk));
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Ticket, Slot::Judged]);
    release(&mut disk, &process("a"), first);
    acquired(b.run(&mut disk));
    assert_eq!(disk.open_slots(process("b").pid), [Slot::Ticket, Slot::Ahead]);
    assert!(!disk.story().contains("Close(Ahead)"));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// One before it gives up, and there is another.
#[test]
fn what_was_waited_for_is_closed_before_another_is() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [_a, mut b, c] = line(&mut disk, ["a", "b", "c"]);
    b.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(b.run(&mut disk), Err(Failure::Cancelled));
    disk.let_go(process("b").pid);
    disk.story();
    c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert!(disk.story().contains("c  Close(Ahead)\nc  Open(Ahead, Queued(1))\n"));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// A stranger makes a lock, removes it, and makes another, all while the first in line looks.
#[test]
fn what_was_waited_for_is_not_closed_twice() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    release(&mut disk, &context, ownership);
    let stranger = Inode::file("", disk.now.wall);
    let a = a.after(&mut disk, "Link(Ticket, Mutex)").until(&mut disk, "Look(Lock)");
    disk.put(&[Name::Lock], stranger.clone());
    let a = a.until(&mut disk, "Open(Judged, Lock)");
    disk.remove(Name::Lock);
    let a = a.until(&mut disk, "Link(Ticket, Lock)");
    disk.put(&[Name::Lock], stranger);
    acquired(a.run(&mut disk));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Whose ticket has been removed by hand begins anew, with nothing open.
#[test]
fn what_was_waited_for_is_closed_before_one_comes_anew() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, b] = line(&mut disk, ["a", "b"]);
    release(&mut disk, &context, ownership);
    let first = acquired(a.run(&mut disk));
    release(&mut disk, &process("a"), first);
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Link(Ticket, Mutex)");
    disk.remove(Name::Queued(2));
    let b = b.after(&mut disk, "Close(Ahead)");
    assert_eq!(disk.open_slots(process("b").pid), []);
    acquired(b.run(&mut disk));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// It stays in line until the lock is its own.
#[test]
fn a_waiter_whose_takeover_is_swapped_under_its_hands_keeps_its_number() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    disk.let_go(dead.pid);
    let a = a.until(&mut disk, "Rename(Takeover, Lock)");
    disk.remove(Name::Takeover);
    disk.put(&[Name::Takeover], Inode::file("", disk.now.wall));
    let a = a.after(&mut disk, "Rename(Takeover, Lock)").until(&mut disk, "Rename(Takeover, Lock)");
    assert_eq!(disk.names(), ["Generation", "Lock", "Mutex", "Queued(1)", "Takeover"]);
    acquired(a.run(&mut disk));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    release(&mut disk, &context, ownership);
    disk.story();
    let newcomer = contender(&disk, "n").until(&mut disk, "Sleep");
    insta::assert_snapshot!(disk.story());
    let first = acquired(a.run(&mut disk));
    release(&mut disk, &process("a"), first);
    acquired(newcomer.run(&mut disk));
}

#[test]
fn the_one_behind_a_dead_waiter_clears_it_and_moves_up() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [_a, b, c] = line(&mut disk, ["a", "b", "c"]);
    b.die(&mut disk);
    disk.story();
    c.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    insta::assert_snapshot!(disk.story());
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)", "Queued(3)"]);
}

#[test]
fn who_gives_up_waiting_leaves_no_gap() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a, mut b, c] = line(&mut disk, ["a", "b", "c"]);
    b.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(b.run(&mut disk), Err(Failure::Cancelled));
    disk.let_go(process("b").pid);
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)", "Queued(3)"]);
    release(&mut disk, &context, ownership);
    let first = acquired(a.run(&mut disk));
    release(&mut disk, &process("a"), first);
    acquired(c.run(&mut disk));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
}

/// Its patience is its own, and it is nobody's turn.
#[test]
fn a_waiter_behind_another_gives_up_when_its_patience_ends() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [_a] = line(&mut disk, ["a"]);
    let stale_after = Duration::from_secs(60);
    let limit = Duration::from_secs(5);
    let wait_limit = Some(limit);
    let on_timeout = OnTimeout::Fail;
    let settings = Settings { wait_limit, on_timeout, stale_after, ..settings() };
    let start = disk.now.mono;
    let outcome = Worker::contender(&disk, process_with("b", settings)).run(&mut disk);
    assert!(matches!(outcome, Err(Failure::TimedOut { owner: Some(_) })), "{outcome:?}");
    assert_eq!(disk.now.mono.since(start), limit);
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)"]);
}

#[test]
fn the_first_of_those_who_wait_takes_over_from_the_dead() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let [a, b] = line(&mut disk, ["a", "b"]);
    disk.let_go(context.pid);
    let takeover = a.run(&mut disk).expect("because the owner is dead").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)));
    assert!(!disk.wakes(process("b").pid));
    drop(b);
}

#[test]
fn a_directory_that_is_long_unused_goes_with_the_next_who_need_not_wait() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    release(&mut disk, &context, ownership);
    let own = acquired(a.run(&mut disk));
    assert!(disk.at(Name::Queue).is_some());
    release(&mut disk, &process("a"), own);
    let own = acquired(contender(&disk, "b").run(&mut disk));
    assert!(disk.at(Name::Queue).is_some());
    release(&mut disk, &process("b"), own);
    disk.pass(1_000);
    disk.story();
    acquired(contender(&disk, "c").run(&mut disk));
    insta::assert_snapshot!(disk.story());
    assert!(disk.at(Name::Queue).is_none());
}

/// No safety rests on the queue, and nothing in it is worth failing for.
#[test]
fn where_the_queue_cannot_be_used_all_wait_for_the_owner() {
    let wall = Disk::new().now.wall;
    let file = Inode::file("", wall);
    let foreign = Inode { kind: Kind::Directory, foreign: true, ..file.clone() };
    let link = Inode { kind: Kind::Symlink, ..file.clone() };
    for thing in [file, foreign, link] {
        let mut disk = Disk::new();
        let (context, ownership) = owner(&mut disk, "o");
        disk.put(&[Name::Queue], thing);
        let [a] = line(&mut disk, ["a"]);
        assert!(waits_on(&disk, process("a").pid, Slot::Judged));
        assert_eq!(disk.names(), ["Generation", "Lock"]);
        release(&mut disk, &context, ownership);
        acquired(a.run(&mut disk));
    }
}

#[test]
fn a_number_that_was_removed_by_hand_is_taken_anew() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_a, b] = line(&mut disk, ["a", "b"]);
    disk.remove(Name::Queued(2));
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Link(Ticket, Queued(2))");
    let b = b.until(&mut disk, "Sleep");
    disk.remove(Name::Queued(1));
    release(&mut disk, &context, ownership);
    acquired(b.run(&mut disk));
}

/// Without the list nobody knows who is before it: the mutex decides.
#[test]
fn who_cannot_see_the_queue_any_more_waits_for_the_owner() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [_a] = line(&mut disk, ["a"]);
    let mut b = contender(&disk, "b").until(&mut disk, "Link(Ticket, Queued(2))");
    b = b.after(&mut disk, "Open(Queue, Queue)");
    b.feed(&mut disk, Event::Failed(Errno(5)));
    b.until(&mut disk, "Sleep");
    assert!(waits_on(&disk, process("b").pid, Slot::Judged));
}

/// Otherwise everyone behind it would try again and again.
#[test]
fn a_dead_waiter_that_cannot_be_cleared_is_in_nobodys_way() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [dead, b] = line(&mut disk, ["dead", "b"]);
    dead.die(&mut disk);
    let mut b = b.after(&mut disk, "Sleep").until(&mut disk, "Unlink(Queued(1))");
    b.feed(&mut disk, Event::Failed(Errno(30)));
    b.until(&mut disk, "Sleep");
    assert!(waits_on(&disk, process("b").pid, Slot::Judged));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// What the file system can do is known only when something has been made on it.
#[test]
fn a_newcomer_stands_in_line_where_tickets_are_born_with_a_name() {
    let mut disk = Disk::without(&[Lack::Anonymous]);
    owner(&mut disk, "o");
    let [_a] = line(&mut disk, ["a"]);
    contender(&disk, "b").until(&mut disk, "Sleep");
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)", "Queued(2)"]);
}

/// A slow newcomer can be given a number that has become free.
#[test]
fn a_number_that_is_anothers_by_now_is_left_alone() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let [dead, b] = line(&mut disk, ["dead", "b"]);
    dead.die(&mut disk);
    let b = b.after(&mut disk, "Sleep").until(&mut disk, "Look(Queued(1))");
    disk.remove(Name::Queued(1));
    disk.put(&[Name::Queued(1)], Inode::file("", disk.now.wall));
    b.until(&mut disk, "Open(Queue, Queue)");
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(1)", "Queued(2)"]);
}

/// Between linking a number and opening the one before, that one may have been served.
#[test]
fn who_was_before_one_may_be_gone_at_the_first_look() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [a] = line(&mut disk, ["a"]);
    let b = contender(&disk, "b").until(&mut disk, "Open(Ahead, Queued(1))");
    release(&mut disk, &context, ownership);
    let first = acquired(a.run(&mut disk));
    let b = b.until(&mut disk, "Sleep");
    assert!(waits_on(&disk, process("b").pid, Slot::Judged));
    release(&mut disk, &process("a"), first);
    acquired(b.run(&mut disk));
}

#[test]
fn behind_the_largest_number_one_waits_without_a_place() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let [_a] = line(&mut disk, ["a"]);
    disk.put(&[Name::Queued(u64::MAX)], Inode::file("", disk.now.wall));
    let b = contender(&disk, "b").until(&mut disk, "Sleep");
    assert!(waits_on(&disk, process("b").pid, Slot::Judged));
    release(&mut disk, &context, ownership);
    acquired(b.run(&mut disk));
}
