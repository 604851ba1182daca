//! Calls that fail: each one once, and those that a poorer file system does not have at all. What
//! the machines would then have done is what is done.

use std::fs;

use lock_fs::Settings;
use lock_tests::conformance::{Act, Pair, Report};
use lock_tests::strace::Call;
use rstest::rstest;

use super::CYCLE;
use crate::kit::{Child, Leftovers, Scene, Traced, has_strace, make_old};

/// A contender acquires, takes a step and releases, as far as it comes.
fn go_through(scene: &Scene, tampering: &[&str]) -> (Vec<Call>, Report) {
    let settings = Settings { allow_timed: true, ..Settings::default() };
    let mut traced = Traced::contender(scene, settings, &["--allow-timed"], tampering);
    let mut acts = vec![Act::Acquire];
    if traced.child.ask("acquire")["ok"] == true {
        traced.child.ask("step on 0");
        traced.child.ask("release");
        acts.extend([Act::Step("on".to_owned()), Act::Release]);
    }
    let calls = traced.calls();
    match traced.explain(&calls, &acts) {
        Ok(report) => (calls, report),
        Err(mismatch) => traced.child.fail(&format!("{tampering:?}: {mismatch}")),
    }
}

/// What strace is told to have just this call fail: its name, and which of its thread's it is.
fn only(calls: &[Call], line: usize, error: &str) -> String {
    let call = calls.iter().find(|call| call.line == line).expect("because it was explained");
    let same = |other: &&Call| other.thread == call.thread && other.name == call.name;
    let nth = calls.iter().filter(same).filter(|other| other.line <= line).count();
    format!("inject={}:error={error}:when={nth}", call.name)
}

/// The calls that were explained, each refused in turn; how the contender then ended. The keeper
/// comes when it will, and strace counts its calls apart.
fn refuse_each(template: &Scene, error: &str) -> Vec<(Pair, Vec<String>)> {
    let (calls, report) = go_through(&Scene::copy_of(&template.arena), &[]);
    let own = report.pairs.into_iter().filter(|pair| pair.what != "glance");
    let refused = own.map(|pair| {
        let scene = Scene::copy_of(&template.arena);
        let injection = only(&calls, pair.line, error);
        let story = go_through(&scene, &["-e", &injection]).1.story();
        (pair, story)
    });
    refused.collect()
}

/// An owner and whoever waited for it are dead.
fn dead_waiter() -> Scene {
    let scene = Scene::used();
    let mut owner = Child::owner(&scene.arena);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.begin_to_wait();
    waiter.kill();
    owner.kill();
    assert!(scene.is_queued(1), "{:?}", scene.names());
    scene
}

/// Somebody has waited, long ago.
fn unused_queue() -> Scene {
    let scene = Scene::used();
    let queue = scene.arena.beside(".queue");
    fs::create_dir(&queue).expect("because it is free");
    make_old(&queue);
    scene
}

/// Interrupted, each call is made again, and that is all.
#[rstest]
#[case::free(Scene::used)]
#[case::worst(|| Leftovers::WORST.scene())]
#[case::dead_waiter(dead_waiter)]
#[case::unused_queue(unused_queue)]
fn each_call_interrupted(#[case] scene: fn() -> Scene) {
    if !has_strace() {
        return;
    }
    for (_, story) in refuse_each(&scene(), "EINTR") {
        let [.., stepping, stepped, released] = story.as_slice() else {
            panic!("{story:?}");
        };
        assert_eq!([stepping, stepped, released], ["stepping", "stepped", "released"]);
    }
}

#[rstest]
#[case::free(Scene::used)]
#[case::first_use(Scene::new)]
#[case::dead_owner(|| Leftovers::DEAD_OWNER.scene())]
#[case::worst(|| Leftovers::WORST.scene())]
fn each_call_refused(#[case] scene: fn() -> Scene) {
    if !has_strace() {
        return;
    }
    let stories = refuse_each(&scene(), "EIO");
    let ends = stories.iter().flat_map(|(_, story)| story);
    let failed = ends.filter(|end| end.starts_with("failed"));
    assert!(failed.count() > stories.len() / 2, "{stories:#?}");
}

