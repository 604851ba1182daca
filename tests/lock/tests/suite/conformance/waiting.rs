//! Waiting for a lock that another has, or for its mutex, and what ends the wait.

use lock_fs::{OnTimeout, Settings};
use lock_tests::conformance::{Act, Report};
use rstest::rstest;
use rustix::process::Signal;

use super::{CYCLE, cycle, served, waited};
use crate::kit::{Child, Scene, Traced, has_strace, settings};

/// Longer than anything here takes.
const LONG: u64 = 60_000;

#[rstest]
#[case::release(Child::release, "acquired")]
#[case::death(Child::kill, "took over: OwnerDied")]
fn woken_by_the_owners_end(#[case] end: fn(&mut Child), #[case] story: &str) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let report = waited(&scene, end).explained(&CYCLE);
    assert_eq!(report.story(), [story, "released"]);
    assert!(report.has("Watch(Judged)") && report.has("Sleep"));
}

/// A preemptible owner is stopped, and so does not renew; its kernel lock stands.
#[test]
fn until_a_silent_owner_is_stale() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::preemptible(&scene.arena, &["--stale-after", "300"]);
    owner.stop();
    let mut traced = Traced::contender(&scene, settings(300, LONG), &[], &[]);
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(settled(&report), ["took over: Silent", "settled", "released"]);
    assert!(report.has("AskProcess") && report.has("ListHolders(Judged)"));
}

/// The story, but for the renewals: there is one as soon as all has settled, and the keeper's come when
/// they will.
fn settled(report: &Report) -> Vec<String> {
    let story = report.story();
    assert!(story.iter().any(|end| end == "renewed"), "{story:?}");
    story.into_iter().filter(|end| end != "renewed").collect()
}

/// A tool of a preemptible owner's step is waited for, and ended when its announced quiet is over;
/// a preemptible successor says meanwhile what it waits for.
#[rstest]
#[case::by_one_that_is_not_preemptible(&[], 1000, &["took over: OwnerDied", "settled", "released"])]
#[case::and_ended(&[], 60_000, &["took over: OwnerDied", "settled", "released"])]
#[case::by_one_that_is_preemptible(
    &["--preemptible"],
    1000,
    &["took over: OwnerDied", "stepping", "stepped", "settled", "released"]
)]
fn until_what_the_owner_has_started_has_settled(
    #[case] options: &[&str],
    #[case] lasts: u64,
    #[case] story: &[&str],
) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::preemptible(&scene.arena, &[]);
    let quiet = if lasts > 1000 { 300 } else { LONG };
    owner.must(&format!("quiet {quiet}"));
    owner.must(&format!("leave {lasts}"));
    owner.kill();
    let mut traced = Traced::contender(&scene, settings(30_000, LONG), options, &[]);
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(settled(&report), story);
    assert!(report.has("ListHolders(Judged)"));
    assert_eq!(report.has("Signal(Judged, Term)"), lasts > 1000);
}

/// What still has the inode locked of an owner that is not preemptible owns the lock.
#[test]
fn for_what_an_owner_has_left() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::owner(&scene.arena);
    owner.must("leave 700");
    owner.kill();
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["took over: OwnerDied", "released"]);
    assert!(report.has("Sleep") && !report.has("ListHolders(Judged)"));
}

/// A program that has written no record of ours is asked for exclusively, and once more.
#[test]
fn for_one_without_a_record() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let file = std::fs::File::create(scene.arena.lock()).expect("because the name is free");
    file.lock_shared().expect("because it is new");
    let mut traced = Traced::usual(&scene);
    traced.child.begin_to_wait();
    file.unlock().expect("because it is ours");
    let report = served(traced);
    assert_eq!(report.story(), ["took over: Corrupt", "released"]);
    assert!(report.has("Lock(Judged, Exclusive)") && report.has("Sleep"));
    drop(file);
}

