//! Waiting for a lock that another has, or for its mutex, and what ends the wait.

use lock_fs::{OnTimeout, Settings};
use lock_tests::conformance::Act;
use rstest::rstest;
use rustix::process::Signal;

use super::{CYCLE, served, waited};
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

/// The owner is stopped, and so does not renew; its kernel lock stands.
#[test]
fn until_a_silent_owner_is_stale() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::owner(&scene.arena);
    owner.stop();
    let mut traced = Traced::contender(&scene, settings(300, LONG), &[], &[]);
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&CYCLE);
    let taken = report.story().first().cloned();
    assert_eq!(taken.as_deref(), Some("took over: Silent"));
}

#[test]
fn until_patience_ends() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _owner = Child::owner(&scene.arena);
    let mut traced = Traced::contender(&scene, settings(LONG, 200), &[], &[]);
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["took over: TimedOut", "released"]);
    assert!(report.has("Sleep"));
}

#[rstest]
#[case::patience("--on-timeout=fail", OnTimeout::Fail, false, "TimedOut", true)]
#[case::no_wait("--no-wait", OnTimeout::Break, true, "Busy", false)]
fn until_it_gives_up(
    #[case] option: &str,
    #[case] on_timeout: OnTimeout,
    #[case] no_wait: bool,
    #[case] error: &str,
    #[case] sleeps: bool,
) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let _owner = Child::owner(&scene.arena);
    let settings = Settings { on_timeout, no_wait, ..settings(LONG, 200) };
    let mut traced = Traced::contender(&scene, settings, &[option], &[]);
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

/// A living owner is asked, and goes; a stopped one cannot hear, and is killed.
#[rstest]
#[case::asked(false, &["Signal(Term)"])]
#[case::killed(true, &["Signal(Term)", "Signal(Kill)"])]
fn until_the_owner_has_been_ended(#[case] stopped: bool, #[case] signals: &[&str]) {
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
    for signal in signals {
        assert!(report.has(signal), "{signal}");
    }
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
