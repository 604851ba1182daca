//! Scripted runs of a contender whose wait for a living owner comes to an end: it gives up, ends
//! the owner, does not wait at all, or is cancelled.

use core::time::Duration;

use super::*;
use crate::Hold;
use crate::effect::Wake;
use crate::machine::Ownership;
use crate::machine::Reason;
use crate::policy::{OnTimeout, Settings};
use crate::testing::disk::{Disk, Inode, Nerve};
use crate::testing::line::together;
use crate::testing::worker::Worker;
use crate::testing::{owner, preemptible_owner, process, process_with, settings};
use crate::time::Mono;
use crate::verdict::Stale;

/// How long each contender here waits.
const LIMIT: Duration = Duration::from_secs(5);

fn limited(on_timeout: OnTimeout) -> Settings {
    Settings { wait_limit: Some(LIMIT), on_timeout, ..settings() }
}

fn contender(disk: &Disk, on_timeout: OnTimeout) -> Worker<Acquire> {
    contender_with(disk, limited(on_timeout))
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
        Failure::Busy { owner } | Failure::TimedOut { owner } | Failure::Survived { owner, .. } => {
            owner.as_ref().map(|owner| owner.token.as_str())
        }
        other => panic!("{other:?}"),
    }
}

fn signalled(failure: &Failure) -> &[u32] {
    match failure {
        Failure::Survived { signalled, .. } => signalled,
        other => panic!("{other:?}"),
    }
}

fn reason(acquired: Result<Acquired, Failure>) -> Option<Reason> {
    let acquired = acquired.expect("because it becomes owner");
    acquired.takeover.map(|takeover| takeover.reason)
}

fn untouched(disk: &mut Disk, owner: &str) {
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert!(disk.holds(process(owner).pid, Name::Lock));
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn who_gives_up_does_so_when_its_own_limit_is_over() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mut waiter = contender(&disk, OnTimeout::Fail).until(&mut disk, "Sleep");
    let start = disk.now.mono;
    disk.story();
    for _ in 0..3 {
        disk.pass(600);
        renew(&mut disk, &context, &ownership);
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    }
    let failure = waiter.run(&mut disk).expect_err("because the owner stays");
    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure:?}");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(disk.now.mono.since(start), LIMIT);
    untouched(&mut disk, "o");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn who_gives_up_still_replaces_the_dead() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.let_go(context.pid);
    let acquired = contender(&disk, OnTimeout::Fail).run(&mut disk);
    assert_eq!(reason(acquired), Some(Reason::Stale(Stale::OwnerDied)));
}

#[test]
fn an_owner_is_ended_when_the_limit_is_over_and_replaced_only_then() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    disk.pass(100_000);
    let start = disk.now.mono;
    let waiter = contender(&disk, OnTimeout::Stop).until(&mut disk, "Signal(Judged, Term)");
    assert_eq!(disk.now.mono.since(start), LIMIT);
    disk.story();
    assert_eq!(reason(waiter.run(&mut disk)), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now.mono.since(start), LIMIT);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// It was asked to end, and does so while it is watched.
#[test]
fn an_owner_that_goes_when_it_is_asked_leaves_nothing_open() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfKill);
    let waiter = contender(&disk, OnTimeout::Stop).after(&mut disk, "Signal(Judged, Term)");
    let waiter = waiter.until(&mut disk, "Sleep");
    let release = Hold::release(&context, disk.now, ownership);
    let release = Worker::new(context, release).until(&mut disk, "Unlink(Mutex)");
    let waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    assert!(disk.at(Name::Queued(1)).is_some(), "{}", disk.story());
    assert!(release.run(&mut disk).is_ok());
    assert_eq!(reason(waiter.run(&mut disk)), None);
    assert_eq!(disk.complaints(), [""; 0]);
}

