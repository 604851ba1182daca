//! Scripted runs of a contender: every effect, in order, for each way to become owner.

use core::time::Duration;

use rstest::rstest;

use super::*;
use crate::effect::Wake;
use crate::effect::{Errno, Name};
use crate::machine::Reason;
use crate::policy::{OnTimeout, Settings};
use crate::record::{Generation, Record};
use crate::snapshot::Stat;
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{
    OTHER_BOOT, at, corpse, owner, owner_with, preemptible_owner, process, process_with, settings,
    token,
};
use crate::time::Wall;
use crate::verdict::Stale;
use crate::{Evict, Hold};

fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

/// Longer than `hang_after`, so that a living owner is replaced for being slow, not silent.
fn patient_with_silence() -> Settings {
    Settings { stale_after: Duration::from_secs(60), ..settings() }
}

fn evict(disk: &mut Disk) {
    let context = process("person");
    let machine = Evict::new(&context, None);
    let evicted = Worker::new(context, machine).run(disk);
    evicted.expect("because nothing is in its way");
}

fn peers_record(disk: &Disk, age: u64) -> Inode {
    let stamp = disk.now.wall.0 - age;
    Inode::file(&alloc::format!("42\n{stamp}\npeer\n"), Wall(stamp))
}

fn takeover(acquired: Result<Acquired, Failure>) -> Option<Reason> {
    let acquired = acquired.expect("because it becomes owner");
    acquired.takeover.map(|takeover| takeover.reason)
}

#[test]
fn a_free_lock_is_linked() {
    let mut disk = Disk::new();
    let acquired = contender(&disk, "a").run(&mut disk);
    assert_eq!(takeover(acquired), None);
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Ticket]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_dead_owner_is_replaced_at_once() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    disk.let_go(dead.pid);
    let acquired = contender(&disk, "a").run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Ticket]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_silent_owner_that_has_agreed_is_replaced() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "silent");
    disk.pass(100_000);
    let start = disk.now.mono;
    let acquired = contender(&disk, "a").run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::Silent)));
    let waited = disk.now.mono.since(start);
    assert_eq!(waited, settings().stale_after, "counted from our first look");
    insta::assert_snapshot!(disk.story());
}

/// However long it is silent: a stopped process may be in the middle of its work.
#[test]
fn a_silent_owner_that_has_not_agreed_is_left_alone() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "silent");
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    let start = disk.now.mono;
    while disk.now.mono.since(start) < Duration::from_secs(3_600) {
        waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
        disk.pass(100_000);
    }
    assert!(disk.holds(context.pid, Name::Lock));
    disk.end(context.pid);
    assert_eq!(takeover(waiter.run(&mut disk)), Some(Reason::Stale(Stale::OwnerDied)));
}

fn of_the_last_boot() -> Inode {
    let last = Record::new(1, token("old"), OTHER_BOOT.host(), "x", at(999_999));
    Inode::file(&last.encode(0), Wall(999_999))
}

#[rstest]
#[case::corrupt(Inode::file("half a rec", Wall(999_999)), Stale::Corrupt)]
#[case::empty(Inode::file("", Wall(999_999)), Stale::Corrupt)]
#[case::unreadable(Inode { content: Err(Errno(5)), ..Inode::file("", Wall(999_999)) }, Stale::Corrupt)]
#[case::rebooted(of_the_last_boot(), Stale::Rebooted)]
#[case::expired(peers_record(&Disk::new(), 1_000), Stale::Expired)]
#[case::from_the_future(Inode::file("42\n1001001\np\n", Wall(0)), Stale::Expired)]
fn whatever_is_stale_is_replaced_like_a_dead_owner(#[case] leftover: Inode, #[case] stale: Stale) {
    let mut dead = Disk::new();
    let (context, _) = owner(&mut dead, "dead");
    dead.let_go(context.pid);
    contender(&dead, "a").run(&mut dead).expect("because the owner is dead");
    let effects = dead.story();

    let mut disk = Disk::new();
    owner(&mut disk, "earlier");
    evict(&mut disk);
    disk.story();
    disk.put(&[Name::Lock], leftover);
    let acquired = contender(&disk, "a").run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(stale)));
    let rest = |story: &str| story.lines().filter(|line| !line.contains('=')).count();
    assert_eq!(rest(&disk.story()), rest(&effects));
}

