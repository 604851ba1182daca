//! The fleet's commands and the restart lock: waiting, taking over, losing, letting go.

use std::fs;
use std::io::Write;
use std::time::Duration;

use rstest::rstest;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::kit::{IDLE, LOCK, Running, STUBBORN, Sandbox, is_alive, until};

#[rstest]
#[case::the_fleet(&["restart"])]
#[case::one_agent(&["restart", "a"])]
#[case::start(&["start"])]
#[case::stop(&["stop"])]
fn nothing_happens_before_a_foreign_lock_clears(#[case] args: &[&str]) {
    let home = Sandbox::with_idle_agents(&["a"]);
    if args[0] == "stop" {
        let _ = home.fleet(&["start"]).run();
    }
    let before = home.status()["agents"][0]["pid"].clone();
    let lock = home.write_foreign_lock(Duration::ZERO);
    let mut waiting = home.fleet(args).spawn();
    waiting.await_stderr("4242");
    assert_eq!(home.status()["agents"][0]["pid"], before, "nothing was touched");
    assert_eq!(home.read(LOCK), lock);
    fs::remove_file(home.lock()).expect("the foreign owner releases");
    let out = waiting.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert_ne!(home.status()["agents"][0]["pid"], before, "then it went on");
    assert!(!home.has(LOCK));
}

