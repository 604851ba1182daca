//! `fleet lock status` and `fleet lock explain`, and the same text below an error.

use std::fs;
use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{LOCK, Sandbox, redacted, state_of, until};

/// A lock in each of the states that a contender can find it in.
fn with_lock_in_state(state: &str, check: impl FnOnce(&Sandbox)) {
    let home = Sandbox::new();
    match state {
        "free" => {}
        "nonsense" => home.write(LOCK, "nonsense"),
        "peer" => drop(home.write_foreign_lock(Duration::ZERO)),
        "old_peer" => drop(home.write_foreign_lock(Duration::from_secs(100))),
        _ => {
            let (holder, _gate) = home.holder(&[]);
            match state {
                "dead" => {
                    holder.signal(Signal::KILL);
                    assert_eq!(holder.wait().code(), -9);
                    let state = || home.fleet(&["lock", "status", "--json"]).run().json();
                    until("its work to end", || state()["state"] == "stale");
                    return check(&home);
                }
                "stopped" => {
                    holder.signal(Signal::STOP);
                    until("it to stop", || state_of(holder.pid()) == Some('T'));
                }
                _ => {}
            }
            return check(&home);
        }
    }
    check(&home);
}

#[test]
fn the_verdict_with_its_evidence() {
    for state in ["free", "held", "dead", "stopped", "nonsense", "peer", "old_peer"] {
        with_lock_in_state(state, |home| {
            let out = home.fleet(&["lock", "explain"]).run();
            redacted(home, || insta::assert_snapshot!(out));
        });
    }
}

#[test]
fn the_evidence_as_data() {
    with_lock_in_state("stopped", |home| {
        let wait = ["--max-wait", "5s", "--on-timeout", "stop"];
        let args = [&["lock", "explain", "--json", "--stale-after", "1h"][..], &wait].concat();
        let out = home.fleet(&args).run();
        redacted(home, || insta::assert_snapshot!(out));
    });
}

/// What a contender would do depends on its options.
#[rstest]
#[case::silent(&["--stale-after", "10ms"], "its owner lives, and has not agreed to be replaced: a waiting process waits until it is released")]
#[case::fail(&["--max-wait", "2m"], "waits up to 2m00s, then gives up")]
#[case::stop(&["--on-timeout", "stop", "--max-wait", "5s"], "waits up to 5.0s, then ends the processes that hold the lock")]
#[case::no_wait(&["--no-wait"], "gives up at once")]
fn a_policy_decides_what_comes_of_it(#[case] options: &[&str], #[case] says: &str) {
    with_lock_in_state("stopped", |home| {
        let out = home.fleet(&[&["lock", "explain"], options].concat()).run();
        assert_eq!(out.code(), 0, "{out}");
        assert!(out.stdout.contains(says), "{says:?} in {out}");
    });
}

#[test]
fn who_waits_is_shown() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let waiters = || {
        let status = home.fleet(&["lock", "status", "--json"]).run().json();
        let waiters = status["waiters"].as_array().expect("a list").iter();
        waiters.map(|waiter| waiter["pid"].as_u64().expect("a pid")).collect::<Vec<_>>()
    };
    assert!(waiters().is_empty());
    let mut second = home.under_lock(&[], "exit 0");
    second.await_stderr("waiting for");
    let mut third = home.under_lock(&[], "exit 0");
    third.await_stderr("waiting for");
    assert_eq!(waiters(), [u64::from(second.pid()), u64::from(third.pid())]);
    let out = home.fleet(&["lock", "status"]).run();
    redacted(&home, || insta::assert_snapshot!("who_waits_is_shown", out));
    // One that is killed does not wait any more, though it could not say so.
    third.signal(Signal::KILL);
    assert_eq!(third.wait().code(), -9);
    assert_eq!(waiters(), [u64::from(second.pid())]);
    gate.open();
    assert_eq!((first.wait().code(), second.wait().code()), (0, 0));
    assert!(waiters().is_empty());
}

