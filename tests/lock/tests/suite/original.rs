//! What the original tested, tested of ours.

use std::fs;
use std::time::Duration;

use lock_tests::now_ns;
use rstest::rstest;

use crate::kit::{Child, Crew, Heard, Scene, assert_at_once, start};

/// A lock that has just been stamped is respected for as long as it is there.
#[test]
fn an_owner_in_flight_is_waited_for() {
    let scene = Scene::new();
    scene.put_seed_lock(Duration::ZERO);
    let before = fs::read(scene.arena.lock()).expect("because it was written");
    let mut crew = Crew::contenders(3, &scene.arena, &[]);
    for child in &mut crew.0 {
        child.say("cycle 100");
        assert_eq!(child.event("waiting")["who"]["pid"], 4242);
    }
    let during = fs::read(scene.arena.lock()).expect("because nobody may remove it");
    assert_eq!(before, during);
    let cleared = now_ns();
    fs::remove_file(scene.arena.lock()).expect("because nobody may remove it");
    for child in &mut crew.0 {
        child.succeeded();
    }
    let work = scene.assert_no_overlap("three waiters");
    assert_eq!(work.len(), 3);
    assert!(work.iter().all(|work| work.begin > cleared), "{work:?}");
    scene.assert_clean("three waiters");
}

#[test]
fn a_stale_lock_is_taken_over_at_once() {
    let scene = Scene::new();
    scene.put_seed_lock(Duration::from_secs(31));
    let mut breaker = Child::contender(&scene.arena, &[]);
    let acquired = breaker.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Expired");
    assert_eq!(acquired["notices"]["from"]["token"], "seed-token");
    assert_eq!(acquired["notices"]["waits"], 0);
    breaker.release();
    scene.assert_clean("a breaker");
}

#[test]
fn after_the_release_the_lock_is_gone() {
    let scene = Scene::without_run_directory();
    let mut owner = Child::owner(&scene.arena);
    assert!(scene.names().contains(&"restart.lock".to_owned()));
    owner.release();
    scene.assert_clean("an owner");
    owner.must("acquire");
    owner.release();
    scene.assert_clean("the same owner again");
}

/// The old owner's release must not free the lock for a third.
#[test]
fn an_owner_that_was_timed_out_leaves_the_new_owners_lock_alone() {
    let scene = Scene::new();
    let mut old = Child::preemptible(&scene.arena, &["--hang-after", "30"]);
    let mut new = Child::contender(&scene.arena, &["--hang-after", "30"]);
    let acquired = new.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "TimedOut");
    assert_eq!(acquired["notices"]["from"]["pid"], old.pid());
    let released = old.ask("release");
    assert_eq!(released["released"], false, "{released}");
    assert_eq!(released["to"]["pid"], new.pid(), "{released}");
    assert_eq!(released["to"]["token"], acquired["token"], "{released}");
    assert_eq!(new.must("status")["owner"]["pid"], new.pid());
    new.must("step undisturbed 0");
    new.release();
    scene.assert_clean("both");
}

/// A peer that never lets go can delay, but not wedge: its stamp gets old. The original would have
/// replaced it after a wait of its own.
#[test]
fn a_peer_that_never_lets_go_expires() {
    let scene = Scene::new();
    scene.put_seed_lock(Duration::ZERO);
    let mut hurried = Child::contender(&scene.arena, &["--wait-limit", "30"]);
    hurried.must_fail("acquire", "TimedOut");
    let mut breaker = Child::contender(&scene.arena, &["--stale-after", "300"]);
    let acquired = breaker.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Expired");
    breaker.release();
    scene.assert_clean("a breaker");
}

#[test]
fn of_two_breakers_one_takes_over_while_the_other_waits() {
    let scene = Scene::new();
    scene.put_seed_lock(Duration::from_secs(31));
    let mut crew = Crew::contenders(2, &scene.arena, &[]);
    let at = start();
    for child in &mut crew.0 {
        child.say(&format!("acquire {at}"));
    }
    // One of them acquires and does not let go before the other has been seen to wait.
    let (mut acquired, mut waiting) = (Vec::new(), Vec::new());
    for child in crew.0 {
        let mut child = child;
        match child.hear() {
            Heard::Reply(reply) => acquired.push((child, reply)),
            Heard::Event(event) => waiting.push((child, event)),
            Heard::End => child.fail("ended"),
        }
    }
    // A fast winner's lock may have been judged before the other came: then both lists have
    // one all the same, because nobody has released.
    let (mut winner, won) = acquired.pop().expect("because one must take over");
    let (mut loser, waits) = waiting.pop().expect("because only one may");
    assert_eq!(won["notices"]["takeover"], "Expired");
    assert_eq!(waits["event"], "waiting");
    assert_eq!(waits["who"]["token"], won["token"]);
    winner.must("work 0");
    winner.release();
    let second = loser.reply();
    assert_eq!(second["notices"]["takeover"], serde_json::Value::Null);
    assert_ne!(second["token"], won["token"]);
    loser.must("work 0");
    loser.release();
    scene.assert_no_overlap("two breakers");
    scene.assert_clean("two breakers");
}

#[rstest]
#[case::two(2)]
#[case::three(3)]
fn breakers_of_one_stale_lock_work_one_at_a_time(#[case] size: usize) {
    let scene = Scene::new();
    let mut crew = Crew::contenders(size, &scene.arena, &[]);
    for round in 1..=20 {
        scene.put_seed_lock(Duration::from_secs(31));
        crew.cycle(0, "breakers");
        let work = scene.assert_no_overlap("breakers");
        assert_eq!(work.len(), round * size);
        scene.assert_clean("breakers");
    }
}

/// A wait ends when it is told to, not when its owner lets go.
#[test]
fn a_wait_can_be_cancelled() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.must("cancel 20");
    let cancelled = waiter.must_fail("acquire", "Cancelled");
    assert_at_once(&cancelled);
    owner.release();
    scene.assert_clean("an owner and one that gave up");
}
