//! File systems that lack something, and calls that are interrupted.
//!
//! What a file system lacks is taken away from the contender's system calls one by one, by
//! strace, so that every fallback runs on every machine; a real FAT file system, which lacks
//! two things at once, is used where the kernel has one.

use std::os::unix::fs::MetadataExt;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{
    Child, Crew, Heard, Mount, Scene, assert_at_once, has_program, has_strace, is_root, needs,
    say_aloud, start,
};

/// Without O_TMPFILE: only that opens the directory by the name ".".
const NO_TMPFILE: &[&str] =
    &["-P", ".", "-e", "trace=openat", "-e", "inject=openat:error=EOPNOTSUPP"];
/// As FAT says it.
const NO_LINKS: &[&str] = &["-e", "trace=linkat", "-e", "inject=linkat:error=EPERM"];
const NO_FLOCK: &[&str] = &["-e", "trace=flock", "-e", "inject=flock:error=EOPNOTSUPP"];
const SIGNALS: &[&str] = &[
    "-e",
    "trace=openat,flock,linkat,unlinkat,pwrite64,pread64,fsync,renameat,renameat2",
    "-e",
    "inject=openat,flock,linkat,unlinkat,pwrite64,pread64,fsync,renameat,renameat2:error=EINTR:when=3+4",
];
const NO_REMOVAL: &[&str] = &["-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EROFS"];

/// Entering and leaving the mutex removes a name too: the acquire is let through.
const NO_RELEASE: &[&str] = &["-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EROFS:when=2+"];

#[rstest]
#[case::no_tmpfile(NO_TMPFILE, "Linked")]
#[case::no_links(NO_LINKS, "Separate")]
#[case::no_flock(NO_FLOCK, "Unarbitrated")]
fn what_is_lacking_is_done_without_and_said_once(#[case] lack: &[&str], #[case] medium: &str) {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::tampered(&scene.arena, lack, &["--allow-timed"]);
    for _ in 0..2 {
        let acquired = owner.must("acquire");
        let said = acquired["notices"]["fallback"].as_array();
        assert_eq!(said.expect("because it is a list"), &[medium]);
        owner.must("step on 0");
        owner.release();
        scene.assert_clean(medium);
    }
}

#[rstest]
#[case::no_tmpfile(NO_TMPFILE)]
#[case::no_links(NO_LINKS)]
#[case::no_flock(NO_FLOCK)]
fn serial_eight_exclude_each_other_without_it(#[case] lack: &[&str]) {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let crew = (0..8).map(|_| Child::tampered(&scene.arena, lack, &["--allow-timed"]));
    let mut crew = Crew(crew.collect());
    crew.all("status", "a warm-up");
    crew.all(&format!("cycle 100 {}", start()), "the first cycle");
    crew.all("cycles 5 100", "more cycles");
    let work = scene.assert_no_overlap("a poorer file system");
    assert_eq!(work.len(), 8 * 6);
    scene.assert_clean("a poorer file system");
}

