//! Bad places: each has an outcome, and an error that names the path.

use std::fs::{self, File, FileType, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use lock_tests::names_in;
use rstest::rstest;
use serde_json::Value;

use crate::kit::{Child, Leftovers, LockLeft, Mount, MutexLeft, NOBODY, ReclaimLeft, Scene};
use crate::kit::{is_root, make_old, needs};

/// What stands where a file of the lock should.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
    Foreign,
    /// A directory of ours, with a name in it.
    LinkToDirectory,
    /// Another user's directory, with a name in it.
    ForeignDirectory,
}

/// What a contender makes of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// An error of this name that names the path and says this.
    Error(&'static str, &'static str),
    /// It is put out of the way: the name is only ever used under the mutex, and what stands
    /// there is nobody's.
    Replaced,
}

use Outcome::{Error, Replaced};
use Thing::{Device, Directory, Fifo, Foreign, ForeignDirectory, LinkToDirectory, Socket, Symlink};

impl Thing {
    fn needs_root(self) -> bool {
        matches!(self, Device | Foreign | ForeignDirectory)
    }

    fn put(self, path: &Utf8Path, scene: &Scene) {
        match self {
            Directory => fs::create_dir(path).expect("because it is free"),
            Fifo => run(Command::new("mkfifo").arg(path)),
            Device => run(Command::new("mknod").arg(path).args(["c", "1", "3"])),
            Socket => drop(UnixListener::bind(path).expect("because it is free")),
            Symlink => {
                let target = scene.arena.root().join("target");
                fs::write(&target, "untouched").expect("because it is free");
                symlink(&target, path).expect("because it is free");
            }
            Foreign => {
                fs::write(path, "").expect("because it is free");
                chown(path, Some(NOBODY), Some(NOBODY)).expect("because we are root");
                make_old(path);
            }
            LinkToDirectory => {
                let target = scene.arena.root().join("target");
                put_directory(&target);
                symlink(&target, path).expect("because it is free");
            }
            ForeignDirectory => {
                put_directory(path);
                chown(path, Some(NOBODY), Some(NOBODY)).expect("because we are root");
            }
        }
    }
}

/// With what looks like a dead waiter's number in it.
fn put_directory(path: &Utf8Path) {
    fs::create_dir(path).expect("because it is free");
    fs::write(path.join("1"), "untouched").expect("because it is free");
}

#[rstest]
#[case::lock_directory("", Directory, Error("Refused", "a directory"))]
#[case::lock_symlink("", Symlink, Error("Refused", "a symbolic link"))]
#[case::lock_fifo("", Fifo, Error("Refused", "a special file"))]
#[case::lock_socket("", Socket, Error("System", "cannot open"))]
#[case::lock_device("", Device, Error("Refused", "a special file"))]
#[case::lock_foreign("", Foreign, Error("Refused", "another user's file"))]
#[case::mutex_directory(".mutex", Directory, Error("Refused", "a directory"))]
#[case::mutex_symlink(".mutex", Symlink, Error("Refused", "a symbolic link"))]
#[case::mutex_fifo(".mutex", Fifo, Error("Refused", "a special file"))]
#[case::mutex_socket(".mutex", Socket, Error("System", "cannot open"))]
#[case::mutex_device(".mutex", Device, Error("Refused", "a special file"))]
#[case::mutex_foreign(".mutex", Foreign, Error("Refused", "another user's file"))]
#[case::reclaim_directory(".mutex.reclaim", Directory, Error("Refused", "a directory"))]
#[case::reclaim_symlink(".mutex.reclaim", Symlink, Error("Refused", "a symbolic link"))]
#[case::reclaim_fifo(".mutex.reclaim", Fifo, Error("Refused", "a special file"))]
#[case::reclaim_socket(".mutex.reclaim", Socket, Error("System", "cannot open"))]
#[case::reclaim_device(".mutex.reclaim", Device, Error("Refused", "a special file"))]
#[case::reclaim_foreign(".mutex.reclaim", Foreign, Error("Refused", "another user's file"))]
#[case::takeover_directory(".takeover", Directory, Error("System", "cannot remove"))]
#[case::takeover_symlink(".takeover", Symlink, Replaced)]
#[case::takeover_fifo(".takeover", Fifo, Replaced)]
#[case::takeover_socket(".takeover", Socket, Replaced)]
#[case::takeover_device(".takeover", Device, Replaced)]
#[case::takeover_foreign(".takeover", Foreign, Replaced)]
#[case::generation_directory(".generation", Directory, Error("Refused", "a directory"))]
#[case::generation_symlink(".generation", Symlink, Error("Refused", "a symbolic link"))]
#[case::generation_fifo(".generation", Fifo, Error("Refused", "a special file"))]
#[case::generation_socket(".generation", Socket, Error("System", "cannot open"))]
#[case::generation_device(".generation", Device, Error("Refused", "a special file"))]
#[case::generation_foreign(".generation", Foreign, Error("Refused", "another user's file"))]
#[case::draft_directory(".generation.new", Directory, Error("System", "cannot remove"))]
#[case::draft_symlink(".generation.new", Symlink, Replaced)]
#[case::draft_fifo(".generation.new", Fifo, Replaced)]
#[case::draft_socket(".generation.new", Socket, Replaced)]
#[case::draft_device(".generation.new", Device, Replaced)]
#[case::draft_foreign(".generation.new", Foreign, Replaced)]
fn what_is_no_lock_file_is_never_taken_for_one(
    #[case] suffix: &str,
    #[case] thing: Thing,
    #[case] outcome: Outcome,
) {
    if thing.needs_root() && !needs(is_root(), "root, for devices and other users' files") {
        return;
    }
    let scene = scene_for(suffix);
    let path = scene.arena.beside(suffix);
    thing.put(&path, &scene);
    let before = scene.names();
    let mut contender = Child::contender(&scene.arena, &[]);
    match outcome {
        Error(name, words) => {
            let refused = contender.must_fail("acquire", name);
            assert_eq!(refused["path"], path.as_str(), "{refused}");
            let message = refused["message"].as_str().expect("because it is text");
            assert!(message.contains(words), "{message}");
            let mut after = scene.names();
            // The generation is drawn before the takeover fails, and is never given back.
            after.retain(|name| name != "restart.lock.generation" || before.contains(name));
            assert_eq!(after, before, "a contender that was refused leaves nothing");
        }
        Replaced => {
            contender.must("acquire");
            contender.must("step on 0");
            contender.release();
            scene.assert_clean("a contender");
        }
    }
    if let Ok(target) = fs::read_to_string(scene.arena.root().join("target")) {
        assert_eq!(target, "untouched", "a symbolic link was followed");
    }
}

