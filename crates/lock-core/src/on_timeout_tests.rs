//! Scripted runs of a contender that does not simply break a living owner: it gives up,
//! ends the owner first, does not wait at all, or is cancelled.

use super::*;
use crate::Hold;
use crate::effect::Wake;
use crate::machine::Ownership;
use crate::machine::Reason;
use crate::policy::Settings;
use crate::testing::disk::{Disk, Inode, Nerve};
use crate::testing::worker::Worker;
use crate::testing::{OTHER_HOST, owner, process, process_with, settings};
use crate::verdict::Stale;

fn contender(disk: &Disk, on_timeout: OnTimeout) -> Worker<Acquire> {
    contender_with(disk, Settings { on_timeout, ..settings() })
}

fn contender_with(disk: &Disk, settings: Settings) -> Worker<Acquire> {
    Worker::contender(disk, process_with("a", settings))
}

fn renew(disk: &mut Disk, context: &Context, ownership: &Ownership) {
    let machine = Hold::renew(context, disk.now, ownership.clone());
    let held = Worker::new(context.clone(), machine).run(disk);
    held.expect("because nothing is in its way");
}

fn named(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Busy { owner } | Failure::TimedOut { owner } | Failure::Survived { owner } => {
            owner.as_ref().map(|owner| owner.token.as_str())
        }
        other => panic!("{other:?}"),
    }
}

fn untouched(disk: &mut Disk, owner: &str) {
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert!(disk.holds(process(owner).pid, Name::Lock));
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn who_gives_up_does_so_when_its_own_patience_ends() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mut waiter = contender(&disk, OnTimeout::Fail).until(&mut disk, "Sleep");
    let start = disk.now.boot;
    disk.story();
    for _ in 0..3 {
        disk.pass(600);
        renew(&mut disk, &context, &ownership);
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    let failure = waiter.run(&mut disk).expect_err("because the owner stays");
    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure:?}");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(disk.now.boot.since(start), Duration::from_secs(5));
    untouched(&mut disk, "o");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn who_gives_up_still_replaces_the_dead() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    let acquired = contender(&disk, OnTimeout::Fail).run(&mut disk);
    let takeover = acquired.expect("because the owner is dead").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)));
}

#[test]
fn a_silent_owner_is_ended_before_its_lock_is_taken() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    disk.pass(1_000);
    let acquired = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let takeover = acquired.expect("because the owner ended").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// It has no number yet, and has to take one while the owner is on its way out.
#[test]
fn a_silent_owner_that_goes_by_itself_leaves_nothing_open() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfKill);
    disk.pass(1_000);
    let waiter = contender(&disk, OnTimeout::Stop).until(&mut disk, "Sleep");
    let release = Hold::release(&context, disk.now, ownership);
    let release = Worker::new(context, release).until(&mut disk, "Unlink(Mutex)");
    let waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert!(disk.at(Name::Queued(1)).is_some(), "{}", disk.story());
    assert!(release.run(&mut disk).is_ok());
    assert!(waiter.run(&mut disk).is_ok());
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn an_owner_that_ignores_the_asking_is_killed_after_the_grace() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfKill);
    disk.pass(1_000);
    let start = disk.now.boot;
    let acquired = contender(&disk, OnTimeout::Stop).run(&mut disk);
    assert!(acquired.is_ok(), "{acquired:?}");
    assert_eq!(disk.now.boot.since(start), Duration::from_millis(100));
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// The owner is another thread of the contender's process: the pid in its record says so.
#[test]
fn a_thread_does_not_end_its_own_process() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.pass(1_000);
    let contender = contender(&disk, OnTimeout::Stop);
    let text = disk.text(Name::Lock).expect("because the lock is owned");
    let [its, ours] = [context.pid, contender.context.pid].map(|pid| alloc::format!("{pid}\n"));
    let text = text.replacen(&its, &ours, 1);
    disk.at(Name::Lock).expect("because the lock is owned").content = Ok(text.into());
    disk.nerve(contender.context.pid, Nerve::DiesOfTerm);
    disk.story();
    let failure = contender.run(&mut disk).expect_err("because the owner stays");
    assert_eq!(named(&failure), Some("o"));
    assert!(!disk.story().contains("Signal"));
    untouched(&mut disk, "o");
}

#[test]
fn an_owner_that_survives_is_named_and_keeps_its_lock() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::Immortal);
    disk.pass(1_000);
    let start = disk.now.boot;
    let failure = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let failure = failure.expect_err("because the owner lives");
    assert!(matches!(failure, Failure::Survived { .. }), "{failure:?}");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(disk.now.boot.since(start), Duration::from_millis(200));
    untouched(&mut disk, "o");
    insta::assert_snapshot!(disk.story());
}

/// The process is gone, but something that it started still holds the lock.
#[test]
fn a_lock_that_outlives_its_owners_process_is_not_taken() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    disk.pass(1_000);
    let failure = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let failure = failure.expect_err("because the lock is held");
    assert!(matches!(failure, Failure::Survived { .. }), "{failure:?}");
    untouched(&mut disk, "o");
}

#[test]
fn a_timed_out_owner_is_ended_too() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    let stale_after = Duration::from_secs(60);
    let on_timeout = OnTimeout::Stop;
    let settings = Settings { stale_after, on_timeout, ..settings() };
    let start = disk.now.boot;
    let acquired = contender_with(&disk, settings).run(&mut disk);
    assert!(acquired.is_ok(), "{acquired:?}");
    assert_eq!(disk.now.boot.since(start), Duration::from_secs(5));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// Whoever cannot be told apart cannot be ended; and its lock is not taken either.
