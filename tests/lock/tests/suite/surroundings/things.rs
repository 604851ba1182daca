//! Strange things where a file of the lock should be, or its queue.

use std::fs::{self, FileType, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use camino::Utf8Path;
use lock_tests::names_in;
use rstest::rstest;

use crate::kit::{Child, Leftovers, LockLeft, MutexLeft, NOBODY, ReclaimLeft, Scene};
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