#[test]
fn an_error_comes_with_the_explanation() {
    for options in [&["--no-wait"][..], &["--on-timeout", "fail", "--max-wait", "200ms"]] {
        with_lock_in_state("held", |home| {
            let out = home.under_lock(options, "exit 0").wait();
            assert_eq!(out.code(), 75, "{out}");
            let said = &out.stderr;
            redacted(home, || insta::assert_snapshot!(said));
        });
    }
}

#[test]
fn an_owner_whose_work_outlives_it_is_recognised() {
    let home = Sandbox::new();
    // The work's work: it does not die with the wrapper, and keeps the lock.
    let script = "sleep 1000 & echo $! > grandchild; wait";
    let holder = home.under_lock(&[], script);
    home.await_pid("grandchild");
    holder.signal(Signal::KILL);
    assert_eq!(holder.wait().code(), -9);
    let out = home.fleet(&["lock", "explain"]).run();
    let left = home.await_pid("grandchild");
    let exited = "exited; its child processes are still running";
    assert!(out.stdout.contains(&format!("process     {exited}")), "{out}");
    let owner = "its owner exited, and its child processes are still running: ";
    assert!(out.stdout.contains(&format!("verdict     {owner}")), "{out}");
    assert!(out.stdout.contains(&format!("kill {left} ")), "{out}");
    assert!(!out.stdout.contains("the owner is told"), "{out}");
    let out = home.fleet(&["lock", "status"]).run();
    assert!(out.stdout.contains(&format!("), {exited}\n")), "{out}");
}

/// A process that is stopped in the middle of a transition holds everybody up.
#[test]
fn whoever_is_stuck_in_a_transition_is_named() {
    let home = Sandbox::new();
    let (holder, gate) = home.holder(&[]);
    let mutex = format!("{LOCK}.mutex");
    // Its ticket, as it would stand there, under a kernel lock of somebody who lives on.
    fs::copy(home.path(LOCK), home.path(&mutex)).expect("copied");
    let locked = home.gate("locked");
    let script = format!(": > has-mutex; read x < {}", locked.path().display());
    let args = ["-x", &mutex, "/bin/sh", "-c", &script];
    let stuck = home.fleet(&[]).instead("flock", &args).spawn();
    until("the mutex to be locked", || home.has("has-mutex"));
    holder.signal(Signal::STOP);
    until("the holder to stop", || state_of(holder.pid()) == Some('T'));
    // Whoever means to wait stands in line and waits for the owner.
    let out = home.under_lock(&["--no-wait"], "exit 0").wait();
    assert_eq!(out.code(), 75, "{out}");
    let pid = holder.pid();
    for says in [
        "held for a transition",
        "stopped: no process gets past it",
        &format!("kill {}", stuck.pid()),
        "end it: then the mutex is cleared",
    ] {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    let data = home.fleet(&["lock", "explain", "--json"]).run().json();
    assert_eq!(
        (&data["stuck"]["pid"], &data["stuck"]["process"]),
        (&pid.into(), &"stopped".into())
    );
    locked.open();
    assert_eq!(stuck.wait().code(), 0);
    fs::remove_file(home.path(&mutex)).expect("ours to remove");
    holder.signal(Signal::CONT);
    gate.open();
    assert_eq!(holder.wait().code(), 0);
}

#[rstest]
#[case::directory("dir.lock", 73)]
#[case::no_name("/", 64)]
fn what_is_no_lock_cannot_be_explained(#[case] path: &str, #[case] code: i32) {
    let home = Sandbox::new();
    fs::create_dir(home.path("dir.lock")).expect("created");
    for command in ["status", "explain"] {
        let out = home.fleet(&["lock", command, "--lock", path]).run();
        assert_eq!(out.code(), code, "{out}");
        assert!(out.stdout.is_empty() && out.stderr.lines().count() == 1, "{out}");
    }
}