#[test]
fn an_owner_that_has_agreed_and_makes_no_progress_is_timed_out() {
    let mut disk = Disk::new();
    preemptible_owner(&mut disk, "slow");
    let context = process_with("a", patient_with_silence());
    let start = disk.now.mono;
    let acquired = Worker::contender(&disk, context).run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::TimedOut));
    assert_eq!(disk.now.mono.since(start), settings().hang_after);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_waiter_is_woken_by_the_release() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    let machine = Hold::release(&context, disk.now, ownership);
    Worker::new(context, machine).run(&mut disk).expect("because it owns the lock");
    assert_eq!(takeover(waiter.run(&mut disk)), None);
    assert_eq!(disk.now, Disk::new().now, "not a millisecond was slept");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_waiter_is_woken_by_the_owners_death() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    disk.let_go(context.pid);
    let acquired = waiter.run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now, Disk::new().now, "not a millisecond was slept");
    insta::assert_snapshot!(disk.story());
}

#[test]
fn no_wake_up_is_lost_between_the_look_and_the_watch() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Watch(Judged)");
    disk.let_go(context.pid);
    let acquired = waiter.run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now, Disk::new().now, "not a millisecond was slept");
}

/// The kernel tells of an unlink, and counts the name off, a moment before the name goes.
fn on_its_way_out(disk: &mut Disk, waiter: &mut Worker<Acquire>) {
    let look = waiter.effect().expect("because it looks");
    let Event::Stat(stat) = disk.perform(&waiter.context, &look) else {
        panic!("{look} found nothing");
    };
    waiter.feed(disk, Event::Stat(Stat { links: 0, ..stat }));
}

#[test]
fn a_name_on_its_way_out_is_not_slept_on() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Watch(Judged)");
    let mut waiter = waiter.until(&mut disk, "Look(Lock)");
    on_its_way_out(&mut disk, &mut waiter);
    let waiter = waiter.until(&mut disk, "Open(Judged, Lock)");
    let machine = Hold::release(&context, disk.now, ownership);
    Worker::new(context, machine).run(&mut disk).expect("because it owns the lock");
    assert_eq!(takeover(waiter.run(&mut disk)), None);
    assert_eq!(disk.now, Disk::new().now, "not a millisecond was slept");
}

#[test]
fn a_file_on_its_way_out_is_not_watched_again_and_again() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Watch(Judged)");
    let mut waiter = waiter.until(&mut disk, "Look(Lock)");
    on_its_way_out(&mut disk, &mut waiter);
    let mut waiter = waiter.until(&mut disk, "Stat(Judged)");
    on_its_way_out(&mut disk, &mut waiter);
    disk.story();
    waiter.until(&mut disk, "Link(Ticket, Mutex)");
    assert_eq!(disk.story(), "a  Close(Judged)\nleft: Generation, Lock, Queued(1)");
}

#[test]
fn a_writer_that_has_closed_but_not_yet_unlocked_is_given_a_moment() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    disk.story();
    waiter.feed(&mut disk, Event::Woken(Wake::Closed));
    for _ in 0..3 {
        waiter = waiter.after(&mut disk, "Sleep");
    }
    disk.let_go(context.pid);
    let acquired = waiter.until(&mut disk, "Link(Ticket, Mutex)");
    insta::assert_snapshot!(disk.story());
    takeover(acquired.run(&mut disk));
}

/// The close came before the watch, the drop of the lock after the look: nobody tells of it.
#[test]
fn a_death_that_is_half_over_when_the_watch_is_set_is_noticed_soon() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    disk.let_go_unnoticed(context.pid);
    let acquired = waiter.run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.now.mono, Disk::new().now.mono.after(Duration::from_millis(1)));
}

#[test]
fn a_file_that_stays_locked_is_not_polled_for_ever() {
    let mut disk = Disk::new();
    owner(&mut disk, "o");
    let context = process_with("a", patient_with_silence());
    let mut waiter = Worker::contender(&disk, context).until(&mut disk, "Sleep");
    for news in [None, Some(Event::Woken(Wake::Closed))] {
        if let Some(news) = news {
            waiter.feed(&mut disk, news);
            waiter = waiter.until(&mut disk, "Sleep");
        }
        for nap in 0..10 {
            let until = disk.now.mono.after(Duration::from_millis(1 << nap));
            assert_eq!(waiter.effect(), Some(Effect::Sleep { until }));
            waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
        }
        let until = disk.now.mono.after(Duration::from_secs(30));
        assert_eq!(waiter.effect(), Some(Effect::Sleep { until }));
    }
}