/// What runs is not known then, and two of one agent is what must not be.
#[test]
fn a_damaged_record_of_an_agent_starts_no_second_one() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let out = home.fleet(&["start"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let record = home.read("fleet/run/agents/a.json");
    home.write("fleet/run/agents/a.json", "{");
    let out = home.fleet(&["status", "--json"]).run();
    assert_eq!(out.code(), 74, "{out}");
    assert_eq!(out.json()["agents"][0]["state"], "unknown", "{out}");
    for verb in ["restart", "start", "stop"] {
        let out = home.fleet(&[verb]).run();
        assert_eq!(out.code(), 1, "{out}");
        assert!(out.stderr.contains(&format!("cannot {verb} a: ")), "{out}");
        assert!(out.stderr.contains("a.json is damaged; end what still runs"), "{out}");
        assert_eq!(home.agent_processes("a").len(), 1, "{out}");
    }
    home.write("fleet/run/agents/a.json", &record);
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn a_stale_foreign_lock_is_broken_in_one_line() {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write_foreign_lock(Duration::from_secs(3600));
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.stderr.lines().filter(|line| line.contains("stale")).count(), 1, "{out}");
    assert!(!home.has(LOCK), "{:?}", home.lock_files());
}

/// A restart that waits for its first, stubborn, agent to end; and the second agent's pid.
fn restart_in_the_middle() -> (Sandbox, Running, u32, u32) {
    restart_in_the_middle_with(&[])
}

fn restart_in_the_middle_with(options: &[&str]) -> (Sandbox, Running, u32, u32) {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", IDLE)]);
    let out = home.fleet(&["start"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the trap to be set", || home.has("work/ready"));
    let (a, b) = (home.pid("a"), home.pid("b"));
    let restart = home.fleet(&[&["restart", "--grace", "10m"], options].concat()).spawn();
    until("the first agent to be asked", || home.has("work/asked"));
    (home, restart, a, b)
}

#[rstest]
#[case::interrupted(Signal::INT, 130)]
#[case::terminated(Signal::TERM, 143)]
#[case::hung_up(Signal::HUP, 129)]
fn a_signal_stops_a_restart_and_releases_the_lock(#[case] signal: Signal, #[case] code: i32) {
    let (home, restart, a, b) = restart_in_the_middle();
    assert!(home.has(LOCK));
    restart.signal(signal);
    let out = restart.wait();
    assert_eq!(out.code(), code, "{out}");
    assert!(!home.has(LOCK), "{:?}", home.lock_files());
    assert!(is_alive(a) && home.pid("b") == b, "no further step: {out}");
    assert!(out.stderr.contains("a was asked to stop and not started again"), "{out}");
    // The next one goes on where this one stopped.
    let out = home.fleet(&["restart", "--grace", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(a) && home.pid("b") != b, "{out}");
}

#[test]
fn a_killed_restart_hands_over_at_once() {
    let (home, restart, a, b) = restart_in_the_middle();
    restart.signal(Signal::KILL);
    let out = restart.wait();
    assert_eq!(out.code(), -9, "{out}");
    assert!(home.has(LOCK), "nobody released it");
    let out = home.fleet(&["restart", "--grace", "50ms", "--no-wait"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(a) && !is_alive(b) && home.pid("a") != a, "{out}");
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn a_restart_that_lost_its_lock_stops_there_and_says_so() {
    let (home, restart, _, b) = restart_in_the_middle();
    let out = home.fleet(&["lock", "break"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.kill_agent("a");
    let out = restart.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert!(out.stderr.contains("lost"), "{out}");
    assert_eq!(home.pid("b"), b, "no further step");
    assert_eq!(home.status()["agents"][0]["state"], "stopped", "not even the start of a: {out}");
}

#[test]
fn a_restart_that_was_taken_over_says_by_whom() {
    let silence = ["--stale-after", "300ms"];
    let (home, restart, _, b) = restart_in_the_middle_with(&silence);
    home.stop(&restart);
    let gate = home.gate("gate");
    let script = format!("read x < {}", gate.path().display());
    let mut taker = home.under_lock(&silence, &script);
    taker.await_stderr("over from");
    let pid = taker.pid();
    until("the taker to own the lock", || home.read(LOCK).starts_with(&format!("{pid}\n")));
    let lock = home.read(LOCK);
    restart.signal(Signal::CONT);
    home.kill_agent("a");
    let out = restart.wait();
    assert_eq!(out.code(), 76, "{out}");
    let token = lock.lines().nth(2).expect("a token");
    assert!(out.stderr.contains(&pid.to_string()) && out.stderr.contains(token), "{out}");
    assert_eq!(home.pid("b"), b, "no further step");
    assert!(home.read(LOCK).contains(token), "the new owner's lock was left alone");
    gate.open();
    let out = taker.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!home.has(LOCK));
}

#[rstest]
#[case(Signal::INT, 130)]
#[case(Signal::TERM, 143)]
fn a_signal_ends_the_wait_for_the_lock(#[case] signal: Signal, #[case] code: i32) {
    let home = Sandbox::with_idle_agents(&["a"]);
    let lock = home.write_foreign_lock(Duration::ZERO);
    let mut waiting = home.fleet(&["restart"]).spawn();
    waiting.await_stderr("4242");
    waiting.signal(signal);
    let out = waiting.wait();
    assert_eq!(out.code(), code, "{out}");
    assert_eq!(home.read(LOCK), lock, "the foreign owner's lock was left alone");
    assert_eq!(home.status()["agents"][0]["state"], "stopped");
    assert!(
        home.lock_files().iter().all(|name| !name.contains("mutex") && !name.contains("ticket"))
    );
}

#[test]
fn a_busy_lock_is_named_at_once_if_nobody_wants_to_wait() {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write_foreign_lock(Duration::ZERO);
    let out = home.fleet(&["restart", "--no-wait"]).run();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains("4242"), "{out}");
}

#[test]
fn serial_several_restarts_at_once_leave_each_agent_running_once() {
    let home = Sandbox::with_idle_agents(&["a", "b", "c"]);
    let args = ["restart", "--settle", "20ms"];
    let restarts: Vec<_> = (0..5).map(|_| home.fleet(&args).spawn()).collect();
    until("the first agent to run", || home.has("fleet/run/agents/a.json"));
    for restart in home.kill_owner(restarts) {
        let out = restart.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    for agent in ["a", "b", "c"] {
        let running = home.agent_processes(agent);
        assert_eq!(running, [home.pid(agent)], "{agent} runs once");
    }
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn status_says_who_restarts_the_fleet() {
    let (home, restart, ..) = restart_in_the_middle();
    let out = home.fleet(&["status"]).run();
    let pid = restart.pid().to_string();
    assert!(out.stdout.contains(&pid) && out.stdout.contains("1/2 restarting a"), "{out}");
    let status = home.status();
    assert_eq!(status["lock"]["owner"]["pid"], restart.pid(), "{status:#}");
    assert_eq!(status["agents"][0]["state"], "stopping", "{status:#}");
    assert_eq!(status["agents"][1]["state"], "running", "{status:#}");
}

/// Somebody is stopped in the middle of a transition, and a restart cannot take its next step.
/// Who interrupts it need not wait for that too, nor for a release that cannot be.
#[test]
fn a_signal_ends_the_wait_for_a_step_and_hurries_the_release() {
    let (home, restart, a, b) = restart_in_the_middle();
    let mutex = home.path("fleet/run/restart.lock.mutex");
    let record = home.read(LOCK).replace(&format!("{}\n", restart.pid()), "4242\n");
    let mut stopped = None;
    until("the restart to leave the mutex", || {
        stopped = fs::File::create_new(&mutex).ok();
        stopped.is_some()
    });
    let mut stopped = stopped.expect("it was made");
    flock(&stopped, FlockOperation::LockExclusive).expect("nobody else wants it");
    stopped.write_all(record.as_bytes()).expect("there is room");
    home.kill_agent("a");
    let files = format!("/proc/{}/fd", restart.pid());
    let is_mutex = |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to == mutex);
    until("the restart to wait for the mutex", || {
        fs::read_dir(&files).expect("it runs").flatten().any(is_mutex)
    });
    restart.signal(Signal::INT);
    let out = restart.wait();
    assert_eq!(out.code(), 74, "{out}");
    assert!(out.stderr.contains("ended by SIGINT"), "{out}");
    assert!(!out.stderr.contains("the lock is released"), "{out}");
    assert!(out.stderr.contains("could not be released"), "{out}");
    assert!(out.stderr.contains("pid 4242"), "{out}");
    assert!(!is_alive(a) && home.pid("b") == b, "no further step: {out}");
    drop(stopped);
    let out = home.fleet(&["restart", "--no-wait"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("its owner died"), "{out}");
}
