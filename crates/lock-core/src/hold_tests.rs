//! Scripted runs of an owner: renew, step, release, and each way to find the lock lost.

use super::*;
use crate::acquire::Acquire;
use crate::effect::{Errno, Event, Wake};
use crate::evict::Evict;
use crate::policy::Settings;
use crate::record::{Generation, Token};
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{owner, preemptible_owner, process, process_with, settings};
use crate::time::Boot;

fn renew(disk: &Disk, context: &Context, ownership: &Ownership) -> Worker<Hold> {
    let machine = Hold::renew(context, disk.now, ownership.clone());
    Worker::new(context.clone(), machine)
}

fn step(disk: &Disk, context: &Context, ownership: &Ownership, label: &str) -> Worker<Hold> {
    let machine = Hold::step(context, disk.now, ownership.clone(), label, Duration::ZERO);
    Worker::new(context.clone(), machine)
}

fn release(disk: &Disk, context: &Context, ownership: &Ownership) -> Worker<Hold> {
    let machine = Hold::release(context, disk.now, ownership.clone());
    Worker::new(context.clone(), machine)
}

fn record(disk: &mut Disk) -> Record {
    let text = disk.text(Name::Lock).expect("because the lock is owned");
    Record::parse(text.as_bytes()).expect("because its owner wrote it")
}