#[test]
fn without_events_a_waiter_looks_now_and_then() {
    let mut disk = Disk::new();
    let (context, _) = owner(&mut disk, "o");
    let mut waiter = contender(&disk, "a").until(&mut disk, "Watch(Judged)");
    disk.story();
    waiter.feed(&mut disk, Event::Failed(Errno(28)));
    let waiter = waiter.after(&mut disk, "Sleep").after(&mut disk, "Sleep");
    disk.let_go(context.pid);
    takeover(waiter.until(&mut disk, "Link(Ticket, Mutex)").run(&mut disk));
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_new_owner_is_waited_for_anew() {
    let mut disk = Disk::new();
    let (first, ownership) = owner(&mut disk, "first");
    let limit = Some(Duration::from_secs(5));
    let ends = Settings { wait_limit: limit, on_timeout: OnTimeout::Stop, ..settings() };
    let gives_up = Settings { wait_limit: limit, ..settings() };
    let [waiter, other] = [("a", ends), ("b", gives_up)].map(|(name, settings)| {
        Worker::contender(&disk, process_with(name, settings)).until(&mut disk, "Sleep")
    });
    let start = disk.now.mono;
    disk.story();
    disk.pass(900);
    let machine = Hold::release(&first, disk.now, ownership);
    Worker::new(first, machine).run(&mut disk).expect("because it owns the lock");
    owner(&mut disk, "second");
    let waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let waiting = waiter.machine().waiting().expect("because it waits");
    assert_eq!(waiting.since, disk.now.mono);
    assert_eq!(waiting.until, limit.map(|limit| disk.now.mono.after(limit)));
    // A waiter that gives up counts its limit from its start, across owners.
    disk.pass(900);
    let other = other.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
    let waiting = other.machine().waiting().expect("because it waits");
    assert_eq!(waiting.until, limit.map(|limit| start.after(limit)));
    insta::assert_snapshot!(disk.story());
}

#[test]
fn an_owner_that_gets_on_is_left_alone() {
    let mut disk = Disk::new();
    let hang_after = Duration::from_secs(5);
    let slow = Settings { hang_after, ..patient_with_silence() };
    let context = Context { preemptible: true, ..process_with("o", slow) };
    let (context, mut ownership) = owner_with(&mut disk, context);
    let mut waiter = contender(&disk, "a").until(&mut disk, "Sleep");
    let mut stepped = disk.now.mono;
    for step in ["1/3", "2/3", "3/3"] {
        while disk.now.mono.since(stepped) < hang_after - Duration::from_millis(500) {
            waiter = waiter.after(&mut disk, "Sleep").until(&mut disk, "Sleep");
        }
        stepped = disk.now.mono;
        let quiet = Duration::ZERO;
        let machine = Hold::step(&context, disk.now, ownership.clone(), step, quiet);
        match Worker::new(context.clone(), machine).run(&mut disk) {
            Ok(crate::Held::Stepping { ownership: advanced, leave }) => {
                Worker::new(context.clone(), leave).run(&mut disk).expect("because it leaves");
                ownership = advanced;
            }
            lost => panic!("{lost:?}"),
        }
    }
    assert_eq!(takeover(waiter.run(&mut disk)), Some(Reason::TimedOut));
    let waited = disk.now.mono.since(stepped);
    assert!((hang_after..hang_after * 5 / 4).contains(&waited), "{waited:?} after the last step");
}

/// A peer knows nothing of our mutex for free locks that it finds gone, say.
#[test]
fn a_lock_that_a_peer_makes_under_our_hands_is_respected() {
    let mut disk = Disk::new();
    let racer = contender(&disk, "a").until(&mut disk, "Link(Ticket, Lock)");
    let peers = peers_record(&disk, 0);
    disk.put(&[Name::Lock], peers);
    racer.until(&mut disk, "Sleep");
    assert_eq!(disk.complaints(), [""; 0]);
    assert!(disk.text(Name::Lock).is_some_and(|text| text.ends_with("peer\n")));
    insta::assert_snapshot!(disk.story());
}

#[test]
fn what_a_dead_breaker_left_on_its_way_is_cleared() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    disk.let_go(dead.pid);
    corpse(&mut disk, "breaker", "Rename(Takeover, Lock)");
    // A peer reaps the mutex by its age, and knows nothing of the takeover beside it.
    disk.remove(Name::Mutex);
    let acquired = contender(&disk, "a").run(&mut disk);
    assert_eq!(takeover(acquired), Some(Reason::Stale(Stale::OwnerDied)));
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn each_ownership_has_a_higher_generation_than_the_one_before() {
    let mut disk = Disk::new();
    for expected in 1..=3 {
        let (context, ownership) = owner(&mut disk, "o");
        assert_eq!(ownership.generation(), Generation(expected));
        disk.let_go(context.pid);
    }
}
