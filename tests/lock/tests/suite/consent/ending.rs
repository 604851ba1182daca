//! Who is ended when an owner is to be: those who have the lock and may be signalled from here, and
//! never anybody else, whatever a record says.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use camino::Utf8PathBuf;
use rstest::rstest;
use serde_json::{Value, json};

use crate::kit::{Child, NOBODY, Scene, Stranger, has_program, is_root, needs, wall_ms};

const STOP: [&str; 6] = ["--wait-limit", "200", "--on-timeout", "stop", "--grace", "50"];

/// A lock in another user's directory whose record names a process that has nothing to do with it.
fn planted(scene: &Scene, innocent: &Stranger) -> Utf8PathBuf {
    let readable = Permissions::from_mode(0o755);
    fs::set_permissions(scene.arena.root(), readable).expect("because it is ours");
    let directory = scene.arena.root().join("theirs");
    fs::create_dir(&directory).expect("because the name is free");
    let lock = directory.join("lock");
    let host = lock_tests::conformance::this_host().expect("because /proc is mounted");
    let (pid, stamp) = (innocent.pid(), wall_ms());
    let record = format!(
        "{pid}\n{stamp}\ntoken\nformat=2\narbitration=kernel\ngeneration=1\nhost={}\nboot={}\n",
        host.name, host.boot
    );
    fs::write(&lock, record).expect("because the name is free");
    for path in [&directory, &lock] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("because we are root");
    }
    lock
}

fn assert_nobody_was_signalled(refused: &Value) {
    let message = refused["message"].as_str().expect("because it is text");
    assert!(message.contains("no process that holds it can be ended from here"), "{message}");
    assert!(!message.contains("SIGTERM and SIGKILL"), "{message}");
}

/// A root process that has the lock in another user's directory is not ended either: its user could
/// have made it open the file.
#[test]
fn a_planted_record_has_root_signal_nobody() {
    let met = is_root() && has_program("flock");
    if !needs(met, "root, and flock(1)") {
        return;
    }
    let scene = Scene::new();
    let mut innocent = Stranger::start(&["sleep", "60"]);
    let lock = planted(&scene, &innocent);
    let mut holder = Stranger::flock(&[], &[], &lock);
    let options = [&STOP[..], &["--lock", lock.as_str()]].concat();
    let mut root = Child::contender(&scene.arena, &options);
    let refused = root.must_fail("acquire", "Survived");
    assert_nobody_was_signalled(&refused);
    assert!(innocent.is_alive(), "it never had the lock");
    assert!(holder.is_alive(), "it is root's");
}

/// That user's own process may be ended: it has the lock. The one that the record names has not.
#[test]
fn a_planted_record_has_root_end_no_innocent_process() {
    let met = is_root() && has_program("flock") && has_program("setpriv");
    if !needs(met, "root, flock(1) and setpriv(1)") {
        return;
    }
    let scene = Scene::new();
    let mut innocent = Stranger::start(&["sleep", "60"]);
    let lock = planted(&scene, &innocent);
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let holder = Stranger::flock(&nobody, &[], &lock);
    let options = [&STOP[..], &["--lock", lock.as_str()]].concat();
    let mut root = Child::contender(&scene.arena, &options);
    let acquired = root.must("acquire");
    assert_eq!(acquired["notices"]["signalled"], json!([holder.pid()]), "{acquired}");
    assert!(innocent.is_alive(), "it never had the lock");
    root.release();
}

/// A program without a record of ours has not said that it may be ended.
#[test]
fn a_stranger_is_not_ended() {
    if !needs(has_program("flock"), "flock(1)") {
        return;
    }
    let scene = Scene::new();
    let mut holder = Stranger::flock(&[], &[], &scene.arena.lock());
    let mut waiter = Child::contender(&scene.arena, &STOP);
    let refused = waiter.must_fail("acquire", "Survived");
    assert_nobody_was_signalled(&refused);
    assert!(holder.is_alive());
}

/// The record's number is one of another pid namespace: here it is some other process's.
#[test]
fn an_owner_in_another_pid_namespace_cannot_be_ended() {
    let within = ["unshare", "--pid", "--fork", "--mount-proc"];
    let made = {
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "true"]).output()
    };
    let made = made.is_ok_and(|output| output.status.success());
    if !needs(made, "unshare --pid --mount-proc, which takes root") {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::within(&within, &scene.arena, &[]);
    let pid = owner.must("acquire")["pid"].as_u64();
    assert_eq!(pid, Some(1), "it is the first there");
    let mut waiter = Child::contender(&scene.arena, &STOP);
    let refused = waiter.must_fail("acquire", "Survived");
    assert_nobody_was_signalled(&refused);
    owner.must("step undisturbed 0");
    owner.release();
    scene.assert_clean("both");
}

/// Whoever is ended, what it has left that has the lock is ended with it.
#[test]
fn what_a_killed_owner_has_left_is_ended_and_named() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let left = owner.must("leave 60000")["pid"].clone();
    owner.kill();
    let mut waiter = Child::contender(&scene.arena, &STOP);
    let acquired = waiter.must("acquire");
    assert_eq!(acquired["notices"]["signalled"], json!([left]), "{acquired}");
    waiter.release();
    scene.assert_clean("both");
}

/// Three whose limits end together. The one that hangs is ended, and none of them: each has its own
/// limit anew, and becomes owner in its order.
#[rstest]
fn three_that_time_out_together_end_the_one_that_hangs_and_not_each_other() {
    let scene = Scene::new();
    let mut hung = Child::owner(&scene.arena);
    hung.stop();
    let options = ["--wait-limit", "1000", "--on-timeout", "stop"];
    let mut waiters = [1, 2, 3].map(|number| {
        let mut waiter = Child::contender(&scene.arena, &options);
        waiter.say("acquire");
        waiter.event("waiting");
        assert!(scene.is_queued(number), "{:?}", scene.names());
        waiter
    });
    hung.wait_end();
    let mut generations = Vec::new();
    let mut signalled = 0;
    for waiter in &mut waiters {
        let acquired = waiter.succeeded();
        generations.extend(acquired["generation"].as_u64());
        let sent = acquired["notices"]["signalled"].as_array().map_or(0, Vec::len);
        signalled += sent;
        // Longer than the limit, all together, but not each.
        waiter.must("work 600000");
        waiter.release();
    }
    assert!(generations.is_sorted() && generations.len() == 3, "{generations:?}");
    assert!(signalled >= 1, "somebody has ended it");
    assert_eq!(scene.assert_no_overlap("three").len(), 3);
    scene.assert_clean("all of them");
}
