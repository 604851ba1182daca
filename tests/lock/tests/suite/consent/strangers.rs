//! Programs that lock the file and write no record: they own it, and nobody knows more of them than
//! what `/proc` tells.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use lock_tests::now_ns;
use rstest::rstest;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use super::goes_on_waiting;
use crate::kit::{AT_ONCE, Child, Scene, Stranger, has_program, needs};

/// How often the waiter looks, and how late it may be on a loaded machine: far less than any sleep
/// beside an owner of ours.
const POLL: [&str; 3] = ["--poll", "200", "--attentive"];

fn has_flock() -> bool {
    needs(has_program("flock"), "flock(1)")
}

/// It waits for as long as the other has the lock, and notices within one poll that it has not any
/// more, though nothing tells of that.
fn waits_and_is_woken(scene: &Scene, end: impl FnOnce()) {
    let mut asker = Child::contender(&scene.arena, &["--no-wait"]);
    asker.must_fail("acquire", "Busy");
    let mut waiter = Child::contender(&scene.arena, &POLL);
    waiter.begin_to_wait();
    // Each look is told twice, for it takes a pause; ten looks follow on each other quickly at first.
    goes_on_waiting(&mut waiter, 30);
    let ended = now_ns();
    end();
    let acquired = waiter.succeeded();
    let at = acquired["at"].as_u64().expect("because it is a time");
    let took = Duration::from_nanos(at.saturating_sub(ended));
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(acquired["notices"]["takeover"], "Corrupt", "{acquired}");
    waiter.release();
    scene.assert_clean("a waiter");
}

#[rstest]
#[case::exclusively(&["-x"])]
#[case::shared(&["-s"])]
fn flock_is_waited_for(#[case] how: &[&str]) {
    if !has_flock() {
        return;
    }
    let scene = Scene::new();
    let mut holder = Stranger::flock(&[], how, &scene.arena.lock());
    waits_and_is_woken(&scene, || holder.kill());
}

/// Several who share it: the last to let go counts.
#[test]
fn flock_is_waited_for_to_the_last_who_shares_it() {
    if !has_flock() {
        return;
    }
    let scene = Scene::new();
    let mut first = Stranger::flock(&[], &["-s"], &scene.arena.lock());
    let mut second = Stranger::flock(&[], &["-s"], &scene.arena.lock());
    first.kill();
    waits_and_is_woken(&scene, || second.kill());
}

/// No file is closed, so there is no event at all.
#[test]
fn a_program_that_unlocks_without_closing_is_noticed() {
    let scene = Scene::new();
    let file = File::create(scene.arena.lock()).expect("because the name is free");
    file.lock().expect("because it is new");
    waits_and_is_woken(&scene, || file.unlock().expect("because it is ours"));
    drop(file);
}

/// The other way round: `flock -n` is refused for as long as there is an owner of ours.
#[test]
fn flock_waits_for_ours() {
    if !has_flock() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let lock = scene.arena.lock();
    let refused = || {
        let mut command = std::process::Command::new("flock");
        let status = command.args(["-n", "-s", lock.as_str(), "true"]).status();
        status.expect("because it is installed").code() == Some(1)
    };
    assert!(refused());
    owner.release();
    assert!(!refused());
}

fn holders(asker: &mut Child) -> Vec<u64> {
    let found = asker.must("holders");
    let pids = found["pids"].as_array().expect("because it is a list");
    pids.iter().filter_map(Value::as_u64).collect()
}

#[test]
fn the_holders_are_those_who_have_locked_it() {
    if !has_flock() {
        return;
    }
    let scene = Scene::new();
    let mut asker = Child::contender(&scene.arena, &[]);
    assert_eq!(asker.must("holders")["pids"], json!([]), "it is free");
    let lock = scene.arena.lock();
    let mut holder = Stranger::flock(&[], &[], &lock);
    assert_eq!(holders(&mut asker), [u64::from(holder.pid())]);
    holder.kill();
    let mut owner = Child::owner(&scene.arena);
    // It has the file open, and so has whoever waits.
    let reader = Stranger::start(&["tail", "-f", lock.as_str()]);
    let mut waiter = Child::contender(&scene.arena, &[]);
    waiter.begin_to_wait();
    let found = holders(&mut asker);
    assert_eq!(found, [u64::from(owner.pid())], "tail is {}", reader.pid());
    owner.release();
    waiter.succeeded();
    waiter.release();
}

/// A process that was handed the descriptor has the lock as much as the one that took it.
#[test]
fn a_descriptor_that_was_handed_over_holds_the_lock() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let socket = scene.arena.root().join("socket");
    let listener = UnixListener::bind(&socket).expect("because the name is free");
    owner.must(&format!("send {socket}"));
    let handed = receive(&listener);
    let mut asker = Child::contender(&scene.arena, &["--no-wait"]);
    let mut both = [u64::from(std::process::id()), u64::from(owner.pid())];
    both.sort_unstable();
    assert_eq!(holders(&mut asker), both);
    owner.kill();
    assert_eq!(holders(&mut asker), [u64::from(std::process::id())]);
    asker.must_fail("acquire", "Busy");
    drop(handed);
    assert_eq!(asker.must("acquire")["notices"]["takeover"], "OwnerDied");
    asker.release();
    scene.assert_clean("both");
}

fn receive(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().expect("because somebody sends");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .expect("because somebody sends");
    let fds = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.expect("because a descriptor was sent")
}