#[test]
fn an_owner_that_ignores_the_asking_is_killed_after_the_grace() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfKill);
    let start = disk.now.mono;
    let waiter = contender(&disk, OnTimeout::Stop).until(&mut disk, "Signal(Judged, Term)");
    disk.story();
    assert_eq!(reason(waiter.run(&mut disk)), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now.mono.since(start), LIMIT + settings().grace);
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// It belongs to another user, or runs in another pid namespace, or is this very process.
#[test]
fn an_owner_that_may_not_be_signalled_is_named_and_left_alone() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let start = disk.now.mono;
    let failure = contender(&disk, OnTimeout::Stop).run(&mut disk);
    let failure = failure.expect_err("because the owner lives");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(signalled(&failure), [0; 0]);
    assert_eq!(disk.now.mono.since(start), LIMIT + settings().grace);
    let story = disk.story();
    assert!(!story.contains("Kill"), "{story}");
    untouched(&mut disk, "o");
}

#[test]
fn an_owner_that_survives_is_named_and_keeps_its_lock() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::Immortal);
    let start = disk.now.mono;
    let waiter = contender(&disk, OnTimeout::Stop).until(&mut disk, "Signal(Judged, Term)");
    disk.story();
    let failure = waiter.run(&mut disk).expect_err("because the owner lives");
    assert_eq!(named(&failure), Some("o"));
    assert_eq!(signalled(&failure), [context.pid, context.pid]);
    assert_eq!(disk.now.mono.since(start), LIMIT + settings().grace * 2);
    untouched(&mut disk, "o");
    insta::assert_snapshot!(disk.story());
}

/// The process is gone, but something that it started still holds the lock, and is ended too.
#[test]
fn what_outlives_its_owner_is_ended_where_that_may_be_done() {
    for may_be_signalled in [true, false] {
        let mut disk = Disk::new();
        let (context, _) = owner(&mut disk, "o");
        let heir = process("heir").pid;
        disk.inherit(context.pid, Slot::Ticket, heir);
        disk.end(context.pid);
        if may_be_signalled {
            disk.nerve(heir, Nerve::DiesOfTerm);
        }
        let start = disk.now.mono;
        let acquired = contender(&disk, OnTimeout::Stop).run(&mut disk);
        if may_be_signalled {
            assert_eq!(reason(acquired), Some(Reason::Stale(Stale::OwnerDied)));
            assert_eq!(disk.now.mono.since(start), LIMIT);
            continue;
        }
        let failure = acquired.expect_err("because the lock is held");
        assert_eq!(named(&failure), Some("o"));
        assert_eq!(signalled(&failure), [0; 0]);
        assert!(disk.holds(heir, Name::Lock));
    }
}

/// It has agreed to be replaced, so it need not be ended.
#[test]
fn a_preemptible_owner_that_hangs_is_replaced_without_a_signal() {
    let mut disk = Disk::new();
    let (context, _) = preemptible_owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    let stale_after = Duration::from_secs(60);
    let wait_limit = Some(settings().hang_after * 2);
    let settings = Settings { stale_after, wait_limit, ..limited(OnTimeout::Stop) };
    let start = disk.now.mono;
    let acquired = contender_with(&disk, settings).run(&mut disk);
    assert_eq!(reason(acquired), Some(Reason::TimedOut));
    assert_eq!(disk.now.mono.since(start), settings.hang_after);
    let story = disk.story();
    assert!(!story.contains("Signal"), "{story}");
}