fn lost_to(held: Result<Held, Failure>) -> Option<Token> {
    match held {
        Ok(Held::Lost { to }) => to.map(|record| record.token.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_renewal_refreshes_the_stamp_and_nothing_else() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let before = record(&mut disk);
    disk.pass(100);
    let held = renew(&disk, &context, &ownership).run(&mut disk);
    let renewed = before.renewed(disk.now);
    assert_eq!(record(&mut disk), renewed);
    assert!(matches!(held, Ok(Held::Renewed(ownership)) if *ownership.record == renewed));
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// A peer judges our mutex by its mtime.
#[test]
fn a_ticket_that_is_due_for_renewal_is_touched_before_it_becomes_the_mutex() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    disk.pass(333);
    let early = renew(&disk, &context, &ownership);
    disk.pass(1);
    let due = renew(&disk, &context, &ownership);
    assert_eq!(early.effect(), Some(Effect::Link(Slot::Ticket, Name::Mutex)));
    assert_eq!(due.effect(), Some(Effect::Touch(Slot::Ticket)));
    disk.pass(1_000);
    due.until(&mut disk, "Look(Lock)");
    let mtime = disk.at(Name::Mutex).map(|inode| inode.mtime);
    assert_eq!(mtime, Some(disk.now.wall));
}

#[test]
fn a_step_stays_in_the_mutex_until_it_leaves() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let held = step(&disk, &context, &ownership, "1/2 restarting coder-1").run(&mut disk);
    let Ok(Held::Stepping { ownership, leave }) = held else {
        panic!("{held:?}");
    };
    assert!(disk.holds(context.pid, Name::Mutex));
    assert_eq!(record(&mut disk), *ownership.record);
    let leave = Worker::new(context.clone(), leave);
    leave.run(&mut disk).expect("because nothing fails");
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_shorter_phrase_leaves_no_tail_of_the_longer_one() {
    let mut disk = Disk::new();
    let (context, mut ownership) = owner(&mut disk, "o");
    for label in ["a phrase of some length", "short", "a phrase that is even longer than that"] {
        match step(&disk, &context, &ownership, label).run(&mut disk) {
            Ok(Held::Stepping { ownership: advanced, leave }) => {
                let leave = Worker::new(context.clone(), leave);
                leave.run(&mut disk).expect("because nothing fails");
                ownership = advanced;
            }
            other => panic!("{other:?}"),
        }
        let phrase = record(&mut disk).detail.map(|detail| detail.progress.phrase);
        assert_eq!(phrase.as_deref(), Some(label));
    }
}

#[test]
fn a_release_leaves_nothing_behind() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let held = release(&disk, &context, &ownership).run(&mut disk);
    assert_eq!(held, Ok(Held::Released));
    assert_eq!(disk.names(), ["Generation"]);
    assert_eq!(disk.open_slots(context.pid), []);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn an_evicted_owner_finds_the_lock_nobodys() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let person = process("person");
    let evict = Evict::new(&person, Some(Generation(1)));
    let evicted = Worker::new(person, evict).run(&mut disk);
    evicted.expect("because nothing is in its way");
    disk.story();
    assert_eq!(lost_to(release(&disk, &context, &ownership).run(&mut disk)), None);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn an_owner_that_was_taken_over_hears_to_whom_whatever_it_tries() {
    let mut disk = Disk::new();
    let (context, ownership) = preemptible_owner(&mut disk, "o");
    owner(&mut disk, "b");
    let by_b = disk.text(Name::Lock);
    let attempts = [
        renew(&disk, &context, &ownership),
        step(&disk, &context, &ownership, "1/2"),
        release(&disk, &context, &ownership),
        release(&disk, &context, &ownership),
    ];
    for attempt in attempts {
        let held = attempt.run(&mut disk);
        assert_eq!(lost_to(held), Some(process("b").token));
        disk.close(context.pid, Slot::Guard);
    }
    assert_eq!(disk.text(Name::Lock), by_b);
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_peer_that_overwrote_the_record_in_place_has_the_lock() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let lock = disk.at(Name::Lock).expect("because the lock is owned");
    lock.content = Ok(b"42\n1000000\npeer\n".into());
    let held = release(&disk, &context, &ownership).run(&mut disk);
    assert_eq!(lost_to(held).as_ref().map(Token::as_str), Some("peer"));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// What was written last is the usual case, but only the token counts.
#[test]
fn a_record_with_a_line_more_and_our_token_is_ours() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let text = disk.text(Name::Lock).expect("because the lock is owned");
    let lock = disk.at(Name::Lock).expect("because the lock is owned");
    lock.content = Ok((text + "note=by hand\n").into());
    assert_eq!(release(&disk, &context, &ownership).run(&mut disk), Ok(Held::Released));
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn a_lock_that_was_replaced_while_our_ticket_kept_a_name_is_lost() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let renewal = renew(&disk, &context, &ownership).until(&mut disk, "Look(Lock)");
    disk.remove(Name::Lock);
    disk.put(&[Name::Lock], Inode::file("42\n1000000\npeer\n", disk.now.wall));
    let held = renewal.run(&mut disk);
    assert_eq!(lost_to(held).as_ref().map(Token::as_str), Some("peer"));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    insta::assert_snapshot!(disk.story());
}

/// Longer than `hang_after`, so that a living owner is replaced for being slow, not silent.
fn breaker(disk: &Disk) -> Worker<Acquire> {
    let stale_after = Duration::from_secs(60);
    let settings = Settings { stale_after, ..settings() };
    Worker::contender(disk, process_with("b", settings))
}

#[test]
fn a_release_that_comes_before_the_takeover_wins() {
    let mut disk = Disk::new();
    let (context, ownership) = preemptible_owner(&mut disk, "o");
    let breaker = breaker(&disk).after(&mut disk, "Sleep");
    let breaker = breaker.until(&mut disk, "Link(Ticket, Mutex)");
    disk.story();
    let release = release(&disk, &context, &ownership).until(&mut disk, "Unlink(Lock)");
    let breaker = breaker.until(&mut disk, "Sleep");
    assert_eq!(release.run(&mut disk), Ok(Held::Released));
    let acquired = breaker.run(&mut disk).expect("because the lock is free");
    assert_eq!(acquired.takeover, None);
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_takeover_that_comes_before_the_release_wins() {
    let mut disk = Disk::new();
    let (context, ownership) = preemptible_owner(&mut disk, "o");
    let breaker = breaker(&disk).after(&mut disk, "Sleep");
    let breaker = breaker.until(&mut disk, "Rename(Takeover, Lock)");
    disk.story();
    let release = release(&disk, &context, &ownership).until(&mut disk, "Sleep");
    breaker.run(&mut disk).expect("because its patience is at an end");
    assert_eq!(lost_to(release.run(&mut disk)), Some(process("b").token));
    assert!(disk.holds(process("b").pid, Name::Lock));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_lock_that_cannot_be_released_does_not_look_released() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mut release = release(&disk, &context, &ownership).until(&mut disk, "Unlink(Lock)");
    release.feed(&mut disk, Event::Failed(Errno(30)));
    let refused = Failure::System { verb: "remove", name: Some(Name::Lock), errno: Errno(30) };
    assert_eq!(release.run(&mut disk), Err(refused));
    assert!(disk.holds(context.pid, Name::Lock));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_full_disk_costs_the_old_record_nothing() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let before = record(&mut disk);
    let mut renewal = renew(&disk, &context, &ownership).until(&mut disk, "Write(Ticket)");
    renewal.feed(&mut disk, Event::Failed(Errno(28)));
    assert!(renewal.run(&mut disk).is_err());
    assert_eq!(record(&mut disk), before);
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    let again = renew(&disk, &context, &ownership).run(&mut disk);
    assert!(matches!(again, Ok(Held::Renewed(_))), "{again:?}");
}

#[test]
fn the_stamp_counts_from_when_the_mutex_was_entered() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let renewal = renew(&disk, &context, &ownership).until(&mut disk, "Read(Ticket)");
    disk.pass(50);
    renewal.run(&mut disk).expect("because nothing fails");
    let renewed = record(&mut disk).detail.map(|detail| detail.renewed);
    assert_eq!(renewed, Some(Boot(disk.now.boot.0)));
}

/// A touch wakes whoever watches the ticket. Two that wait for a mutex and still watch each
/// other's tickets, as an owner and its breaker do, would otherwise wake each other for ever.
#[test]
fn who_is_woken_early_does_not_touch_its_ticket() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    disk.pass(500);
    let contender = Worker::contender(&disk, process("h"));
    let holder = contender.until(&mut disk, "Open(Judged, Lock)");
    let mut renewal = renew(&disk, &context, &ownership).after(&mut disk, "Touch(Ticket)");
    disk.story();
    for _ in 0..3 {
        renewal = renewal.until(&mut disk, "Sleep");
        renewal.feed(&mut disk, Event::Woken(Wake::Changed));
    }
    let story = disk.story();
    assert!(!story.contains("Touch(Ticket)"), "{story}");
    drop(holder);
}

/// Whoever is to end does not wait for a stopped process as long as others would.
#[test]
fn an_owner_in_a_hurry_waits_for_the_mutex_no_longer_than_it_says() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let stopped = Worker::contender(&disk, process("stopped"));
    let _stopped = stopped.until(&mut disk, "Open(Judged, Lock)");
    let start = disk.now.mono;
    let patience = Duration::from_millis(50);
    let machine = Hold::release_within(&context, disk.now, ownership, patience);
    let held = Worker::new(context, machine).run(&mut disk);
    let named = match held {
        Err(Failure::MutexHeld { holder }) => holder.map(|holder| holder.token),
        other => panic!("{other:?}"),
    };
    assert_eq!(named, Some(process("stopped").token));
    let waited = disk.now.mono.since(start);
    assert!(waited >= patience && waited < 2 * patience, "{waited:?}");
}
