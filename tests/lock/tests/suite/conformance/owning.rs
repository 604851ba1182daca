//! Owning a lock: renewing it, looking at it, losing it.

use std::fs;
use std::time::Duration;

use lock_fs::{Evicted, Lock, Options, Settings};
use lock_tests::conformance::{Act, Report};
use rstest::rstest;
use rustix::process::Signal;

use super::CYCLE;
use crate::kit::{Child, Scene, Traced, has_strace, settings};

#[test]
fn renewals_come_by_themselves() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let renew_every = Duration::from_millis(20);
    let often = Settings { renew_every, ..Settings::default() };
    let mut traced = Traced::contender(&scene, often, &[], &[]);
    traced.child.must("acquire");
    // Each begins with a touch.
    traced.until_called(&["utimensat"], 2);
    traced.child.must("step between 0");
    traced.until_called(&["utimensat"], 4);
    traced.child.release();
    let report = traced.explained(&[Act::Acquire, Act::Step("between".to_owned()), Act::Release]);
    let renewed = report.story().iter().filter(|end| *end == "renewed").count();
    assert!(renewed >= 3, "{:?}", report.story());
    assert!(report.has("Watch(Ticket)"), "the keeper has the ticket watched");
}

fn evict(scene: &Scene) {
    let lock = Lock::open(scene.arena.lock(), Options::default());
    let lock = lock.expect("because the directory is there");
    let evicted = lock.evict(None).expect("because nobody is in its way");
    assert!(matches!(evicted, Evicted::Done(Some(_))), "{evicted:?}");
}

/// Whether the keeper or the release finds out, it is one of the two, and only once.
fn assert_lost_once(report: &Report, how: &str) {
    let story = report.story();
    assert_eq!(story.iter().filter(|end| *end == how).count(), 1, "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some(how), "{story:?}");
    // The successor's lock is left alone, and the ticket is let go of at once.
    assert!(!report.has("Unlink(Lock)") && report.has("Unlock(Ticket)"));
    assert_eq!(report.pairs.last().map(|pair| pair.what), Some("let go"));
}

/// Its watch tells the keeper, whose glance and renewal find out; the release then has nothing
/// left to do.
#[test]
fn an_eviction_is_noticed_and_a_later_release_makes_no_call() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    evict(&scene);
    let told = traced.child.ask("loss 20000");
    assert_eq!(told["lost"], true, "{told}");
    let released = traced.child.ask("release");
    assert_eq!(released["released"], false, "{released}");
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["acquired", "nameless", "lost to nobody"]);
    assert_lost_once(&report, "lost to nobody");
}

#[rstest]
#[case::evicted("lost to nobody")]
#[case::taken_over("lost to another")]
fn a_stopped_owner_finds_out_when_it_goes_on(#[case] how: &str) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    traced.signal(Signal::STOP);
    let mut other = Child::contender(&scene.arena, &["--max-wait", "50"]);
    match how {
        "lost to nobody" => evict(&scene),
        _ => {
            other.must("acquire");
        }
    }
    traced.child.say("release");
    traced.signal(Signal::CONT);
    assert_eq!(traced.child.reply()["released"], false);
    let report = traced.explained(&CYCLE);
    assert_lost_once(&report, how);
}

/// Neither the name nor the inode changes, so no watch tells: the release itself finds out.
#[test]
fn a_release_finds_a_peers_record_in_the_lock() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    scene.put_seed_lock(Duration::ZERO);
    let released = traced.child.ask("release");
    assert_eq!(released["to"]["token"], "seed-token", "{released}");
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["acquired", "lost to another"]);
    assert_lost_once(&report, "lost to another");
    assert!(fs::metadata(scene.arena.lock()).is_ok(), "the peer's lock is left alone");
}

/// The step finds out before it does anything.
#[test]
fn a_step_finds_a_peers_record_in_the_lock() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    scene.put_seed_lock(Duration::ZERO);
    let work = scene.assert_no_overlap("the first owner").len();
    traced.child.must_fail("step never 0", "Lost");
    let report = traced.explained(&[Act::Acquire, Act::Step("never".to_owned()), Act::Release]);
    assert_eq!(report.story(), ["acquired", "lost to another"]);
    assert_eq!(scene.assert_no_overlap("both").len(), work, "the work was not done");
}

#[rstest]
#[case::free(false, &["free"])]
#[case::held(true, &["kernel Held"])]
fn looking_takes_nothing(#[case] held: bool, #[case] story: &[&str]) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::contender(&scene.arena, &[]);
    if held {
        owner.must("acquire");
    }
    let mut traced = Traced::contender(&scene, settings(30_000, 1_000), &[], &[]);
    assert_eq!(traced.child.must("status")["held"], held);
    let report = traced.explained(&[Act::Inspect]);
    assert_eq!(report.story(), story);
    let changes = ["Write(", "Link(", "Unlink(", "Rename(", "Create"];
    let effects = report.pairs.iter().map(|pair| pair.effect.to_string());
    for effect in effects {
        assert!(!changes.iter().any(|change| effect.starts_with(change)), "{effect}");
    }
}
