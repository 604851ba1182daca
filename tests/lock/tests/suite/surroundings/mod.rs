//! Bad places: each has an outcome, and an error that names the path.

mod things;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use rstest::rstest;
use serde_json::Value;

use crate::kit::{Child, Leftovers, Mount, NOBODY, Scene, is_root, needs};

#[test]
fn a_directory_that_anyone_may_write_is_refused() {
    let scene = Scene::new();
    let everyone = Permissions::from_mode(0o777);
    fs::set_permissions(scene.arena.run(), everyone).expect("because it is ours");
    let mut contender = Child::contender(&scene.arena, &[]);
    let refused = contender.must_fail("acquire", "UnsafeDirectory");
    assert_eq!(refused["path"], scene.arena.run().as_str());
    assert!(scene.names().is_empty());
}

/// What we make is for ourselves alone, whatever the umask.
#[test]
fn what_is_made_is_private() {
    let scene = Scene::without_run_directory();
    let mut owner = Child::owner(&scene.arena);
    let mode = |path: &Utf8Path| {
        let metadata = fs::symlink_metadata(path).expect("because it was made");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&scene.arena.run()), 0o700);
    assert_eq!(mode(&scene.arena.lock()), 0o600);
    assert_eq!(mode(&scene.arena.beside(".generation")), 0o600);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.begin_to_wait();
    assert_eq!(mode(&scene.arena.beside(".queue")), 0o700);
    assert_eq!(mode(&scene.arena.beside(".queue/1")), 0o600);
    owner.release();
    waiter.succeeded();
    waiter.release();
}

#[test]
fn a_directory_that_we_may_not_write_is_an_error_that_names_the_lock() {
    if !needs(is_root(), "root, to become another user") {
        return;
    }
    let scene = Scene::new();
    let readable = Permissions::from_mode(0o755);
    for directory in [scene.arena.root(), &scene.arena.run()] {
        fs::set_permissions(directory, readable.clone()).expect("because it is ours");
    }
    // Where another user can reach it.
    let program = scene.arena.root().join("contender");
    fs::copy(env!("CARGO_BIN_EXE_contender"), &program).expect("because there is room");
    let mut command = Command::new(&program);
    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    command.arg(scene.arena.root()).current_dir("/");
    let mut contender = Child::start(command);
    let refused = contender.must_fail("acquire", "System");
    assert_eq!(refused["path"], scene.arena.lock().as_str());
    let message = refused["message"].as_str().expect("because it is text");
    assert!(message.contains("Permission denied"), "{message}");
}

#[test]
fn a_read_only_file_system_is_an_error_that_names_the_lock() {
    if !needs(is_root(), "root, to mount a file system") {
        return;
    }
    let scene = Scene::without_run_directory();
    let mount = Mount::tmpfs(&scene.arena, "size=64k,mode=700");
    let mut contender = Child::contender(&scene.arena, &[]);
    contender.must("cycle 0");
    mount.remount("ro");
    let refused = contender.must_fail("acquire", "System");
    assert_eq!(refused["path"], scene.arena.lock().as_str());
    let message = refused["message"].as_str().expect("because it is text");
    assert!(message.contains("Read-only"), "{message}");
    mount.remount("rw");
    contender.must("cycle 0");
    scene.assert_clean("a contender");
}

/// A full disk makes no owner, costs a living one nothing, and truncates nobody's record.
#[test]
fn a_full_file_system_makes_nothing_worse() {
    if !needs(is_root(), "root, to mount a file system") {
        return;
    }
    let scene = Scene::without_run_directory();
    let mount = Mount::tmpfs(&scene.arena, "size=64k,mode=700");
    let mut owner = Child::contender(&scene.arena, &["--renew-every", "10"]);
    owner.must("acquire");
    let ballast = mount.fill();
    owner.must("step on-a-full-disk 0");
    let record = fs::read(scene.arena.lock()).expect("because it is held");
    let mut breaker = Child::contender(&scene.arena, &["--wait-limit", "30"]);
    let refused = breaker.must_fail("acquire", "System");
    let message = refused["message"].as_str().expect("because it is text");
    assert!(message.contains("No space left"), "{message}");
    let after = fs::read(scene.arena.lock()).expect("because it is held");
    assert_eq!(after.len(), record.len());
    owner.must("step still-here 0");
    // A dead owner's record is not cut off either.
    owner.kill();
    breaker.must_fail("acquire", "System");
    let after = fs::read(scene.arena.lock()).expect("because nobody could take over");
    assert_eq!(after.len(), record.len());
    fs::remove_file(ballast).expect("because it is ours");
    let acquired = breaker.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "OwnerDied");
    breaker.release();
    scene.assert_clean("a breaker");
}

/// It is not a record, whatever it is; and it is not read to its end.
#[test]
fn a_lock_file_of_ten_megabytes_is_corrupt() {
    let scene = Scene::new();
    let mut text = format!("4242\n{}\ntoken\n", crate::kit::wall_ms());
    text.push_str(&"key=value\n".repeat(1 << 20));
    fs::write(scene.arena.lock(), text).expect("because it is free");
    let mut contender = Child::contender(&scene.arena, &[]);
    let acquired = contender.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Corrupt");
    contender.release();
    scene.assert_clean("a contender");
}