/// One whose limit is over before that has the owner ended all the same.
#[test]
fn a_preemptible_owner_is_ended_by_one_whose_limit_is_over_first() {
    let mut disk = Disk::new();
    let (context, _) = preemptible_owner(&mut disk, "o");
    disk.nerve(context.pid, Nerve::DiesOfTerm);
    let hang_after = LIMIT * 2;
    let stale_after = Duration::from_secs(60);
    let settings = Settings { hang_after, stale_after, ..limited(OnTimeout::Stop) };
    let start = disk.now.mono;
    let acquired = contender_with(&disk, settings).run(&mut disk);
    assert_eq!(reason(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now.mono.since(start), LIMIT);
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

#[test]
fn a_stopped_mutex_holder_is_ended_when_the_limit_is_over() {
    let mut disk = Disk::new();
    let holder = process("stopped");
    disk.nerve(holder.pid, Nerve::DiesOfKill);
    Worker::contender(&disk, holder).until(&mut disk, "Open(Judged, Lock)");
    let ms = Duration::from_millis;
    let settings = Settings {
        wait_limit: Some(ms(200)),
        mutex_retry: ms(100),
        poll: ms(100),
        ..limited(OnTimeout::Stop)
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
    let contender = contender(&disk, OnTimeout::Stop).after(&mut disk, "Signal(Judged, Term)");
    let next = process_with("next", Settings { no_wait: true, ..settings() });
    disk.nerve(next.pid, Nerve::DiesOfTerm);
    let next = Worker::contender(&disk, next).until(&mut disk, "Open(Judged, Lock)");
    let start = disk.now.mono;
    disk.story();
    contender.run(&mut disk).expect("because all that are in its way are ended");
    let waited = disk.now.mono.since(start);
    assert!(waited >= LIMIT, "{waited:?}\n{}", disk.story());
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
    disk.pass(100_000);
    disk.story();
    let (no_wait, wait_limit) = (true, None);
    let settings = Settings { no_wait, wait_limit, ..limited(OnTimeout::Stop) };
    let failure = contender_with(&disk, settings).run(&mut disk);
    let story = disk.story();
    assert!(matches!(failure, Err(Failure::Busy { .. })), "{failure:?}");
    assert!(!story.contains("Signal"), "{story}");
}

/// One look does not show that an owner is silent, only that it is dead.
#[test]
fn who_does_not_wait_replaces_the_dead_and_not_the_silent() {
    let mut disk = Disk::new();
    let (context, _) = preemptible_owner(&mut disk, "o");
    disk.pass(100_000);
    let hasty = Settings { no_wait: true, ..settings() };
    let failure = contender_with(&disk, hasty).run(&mut disk);
    assert!(matches!(failure, Err(Failure::Busy { .. })), "{failure:?}");
    disk.let_go(process("a").pid);
    disk.end(context.pid);
    let acquired = contender_with(&disk, hasty).run(&mut disk);
    assert_eq!(reason(acquired), Some(Reason::Stale(Stale::OwnerDied)));
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let mut waiter = contender_with(&disk, settings()).until(&mut disk, "Sleep");
    waiter.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(waiter.run(&mut disk), Err(Failure::Cancelled));
    untouched(&mut disk, "o");
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Judged]);
}

fn after(disk: &Disk, wait: Duration) -> Mono {
    disk.now.mono.after(wait)
}

/// Three that find an owner hung must not replace each other in turn (H4).
#[test]
fn of_those_that_find_an_owner_hung_one_takes_over_and_the_others_wait_anew() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "hung");
    let stale_after = Duration::from_secs(60);
    let settings = Settings { stale_after, ..settings() };
    let mut waiters = ["a", "b", "c"].map(|name| {
        let context = Context { preemptible: true, ..process_with(name, settings) };
        Worker::contender(&disk, context).until(&mut disk, "Sleep")
    });
    let end = after(&disk, settings.hang_after);
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("a").pid, Name::Lock));
    let end = after(&disk, settings.hang_after - Duration::from_millis(100));
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("a").pid, Name::Lock));
    assert_eq!(disk.names(), ["Generation", "Lock", "Queued(2)", "Queued(3)"]);
    let end = after(&disk, settings.hang_after);
    together(&mut disk, &mut waiters, end);
    assert!(disk.holds(process("b").pid, Name::Lock));
}

/// A peer's half-written record is stale unless it is kernel-locked, which a peer's is not.
#[test]
fn a_peers_lock_is_waited_for_until_its_stamp_is_too_old() {
    let mut disk = Disk::new();
    let stamp = disk.now.wall;
    let text = alloc::format!("42\n{stamp}\npeer\n");
    disk.put(&[Name::Lock], Inode::file(&text, stamp));
    let start = disk.now.mono;
    let acquired = contender(&disk, OnTimeout::Stop).run(&mut disk);
    assert_eq!(reason(acquired), Some(Reason::Stale(Stale::Expired)));
    assert_eq!(disk.now.mono.since(start), Duration::from_secs(1));
}
