//! Waiting in the queue: behind somebody who waits, stops, gives up, or dies.

use std::fs;
use std::time::Duration;

use lock_fs::Settings;
use lock_tests::conformance::Act;
use rstest::rstest;
use rustix::process::Signal;

use super::{CYCLE, cycle, served, waited};
use crate::kit::{Child, Scene, Traced, has_strace, make_old, settings};

/// Longer than anything here takes.
const LONG: u64 = 60_000;

/// The effect that ends a queue.
const REMOVED: &str = "RemoveDirectory(Queue)";

/// An owner, and one who waits for it and so is first in the queue.
fn owner_and_first(scene: &Scene) -> (Child, Child) {
    let owner = Child::owner(&scene.arena);
    let mut first = Child::contender(&scene.arena, &[]);
    first.begin_to_wait();
    (owner, first)
}

/// Has it wait behind the first; it sleeps by then, or is about to.
fn stand_behind(traced: &mut Traced) {
    traced.child.say("acquire");
    traced.until_called(&["inotify_add_watch", "IN_CLOSE_WRITE)"], 1);
}

/// It gets the lock in its turn, and no sooner.
#[test]
fn behind_one_that_gets_it_and_releases_it() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (mut owner, mut first) = owner_and_first(&scene);
    let mut traced = Traced::usual(&scene);
    stand_behind(&mut traced);
    owner.release();
    first.succeeded();
    first.must("step undisturbed 0");
    first.release();
    let report = served(traced);
    assert_eq!(report.story(), ["acquired", "released"]);
    for effect in [
        "Link(Ticket, Queued(2))",
        "Open(Ahead, Queued(1))",
        "Watch(Ahead)",
        "Sleep",
        "Unlink(Queued(2))",
    ] {
        assert!(report.has(effect), "{effect}");
    }
    scene.assert_clean("three in a row");
}

/// The one before us gives up, or dies: whoever is left is next.
#[rstest]
#[case::cancelled(false)]
#[case::killed(true)]
fn behind_one_that_ends(#[case] killed: bool) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::owner(&scene.arena);
    let mut first = Child::contender(&scene.arena, &["--wait-limit=1000"]);
    first.begin_to_wait();
    let mut traced = Traced::usual(&scene);
    stand_behind(&mut traced);
    match killed {
        true => first.kill(),
        false => assert_eq!(first.reply()["error"], "TimedOut"),
    }
    // It has looked who is before it now, and waits for the owner.
    traced.until_called(&["inotify_add_watch", "IN_ATTRIB"], 1);
    owner.release();
    let report = served(traced);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert_eq!(report.has("Unlink(Queued(1))"), killed, "who gives up takes its number along");
    scene.assert_clean("one that is left");
}

/// Nobody is there to clear what a lone dead waiter has left, until somebody comes.
#[test]
fn behind_one_that_was_dead_before() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (mut owner, mut first) = owner_and_first(&scene);
    first.kill();
    owner.release();
    assert!(scene.is_queued(1), "{:?}", scene.names());
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("Unlink(Queued(1))") && !report.has("Sleep"), "{:#?}", report.pairs);
    scene.assert_clean("the next");
}

#[test]
fn behind_another_until_it_is_cancelled() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (_owner, _first) = owner_and_first(&scene);
    let mut traced = Traced::usual(&scene);
    traced.child.must("cancel 200");
    traced.child.must_fail("acquire", "Cancelled");
    let report = traced.explained(&[Act::Acquire]);
    assert_eq!(report.story(), ["failed: cancelled"]);
    assert!(report.has("Sleep") && report.has("Unlink(Queued(2))"), "{:#?}", report.pairs);
    assert!(!scene.is_queued(2), "{:?}", scene.names());
}

#[test]
fn behind_another_until_patience_ends() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (_owner, _first) = owner_and_first(&scene);
    let mut traced = Traced::contender(&scene, settings(LONG, 300), &[], &[]);
    traced.child.must_fail("acquire", "TimedOut");
    let report = traced.explained(&[Act::Acquire]);
    assert!(report.has("Look(Lock)") || report.has("Open(Judged, Lock)"), "it has looked");
    assert!(report.has("Unlink(Queued(2))"), "{:#?}", report.pairs);
}

/// The first is stopped, and the lock is to be had: after a poll's time it is passed over.
#[test]
fn behind_one_that_is_stopped() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (mut owner, mut first) = owner_and_first(&scene);
    let settings = Settings { poll: Duration::from_millis(50), ..settings(LONG, LONG) };
    let mut traced = Traced::contender(&scene, settings, &[], &[]);
    stand_behind(&mut traced);
    first.stop();
    owner.release();
    traced.child.succeeded();
    first.signal(Signal::CONT);
    traced.child.release();
    first.succeeded();
    first.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("Sleep") && !report.has("Unlink(Queued(1))"), "it keeps its number");
    scene.assert_clean("one that was passed over");
}

/// Its number is taken away by hand: it gets another, from the top.
#[test]
fn a_number_that_is_gone() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let (mut owner, mut first) = owner_and_first(&scene);
    let mut traced = Traced::usual(&scene);
    stand_behind(&mut traced);
    fs::remove_file(scene.arena.beside(".queue/2")).expect("because it stands there");
    owner.release();
    first.succeeded();
    first.release();
    let report = served(traced);
    assert_eq!(report.story(), ["acquired", "released"]);
    scene.assert_clean("both");
}

/// The queue is made by the first who waits, and removed by the first who finds it long unused and
/// the lock free.
#[test]
fn a_queue_that_nobody_needs_any_more() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = waited(&scene, Child::release);
    traced.child.must("cycle 0");
    let queue = scene.arena.beside(".queue");
    assert!(queue.exists(), "somebody may be about to wait");
    make_old(&queue);
    traced.child.must("cycle 0");
    assert!(!queue.exists(), "nobody has used it for an hour");
    let report = traced.explained(&[CYCLE, CYCLE, CYCLE].concat());
    assert_eq!(report.story(), ["acquired", "released"].repeat(3));
    assert!(report.has("CreateDirectory(Queue)"));
    let removed = report.pairs.iter().filter(|pair| pair.effect.to_string() == REMOVED);
    assert_eq!(removed.count(), 1);
}

/// What stands at the queue's path is none: it is left alone, and one goes without.
#[test]
fn a_queue_that_is_none() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    fs::write(scene.arena.beside(".queue"), "mine").expect("because it is free");
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(!report.has("List(Queue)"));
    let kept = fs::read_to_string(scene.arena.beside(".queue"));
    assert_eq!(kept.ok().as_deref(), Some("mine"));
}