#[rstest]
#[case::name("x", 212, "NameTooLong")]
#[case::path("d/", 2500, "CreateDirectory")]
fn a_path_that_is_too_long_is_an_error(
    #[case] part: &str,
    #[case] times: usize,
    #[case] error: &str,
) {
    let scene = Scene::new();
    let path = scene.arena.run().join(part.repeat(times) + "x");
    let mut contender = Child::contender(&scene.arena, &["--lock", path.as_str()]);
    contender.must_fail("acquire", error);
    assert!(scene.names().is_empty());
}

/// The waiter makes a new one and gets in; the old owner learns that it has nothing left.
#[test]
fn a_run_directory_that_vanishes_wedges_neither_waiter_nor_owner() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.begin_to_wait();
    // Or it would be owner while there is still something of the directory.
    waiter.stop();
    fs::remove_dir_all(scene.arena.run()).expect("because it is ours");
    waiter.go_on();
    let acquired = waiter.reply();
    assert_eq!(acquired["ok"], true, "{acquired}");
    let lost = owner.must_fail("step late 0", "Lost");
    assert_eq!(lost["path"], scene.arena.lock().as_str());
    assert_eq!(owner.ask("release")["released"], false);
    waiter.must("step undisturbed 0");
    waiter.release();
    scene.assert_clean("both");
    owner.must("acquire");
    owner.release();
    scene.assert_clean("the old owner again");
}

/// Nobody waits: the owner alone finds out, and the next contender starts anew.
#[test]
fn a_run_directory_that_vanishes_under_its_owner_is_a_loss() {
    let scene = Scene::new();
    let mut owner = Child::contender(&scene.arena, &["--renew-every", "20"]);
    owner.must("acquire");
    fs::remove_dir_all(scene.arena.run()).expect("because it is ours");
    let told = owner.ask("loss 10000");
    assert_eq!(told["lost"], true);
    assert_eq!(told["to"], Value::Null);
    let released = owner.ask("release");
    assert_eq!(released["released"], false, "{released}");
    assert!(!scene.arena.run().exists());
    owner.must("acquire");
    owner.release();
    scene.assert_clean("the same owner");
}

/// Somebody puts a file in the place of the one that is about to be renamed: it gets the lock's
/// name, and whoever renamed it does not take it for its own.
#[test]
fn a_file_slipped_under_the_takeover_name_makes_nobody_owner() {
    let scene = Leftovers::DEAD_OWNER.scene();
    let mut breaker = Child::contender(&scene.arena, &[]);
    breaker.must("trap stop Rename(Takeover,Lock) 1");
    breaker.say("acquire");
    breaker.event("trap");
    breaker.wait_stopped();
    let takeover = scene.arena.beside(".takeover");
    fs::remove_file(&takeover).expect("because it is the breaker's");
    fs::write(&takeover, "a stranger's\n").expect("because the name is free");
    breaker.go_on();
    let acquired = breaker.reply();
    assert_eq!(acquired["ok"], true, "{acquired}");
    assert_eq!(acquired["notices"]["takeover"], "Corrupt", "{acquired}");
    let mut asker = Child::contender(&scene.arena, &["--no-wait"]);
    let busy = asker.must_fail("acquire", "Busy");
    assert_eq!(busy["who"]["pid"], breaker.pid(), "{busy}");
    breaker.must("step alone 0");
    breaker.release();
    scene.assert_clean("the breaker");
}

/// A generation that was given out must never be given out again; better no lock than that.
#[test]
fn a_damaged_generation_file_is_an_error_that_says_what_to_do() {
    let scene = Scene::new();
    let path = scene.arena.beside(".generation");
    fs::write(&path, "seventeen\n").expect("because it is free");
    let mut contender = Child::contender(&scene.arena, &[]);
    let refused = contender.must_fail("acquire", "GenerationDamaged");
    assert_eq!(refused["path"], path.as_str());
    assert_eq!(scene.names(), ["restart.lock.generation"]);
    File::create(&path).expect("because it is ours");
    contender.must_fail("acquire", "GenerationDamaged");
    fs::remove_file(&path).expect("because it is ours");
    contender.must("cycle 0");
    scene.assert_clean("a contender");
}

/// A peer's stamp may come from a clock that is a little ahead, but not from any future.
#[rstest]
#[case::a_little(Duration::from_secs(20), "Busy")]
#[case::far(Duration::from_secs(3600), "")]
fn a_stamp_from_the_future_is_believed_within_reason(#[case] ahead: Duration, #[case] error: &str) {
    let scene = Scene::new();
    let stamp = u128::from(crate::kit::wall_ms()) + ahead.as_millis();
    let record = format!("4242\n{stamp}\nseed-token\n");
    fs::write(scene.arena.lock(), record).expect("because it is free");
    let mut contender = Child::contender(&scene.arena, &["--no-wait"]);
    if error.is_empty() {
        contender.must("acquire");
        contender.release();
    } else {
        contender.must_fail("acquire", error);
    }
}