#[test]
fn a_living_owner_without_a_record_is_not_robbed_instead_of_ended() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let lock = disk.at(Name::Lock).expect("because it is owned");
    lock.content = Ok(b"overwritten".into());
    let failure = contender(&disk, OnTimeout::Stop).run(&mut disk);
    assert!(failure.is_err(), "{failure:?}\n{}", disk.story());
    untouched(&mut disk, "o");
}

/// A process id means nothing on another host.
#[test]
fn an_owner_on_another_host_is_not_signalled_here() {
    let mut disk = Disk::new();
    let there = Context { here: OTHER_HOST.host(), ..process("there") };
    let acquired = Worker::contender(&disk, there).run(&mut disk);
    acquired.expect("because the lock is free");
    disk.pass(1_000);
    disk.story();
    let failure = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let story = disk.story();
    assert!(!story.contains("Signal"), "{failure:?}\n{story}");
}

#[test]
fn a_stopped_mutex_holder_is_ended_when_patience_ends() {
    let mut disk = Disk::new();
    let holder = process("stopped");
    disk.nerve(holder.pid, Nerve::DiesOfKill);
    Worker::contender(&disk, holder).until(&mut disk, "Open(Judged, Lock)");
    let ms = Duration::from_millis;
    let settings = Settings {
        max_wait: ms(200),
        mutex_retry: ms(100),
        poll: ms(100),
        on_timeout: OnTimeout::Stop,
        ..settings()
    };
    disk.story();
    let acquired = contender_with(&disk, settings).run(&mut disk);
    assert!(acquired.is_ok(), "{acquired:?}");
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// The grace that one process was given is not the patience that others deserve.
#[test]
fn after_one_was_ended_the_next_mutex_holder_has_its_full_time() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    disk.pass(1_000);
    let contender = contender(&disk, OnTimeout::Stop).after(&mut disk, "Signal(Term)");
    let next = process("next");
    disk.nerve(next.pid, Nerve::DiesOfTerm);
    let next = Worker::contender(&disk, next).until(&mut disk, "Open(Judged, Lock)");
    let start = disk.now.boot;
    disk.story();
    contender.run(&mut disk).expect("because all that are in its way are ended");
    let waited = disk.now.boot.since(start);
    assert!(waited >= Duration::from_secs(5), "{waited:?}\n{}", disk.story());
    drop(next);
}

#[test]
fn who_does_not_wait_says_at_once_who_has_the_lock() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let start = disk.now;
    let no_wait = true;
    let failure = contender_with(&disk, Settings { no_wait, ..settings() }).run(&mut disk);
    let failure = failure.expect_err("because the owner lives");
    assert!(matches!(failure, Failure::Busy { .. }), "{failure:?}");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(disk.now, start);
    untouched(&mut disk, "o");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn who_does_not_wait_ends_nobody() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::Immortal);
    disk.pass(1_000);
    disk.story();
    let no_wait = true;
    let on_timeout = OnTimeout::Stop;
    let settings = Settings { no_wait, on_timeout, ..settings() };
    let failure = contender_with(&disk, settings).run(&mut disk);
    let story = disk.story();
    assert!(!story.contains("Signal"), "{failure:?}\n{story}");
}

#[test]
fn who_does_not_wait_replaces_the_dead_and_the_silent() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    disk.pass(1_000);
    let no_wait = true;
    let acquired = contender_with(&disk, Settings { no_wait, ..settings() }).run(&mut disk);
    let takeover = acquired.expect("because the owner is silent").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::Silent)));
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let mut waiter = contender(&disk, OnTimeout::Break).until(&mut disk, "Sleep");
    waiter.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(waiter.run(&mut disk), Err(Failure::Cancelled));
    untouched(&mut disk, "o");
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Judged]);
}

/// Three that time out together must not break each other in turn (H4).
#[test]
fn of_those_who_time_out_together_one_takes_over_and_the_others_wait_anew() {
    let mut disk = Disk::new();
    owner(&mut disk, "hung");
    let stale_after = Duration::from_secs(60);
    let settings = Settings { stale_after, ..settings() };
    let names = ["a", "b", "c"];
    let waiting = names.map(|name| {
        Worker::contender(&disk, process_with(name, settings)).until(&mut disk, "Sleep")
    });
    disk.pass(5_000);
    let [a, b, c] = waiting.map(|waiter| waiter.after(&mut disk, "Sleep"));
    a.run(&mut disk).expect("because its patience is at an end");
    for waiter in [b, c] {
        let waiter = waiter.until(&mut disk, "Sleep");
        let waiting = waiter.machine().waiting().expect("because it waits");
        assert_eq!(waiting.until, disk.now.boot.after(Duration::from_secs(5)));
    }
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(2)", "Queued(3)"]);
    assert!(disk.holds(process("a").pid, Name::Lock));
}

/// A peer's half-written record is stale unless it is kernel-locked, which a peer's is not.
#[test]
fn a_peers_lock_is_waited_for_until_its_stamp_is_too_old() {
    let mut disk = Disk::new();
    let stamp = disk.now.wall;
    let text = alloc::format!("42\n{stamp}\npeer\n");
    disk.put(&[Name::Lock], Inode::file(&text, stamp));
    let start = disk.now.boot;
    let acquired = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let takeover = acquired.expect("because the stamp expired").takeover;
    let reason = takeover.map(|takeover| takeover.reason);
    assert_eq!(reason, Some(Reason::Stale(Stale::Expired)));
    assert_eq!(disk.now.boot.since(start), Duration::from_secs(1));
}
