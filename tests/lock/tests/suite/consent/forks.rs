//! A program that forks without exec, or nests what cannot be nested, harms nobody and hangs nowhere.

use rstest::rstest;

use crate::kit::{Child, Scene, assert_at_once, has_strace};

/// Whatever the child does with the guard, the lock stays its parent's.
#[rstest]
#[case::drops("drop", "dropped")]
#[case::releases("release", "Forked")]
#[case::steps("step", "Forked")]
#[case::acquires("acquire", "Forked")]
fn a_forked_child_cannot_give_its_parents_lock_away(#[case] act: &str, #[case] told: &str) {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let forked = owner.must(&format!("fork {act}"));
    let said = forked["told"].as_str().expect("because the child said something");
    assert!(said.contains(told), "{said}");
    let mut other = Child::contender(&scene.arena, &["--no-wait"]);
    let busy = other.must_fail("acquire", "Busy");
    assert_eq!(busy["who"]["pid"], owner.pid(), "{busy}");
    owner.must("step undisturbed 0");
    owner.release();
    other.must("acquire");
    other.release();
    scene.assert_clean("both");
}

/// It would wait for itself inside the mutex, and everybody for it.
#[rstest]
#[case::step("nest step")]
#[case::ticket("nest ticket")]
fn a_step_inside_a_step_is_an_error_at_once(#[case] act: &str) {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let refused = owner.must_fail(act, "InsideStep");
    assert_at_once(&refused);
    owner.must("step undisturbed 0");
    owner.release();
    scene.assert_clean("an owner");
}

/// A table of locks that is full for a moment is an error, and not a file system without locks: its
/// record would claim an arbitration that there is not, and everybody would find it dead.
#[test]
fn a_kernel_without_a_lock_to_spare_is_an_error() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let full = ["-e", "trace=flock", "-e", "inject=flock:error=ENOLCK:when=1"];
    let mut owner = Child::tampered(&scene.arena, &full, &["--preemptible", "--allow-timed"]);
    let failed = owner.must_fail("acquire", "System");
    let message = failed["message"].as_str().expect("because it is text");
    assert!(message.contains("No locks available"), "{message}");
    scene.assert_clean("one that got no lock");
    let acquired = owner.must("acquire");
    let fallback = acquired["notices"]["fallback"].as_array().map(Vec::len);
    assert_eq!(fallback, Some(0), "{acquired}");
    let mut other = Child::contender(&scene.arena, &["--no-wait"]);
    other.must_fail("acquire", "Busy");
    owner.release();
}