/// No safety rests on the queue, so whatever of it cannot be done, the lock can be had.
#[rstest]
#[case::dead_waiter(dead_waiter, "took over: OwnerDied", "Unlink(Queued(1))")]
#[case::unused_queue(unused_queue, "acquired", "RemoveDirectory(Queue)")]
fn each_call_about_the_queue_refused(
    #[case] scene: fn() -> Scene,
    #[case] acquired: &str,
    #[case] last: &str,
) {
    if !has_strace() {
        return;
    }
    let stories = refuse_each(&scene(), "EIO");
    let about = |pair: &Pair| {
        let effect = pair.effect.to_string();
        effect.contains("Queue") || effect.contains("Ahead")
    };
    let mut refused = Vec::new();
    for (pair, story) in stories.iter().filter(|(pair, _)| about(pair)) {
        assert_eq!(story, &[acquired, "stepping", "stepped", "released"], "{pair}");
        refused.push(pair.effect.to_string());
    }
    assert!(refused.iter().any(|effect| effect == last), "{refused:?}");
}

/// Without `linkat` or `flock`, from the beginning and for good.
#[rstest]
#[case::no_links_free("inject=linkat:error=EPERM", Scene::used, "Create(Mutex, Mutex)")]
#[case::no_links_dead(
    "inject=linkat:error=EPERM",
    || Leftovers::DEAD_OWNER.scene(),
    "Rename(Takeover, Lock)"
)]
#[case::no_links_worst(
    "inject=linkat:error=EPERM",
    || Leftovers::WORST.scene(),
    "Rename(Reclaim, Mutex)"
)]
#[case::no_locks("inject=flock:error=EOPNOTSUPP", Scene::used, "Create(Mutex, Mutex)")]
fn a_file_system_that_lacks(
    #[case] injection: &str,
    #[case] scene: fn() -> Scene,
    #[case] effect: &str,
) {
    if !has_strace() {
        return;
    }
    let (_, report) = go_through(&scene(), &["-e", injection]);
    assert_eq!(report.story().last().map(String::as_str), Some("released"));
    assert!(report.has(effect), "{effect}");
}

/// The one `openat` of a file without a name is found in a run that had it.
#[rstest]
#[case::said_so("EOPNOTSUPP")]
#[case::not_permitted("EPERM")]
fn a_file_system_without_nameless_files(#[case] error: &str) {
    if !has_strace() {
        return;
    }
    let template = Scene::used();
    let (calls, report) = go_through(&Scene::copy_of(&template.arena), &[]);
    let is_it = |pair: &&Pair| pair.effect.to_string() == "CreateAnonymous(Ticket)";
    let made = report.pairs.iter().find(is_it).expect("because it acquired");
    let injection = only(&calls, made.line, error);
    let scene = Scene::copy_of(&template.arena);
    let (_, report) = go_through(&scene, &["-e", &injection]);
    assert_eq!(report.story(), ["acquired", "stepping", "stepped", "released"]);
    assert!(report.has("Create(Ticket, Ticket)") && report.has("Unlink(Ticket)"));
    scene.assert_clean("a contender");
}

/// It is made and opened anew, and everything tried again.
#[test]
fn a_run_directory_that_is_removed() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    traced.child.release();
    fs::remove_dir_all(scene.arena.run()).expect("because it is ours");
    traced.child.must("acquire");
    traced.child.release();
    let report = traced.explained(&[CYCLE, CYCLE].concat());
    let gone = "failed: the run directory is gone";
    assert_eq!(report.story(), ["acquired", "released", gone, "acquired", "released"]);
    assert!(report.set_up.iter().any(|(call, _)| call == "close(gone)"), "{:?}", report.set_up);
}
