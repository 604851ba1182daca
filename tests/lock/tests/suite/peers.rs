//! Beside contenders that follow only the original's rules, on one lock file.
//!
//! Among themselves those rules are sound as long as nobody is held up for `stale_after` and
//! no reclaim file is left over; so that is what the scenes are.

use std::time::Duration;

use rstest::rstest;

use crate::kit::{Child, Scene, overlaps};

#[rstest]
#[case::free(None)]
#[case::stale(Some(Duration::from_secs(31)))]
fn serial_ours_and_theirs_exclude_each_other(#[case] stale: Option<Duration>) {
    let scene = Scene::new();
    if let Some(age) = stale {
        scene.put_seed_lock(age);
    }
    let mut all: Vec<_> = (0..4)
        .flat_map(|_| [Child::contender(&scene.arena, &[]), Child::seed(&scene.arena, &[])])
        .collect();
    for child in &mut all {
        child.say("cycles 40 100");
    }
    for child in &mut all {
        let reply = child.reply();
        if reply["ok"] != true || overlaps(&reply) {
            child.fail("must come through");
        }
    }
    let work = scene.assert_no_overlap("ours and theirs");
    assert_eq!(work.len(), 8 * 40);
    let ours = work.iter().filter(|work| work.generation > 0).count();
    assert_eq!(ours, 4 * 40);
    scene.assert_clean("ours and theirs");
}

#[test]
fn ours_waits_for_theirs() {
    let scene = Scene::new();
    let mut theirs = Child::seed(&scene.arena, &[]);
    let mut ours = Child::contender(&scene.arena, &[]);
    theirs.must("acquire");
    ours.say("acquire");
    assert_eq!(ours.event("waiting")["who"]["pid"], theirs.pid());
    assert_eq!(theirs.ask("release")["released"], true);
    ours.succeeded();
    ours.release();
    scene.assert_clean("both");
}

/// Theirs reads three lines of ours, sees a stamp that is renewed, and waits.
#[test]
fn theirs_waits_for_ours() {
    let scene = Scene::new();
    let settings = ["--stale-after", "300", "--renew-every", "50"];
    let mut ours = Child::contender(&scene.arena, &settings);
    let mut theirs = Child::seed(&scene.arena, &["--stale-after", "300"]);
    ours.must("acquire");
    theirs.say("acquire");
    // Twice as long as they take for dead what is not renewed.
    ours.must("work 600000");
    ours.must("step still-ours 0");
    ours.release();
    theirs.succeeded();
    assert_eq!(theirs.ask("release")["released"], true);
    scene.assert_no_overlap("both");
    scene.assert_clean("both");
}

/// A peer overwrites in place: the same inode, another token.
#[test]
fn an_owner_that_a_peer_has_overwritten_is_told() {
    let scene = Scene::new();
    let mut ours = Child::contender(&scene.arena, &[]);
    let mut theirs = Child::seed(&scene.arena, &["--max-wait", "30"]);
    ours.must("acquire");
    let acquired = theirs.must("acquire");
    let lost = ours.must_fail("step late 0", "Lost");
    assert_eq!(lost["who"]["token"], acquired["token"], "{lost}");
    let released = ours.ask("release");
    assert_eq!(released["released"], false);
    assert_eq!(theirs.ask("release")["released"], true);
    scene.assert_clean("both");
}