#[test]
fn until_a_preemptible_owner_has_taken_no_step_for_too_long() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _owner = Child::preemptible(&scene.arena, &["--hang-after", "200"]);
    let hang_after = std::time::Duration::from_millis(200);
    let settings = Settings { hang_after, ..settings(LONG, LONG) };
    let mut traced = Traced::contender(&scene, settings, &[], &[]);
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(settled(&report), ["took over: TimedOut", "settled", "released"]);
    assert!(report.has("Sleep"));
}

#[rstest]
#[case::limit(&[], false, "TimedOut", true)]
#[case::no_wait(&["--no-wait"], true, "Busy", false)]
fn until_it_gives_up(
    #[case] options: &[&str],
    #[case] no_wait: bool,
    #[case] error: &str,
    #[case] sleeps: bool,
) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _owner = Child::owner(&scene.arena);
    let mut settings = Settings { no_wait, ..settings(LONG, 200) };
    settings.wait_limit = settings.wait_limit.filter(|_| !no_wait);
    let mut traced = Traced::contender(&scene, settings, options, &[]);
    traced.child.must_fail("acquire", error);
    let report = traced.explained(&[Act::Acquire]);
    assert_eq!(report.has("Sleep"), sleeps);
    assert!(report.pairs.last().is_some_and(|pair| pair.what == "let go"), "{report:#?}");
}

#[test]
fn until_it_is_cancelled() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _owner = Child::owner(&scene.arena);
    let mut traced = Traced::usual(&scene);
    traced.child.must("cancel 100");
    traced.child.must_fail("acquire", "Cancelled");
    let report = traced.explained(&[Act::Acquire]);
    assert_eq!(report.story(), ["failed: cancelled"]);
}

/// The owner is asked to end and, in case it is stopped, to go on.
#[rstest]
#[case::asked(false)]
#[case::stopped(true)]
fn until_the_owner_has_been_ended(#[case] stopped: bool) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::owner(&scene.arena);
    if stopped {
        owner.stop();
    }
    let on_timeout = OnTimeout::Stop;
    let grace = std::time::Duration::from_millis(300);
    let settings = Settings { on_timeout, grace, ..settings(LONG, 200) };
    let mut traced = Traced::contender(&scene, settings, &["--on-timeout=stop"], &[]);
    traced.child.must("acquire");
    owner.wait_end();
    traced.child.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["took over: OwnerDied", "released"]);
    assert!(report.has("Signal(Judged, Term)") && !report.has("Signal(Judged, Kill)"));
}

/// Someone is stopped in the mutex.
fn in_the_mutex(scene: &Scene) -> Child {
    let mut holder = Child::contender(&scene.arena, &[]);
    holder.must("trap stop Open(Judged,Lock) 1");
    holder.say("acquire");
    holder.event("trap");
    holder.wait_stopped();
    holder
}

#[test]
fn for_a_mutex_that_is_given_back() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut holder = in_the_mutex(&scene);
    let mut traced = Traced::usual(&scene);
    traced.child.say("acquire");
    // The second link comes with a number, the third after the watch; then a sleep follows.
    traced.until_called(&["linkat", "EEXIST"], 3);
    holder.go_on();
    holder.succeeded();
    holder.release();
    let report = served(traced);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("Watch(Guard)") && report.has("Sleep"));
}

#[test]
fn for_a_mutex_whose_holder_dies() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let holder = in_the_mutex(&scene);
    let mut traced = Traced::usual(&scene);
    traced.child.say("acquire");
    traced.until_called(&["linkat", "EEXIST"], 3);
    holder.signal(Signal::KILL);
    let report = served(traced);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("Rename(Reclaim, Mutex)"));
}

#[test]
fn for_a_mutex_that_is_not_given_back() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _holder = in_the_mutex(&scene);
    let mut traced = Traced::contender(&scene, settings(LONG, 200), &[], &[]);
    traced.child.must_fail("acquire", "MutexHeld");
    let report = traced.explained(&[Act::Acquire]);
    assert!(report.has("Watch(Guard)") && report.has("Sleep"));
}