/// A fenced step is under the mutex from before its work to after it, so nobody can take the
/// lock over in between, however impatient.
#[rstest]
#[case::nothing_lacking(&[])]
#[case::no_tmpfile(NO_TMPFILE)]
#[case::no_links(NO_LINKS)]
fn nobody_takes_over_in_the_middle_of_a_step(#[case] lack: &[&str]) {
    if !has_strace() {
        return;
    }
    let start = |options: &[&str], scene: &Scene| match lack {
        [] => Child::contender(&scene.arena, options),
        lack => Child::tampered(&scene.arena, lack, options),
    };
    let scene = Scene::new();
    let hurried = ["--stale-after", "20", "--renew-every", "5", "--hang-after", "20"];
    let mut owner = start(&[&hurried[..], &["--preemptible"]].concat(), &scene);
    let mut other =
        start(&[&hurried[..], &["--wait-limit", "40", "--poll", "10"]].concat(), &scene);
    other.must("status");
    owner.must("acquire");
    // Much longer than the other's patience, and in the witness's sight.
    owner.say("step long 400000");
    while std::fs::symlink_metadata(scene.arena.witness()).is_err() {
        // There is no event for "is at work".
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let refused = other.must_fail("acquire", "MutexHeld");
    assert_eq!(refused["who"]["pid"], owner.pid(), "{refused}");
    let reply = owner.reply();
    assert_eq!(reply["ok"], true, "{reply}");
    owner.release();
    scene.assert_no_overlap("a step");
    scene.assert_clean("a step");
}

/// The kernel still says who is dead.
#[rstest]
#[case::no_tmpfile_owner(NO_TMPFILE, "")]
#[case::no_tmpfile_holder(NO_TMPFILE, "Open(Judged,Lock)")]
#[case::no_links_owner(NO_LINKS, "")]
#[case::no_links_holder(NO_LINKS, "Open(Judged,Lock)")]
#[case::no_links_publishing(NO_LINKS, "Rename(Takeover,Lock)")]
fn a_death_without_it_costs_the_next_nothing(#[case] lack: &[&str], #[case] effect: &str) {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut victim = Child::tampered(&scene.arena, lack, &[]);
    if effect.is_empty() {
        victim.must("acquire");
        victim.kill();
    } else {
        victim.must(&format!("trap kill {effect} 1"));
        victim.say("acquire");
        victim.event("trap");
        assert!(matches!(victim.hear(), Heard::End), "{effect}");
        victim.wait_end();
    }
    let mut next = Child::tampered(&scene.arena, lack, &[]);
    assert_at_once(&next.must("acquire"));
    next.release();
    scene.assert_clean(effect);
}

/// The one thing that nobody clears: only its maker could tell it from one in use.
#[test]
fn a_ticket_born_with_a_name_stays_if_its_maker_dies_at_birth() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut victim = Child::tampered(&scene.arena, NO_TMPFILE, &[]);
    victim.must("trap kill Lock(Ticket,Exclusive) 1");
    victim.say("acquire");
    victim.event("trap");
    assert!(matches!(victim.hear(), Heard::End));
    victim.wait_end();
    let mut next = Child::tampered(&scene.arena, NO_TMPFILE, &[]);
    next.must("acquire");
    next.release();
    let names = scene.names();
    let stays = |name: &String| name.starts_with("restart.lock.ticket.");
    assert_eq!(names.iter().filter(|name| stays(name)).count(), 1, "{names:?}");
    assert_eq!(names.len(), 2, "{names:?}");
}

/// No lock at all is better than half of one, for who says so.
#[test]
fn who_insists_on_the_kernels_lock_is_refused_without_it() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let insists = ["--require-kernel-lock"];
    let mut contender = Child::tampered(&scene.arena, NO_FLOCK, &insists);
    let refused = contender.must_fail("acquire", "NoKernelLock");
    assert_eq!(refused["path"], scene.arena.lock().as_str());
    assert!(scene.names().is_empty());
    for lack in [NO_TMPFILE, NO_LINKS] {
        let mut contender = Child::tampered(&scene.arena, lack, &insists);
        contender.must("cycle 0");
    }
    scene.assert_clean("others");
}

#[test]
fn interrupted_calls_are_made_again() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::tampered(&scene.arena, SIGNALS, &[]);
    for _ in 0..5 {
        owner.must("acquire");
        owner.must("step on 0");
        owner.release();
        scene.assert_clean("an interrupted owner");
    }
}

/// The next contender finds the owner dead, and does not wait for it.
fn takes_over_at_once(scene: &Scene) {
    let mut next = Child::contender(&scene.arena, &[]);
    let acquired = next.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "OwnerDied", "{acquired}");
    assert_at_once(&acquired);
    next.release();
    scene.assert_clean("the next");
}

/// A lock that could not be released must not look released; and its next contender must not
/// suffer for it.
#[test]
fn a_release_that_fails_says_so() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::tampered(&scene.arena, NO_RELEASE, &[]);
    owner.must("acquire");
    let failed = owner.must_fail("release", "System");
    assert_eq!(failed["path"], scene.arena.lock().as_str());
    let message = failed["message"].as_str().expect("because it is text");
    assert!(message.contains("cannot remove"), "{message}");
    // The old owner is alive, and no longer in anybody's way.
    takes_over_at_once(&scene);
}