/// No safety rests on the queue, so whoever finds none waits without a number; and what stands
/// there is left alone, whatever it is or leads to.
#[rstest]
#[case::symlink(Symlink)]
#[case::link_to_a_directory(LinkToDirectory)]
#[case::fifo(Fifo)]
#[case::socket(Socket)]
#[case::device(Device)]
#[case::foreign(Foreign)]
#[case::foreign_directory(ForeignDirectory)]
fn what_is_no_queue_is_never_taken_for_one(#[case] thing: Thing) {
    if thing.needs_root() && !needs(is_root(), "root, for devices and other users' files") {
        return;
    }
    let scene = Scene::new();
    let queue = scene.arena.beside(".queue");
    thing.put(&queue, &scene);
    let before = contents(&queue, &scene);
    let mut owner = Child::owner(&scene.arena);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.begin_to_wait();
    assert_eq!(contents(&queue, &scene), before, "while it waits");
    owner.release();
    waiter.succeeded();
    waiter.release();
    assert_eq!(contents(&queue, &scene), before, "afterwards");
}

/// What stands at the queue's path and what it leads to: its own kind, and the names there.
fn contents(queue: &Utf8Path, scene: &Scene) -> (FileType, Vec<String>, Option<String>) {
    let kind = fs::symlink_metadata(queue).expect("because it is left alone").file_type();
    let names = names_in(queue.as_std_path()).unwrap_or_default();
    let target = fs::read_to_string(scene.arena.root().join("target"));
    (kind, names, target.ok())
}

/// A scene in which the name is come across: a reclaim lock only behind a dead mutex, a
/// takeover only over a stale lock.
fn scene_for(suffix: &str) -> Scene {
    let lock = LockLeft::Garbage;
    let left = |mutex| Leftovers { lock, mutex, reclaim: ReclaimLeft::None };
    match suffix {
        ".mutex.reclaim" => left(MutexLeft::OldEmpty).scene(),
        ".takeover" => left(MutexLeft::None).scene(),
        _ => Scene::new(),
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

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

/// As in /tmp: one's own lock is fine there, and no other user's file is touched or trusted.
#[rstest]
#[case::lock("")]
#[case::mutex(".mutex")]
#[case::reclaim(".mutex.reclaim")]
#[case::generation(".generation")]
fn in_a_sticky_directory_other_users_files_are_refused(#[case] suffix: &str) {
    if !needs(is_root(), "root, for other users' files") {
        return;
    }
    let scene = scene_for(suffix);
    let sticky = Permissions::from_mode(0o1777);
    fs::set_permissions(scene.arena.run(), sticky).expect("because it is ours");
    let path = scene.arena.beside(suffix);
    Foreign.put(&path, &scene);
    let mut contender = Child::contender(&scene.arena, &[]);
    let refused = contender.must_fail("acquire", "Refused");
    assert_eq!(refused["path"], path.as_str());
    fs::remove_file(&path).expect("because we are root");
    contender.must("acquire");
    contender.release();
    scene.assert_clean("a contender");
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
    let mut breaker = Child::contender(&scene.arena, &["--max-wait", "30"]);
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
    fs::remove_dir_all(scene.arena.run()).expect("because it is ours");
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