/// Nor may an acquire that cannot leave the mutex look like one that did nothing.
#[test]
fn an_acquire_that_cannot_finish_is_an_error() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::tampered(&scene.arena, NO_REMOVAL, &[]);
    let failed = owner.must_fail("acquire", "System");
    assert_eq!(failed["path"], scene.arena.beside(".mutex").as_str());
    let mut next = Child::owner(&scene.arena);
    next.release();
    scene.assert_clean("the next");
}

#[test]
fn serial_on_a_real_fat_file_system_all_of_it_holds() {
    let met = is_root() && has_program("mkfs.vfat");
    if !needs(met, "root and mkfs.vfat, to mount a FAT file system") {
        return;
    }
    let scene = Scene::without_run_directory();
    let Some(_mount) = Mount::vfat(&scene.arena) else {
        say_aloud("this kernel has no FAT: only its lack of links was tested, by strace");
        return;
    };
    let device = std::fs::metadata(scene.arena.run()).map(|directory| directory.dev());
    let outside = std::fs::metadata(scene.arena.root()).map(|directory| directory.dev());
    assert_ne!(device.ok(), outside.ok(), "nothing is mounted");
    let mut crew = Crew::contenders(8, &scene.arena, &[]);
    crew.cycle(100, "FAT");
    crew.all("cycles 10 100", "FAT");
    assert_eq!(scene.assert_no_overlap("FAT").len(), 8 * 11);
    scene.assert_clean("FAT");
    let mut victim = Child::contender(&scene.arena, &[]);
    let acquired = victim.must("acquire");
    let said = acquired["notices"]["fallback"].as_array();
    assert_eq!(said.expect("because it is a list"), &["Separate"]);
    victim.kill();
    crew.cycle(100, "FAT after a death");
    scene.assert_clean("FAT after a death");
}

/// The work has left a process behind that has the ticket, as a daemon or a child between fork
/// and exec has. The file is still there too, so only an explicit unlock lets go.
#[test]
fn a_release_that_fails_lets_go_even_of_what_others_have_open() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::tampered(&scene.arena, NO_RELEASE, &[]);
    owner.must("acquire");
    let left = owner.must("leave 20000");
    owner.must_fail("release", "System");
    takes_over_at_once(&scene);
    let left = left["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    // It was to be there to the end.
    kill_process(left.expect("because it is a pid"), Signal::KILL).expect("because it sleeps");
}

/// On a network file system the kernel's locks may be a local affair. Which one it is on must
/// not be guessed.
#[test]
fn a_file_system_that_does_not_say_what_it_is_is_an_error() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let silent = ["-e", "trace=fstatfs", "-e", "inject=fstatfs:error=EIO"];
    let mut contender = Child::tampered(&scene.arena, &silent, &[]);
    let failed = contender.must_fail("acquire", "System");
    assert_eq!(failed["path"], scene.arena.run().as_str(), "{failed}");
    assert!(scene.names().is_empty());
}

#[test]
fn opening_a_lock_is_interrupted_and_goes_on() {
    if !has_strace() {
        return;
    }
    let scene = Scene::without_run_directory();
    let calls = "mkdir,fstatfs,eventfd2";
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EINTR:when=1"));
    let mut contender = Child::tampered(&scene.arena, &["-e", &trace, "-e", &inject], &[]);
    contender.must("cycle 0");
    scene.assert_clean("one that was interrupted");
}

/// That `/proc` cannot be read does not mean that the owner is gone: it is said that nobody could be
/// ended, and not that two signals have not worked.
#[test]
fn an_owner_that_cannot_be_looked_at_is_not_taken_for_gone() {
    if !has_strace() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let descriptors = format!("/proc/{}/fdinfo", owner.pid());
    let full = ["-P", &descriptors, "-e", "trace=openat", "-e", "inject=openat:error=EMFILE"];
    let options = ["--wait-limit", "20", "--on-timeout", "stop", "--grace", "50"];
    let mut breaker = Child::tampered(&scene.arena, &full, &options);
    let failed = breaker.must_fail("acquire", "Survived");
    let message = failed["message"].as_str().expect("because it is text");
    assert!(message.contains("can be ended from here"), "{message}");
    assert!(!message.contains("SIGTERM"), "{message}");
    owner.must("step undisturbed 0");
    owner.release();
}
