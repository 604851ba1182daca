//! Going on where another restart stopped, taking its end for one's own, and holding the
//! fleet back.

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{IDLE, Running, STUBBORN, Sandbox, until};

/// A restart that has done `a`, and waits for the stubborn `b` to end; `c` is still to come.
fn restart_at_b(options: &[&str]) -> (Sandbox, Running) {
    let home = Sandbox::with_agents(&[("a", IDLE), ("b", STUBBORN), ("c", IDLE)]);
    let out = home.fleet(&["start"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the trap to be set", || home.has("work/ready"));
    let restart = home.fleet(&[&["restart", "--grace", "10m"], options].concat()).spawn();
    until("b to be asked to end", || home.has("work/asked"));
    (home, restart)
}

fn pids(home: &Sandbox) -> [u32; 3] {
    ["a", "b", "c"].map(|agent| home.pid(agent))
}

/// What a second restart does.
#[rstest]
#[case::goes_on_by_default(&[], Signal::KILL, true)]
#[case::goes_on_when_asked(&["--resume"], Signal::KILL, true)]
#[case::begins_anew_when_asked(&["--no-resume"], Signal::KILL, false)]
#[case::begins_anew_after_one_that_was_interrupted(&[], Signal::TERM, false)]
#[case::goes_on_after_that_when_asked(&["--resume"], Signal::TERM, true)]
#[case::begins_anew_for_other_agents(&["--resume", "a", "b"], Signal::KILL, false)]
fn after_a_restart_that_stopped(#[case] args: &[&str], #[case] end: Signal, #[case] goes_on: bool) {
    let (home, restart) = restart_at_b(&[]);
    let [a, b, _] = pids_but_b(&home);
    restart.signal(end);
    let _ = restart.wait();
    let out = home.fleet(&[&["restart", "--grace", "50ms"], args].concat()).run();
    assert_eq!(out.code(), 0, "{out}");
    let after = pids(&home);
    assert_eq!(after[0] == a, goes_on, "a was done before: {out}");
    assert_ne!(after[1], b, "b was not: {out}");
    assert_eq!(out.stderr.contains("going on where generation"), goes_on, "{out}");
    assert!(!out.stdout.contains("1/3") || !goes_on, "{out}");
}

/// `b` is asked to end, so it has no running pid.
fn pids_but_b(home: &Sandbox) -> [u32; 3] {
    let b = home.agent_processes("b").into_iter().min().expect("it ignores SIGTERM");
    [home.pid("a"), b, home.pid("c")]
}

#[test]
fn what_is_gone_on_with_is_as_good_as_done() {
    let (home, restart) = restart_at_b(&[]);
    restart.signal(Signal::KILL);
    let _ = restart.wait();
    let out = home.fleet(&["restart", "--grace", "50ms", "--json"]).run();
    let result = |agent: usize| out.json()["agents"][agent]["result"].clone();
    assert_eq!([result(0), result(1), result(2)], ["earlier", "restarted", "restarted"], "{out}");
    // That one came to its end, so there is nothing to go on with but for whoever insists.
    let a = home.pid("a");
    let out = home.fleet(&["restart", "--grace", "50ms"]).run();
    assert_ne!(home.pid("a"), a, "{out}");
    let all = pids(&home);
    let out = home.fleet(&["restart", "--resume"]).run();
    assert_eq!((out.code(), pids(&home)), (0, all), "{out}");
}

#[test]
fn status_tells_of_a_fleet_that_is_half_restarted() {
    let (home, restart) = restart_at_b(&[]);
    assert!(home.status().get("unfinished").is_none(), "it goes on");
    restart.signal(Signal::KILL);
    let _ = restart.wait();
    let out = home.fleet(&["status"]).run();
    let said = "stopped with 1 of 3 agents done; `fleet restart --resume` does the rest";
    assert!(out.stdout.contains(said), "{out}");
    assert_eq!(home.status()["unfinished"]["agents"][1]["mark"], "begun");
    let out = home.fleet(&["restart", "--grace", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(home.status().get("unfinished").is_none());
}

#[test]
fn whoever_joins_gets_the_other_ones_exit_code() {
    let (home, restart) = restart_at_b(&[]);
    let mut joining = home.fleet(&["restart", "--join"]).spawn();
    joining.await_stderr("waiting for");
    home.kill_agent("b");
    let out = restart.wait();
    assert_eq!(out.code(), 0, "{out}");
    let out = joining.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("joined generation"), "{out}");
    let all = pids(&home);
    let out = home.fleet(&["restart", "--join", "--grace", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_ne!(home.pid("a"), all[0], "nobody to join, so it did the work itself: {out}");
}

/// It was up when the signal came, but nobody has seen it live for long enough.
#[rstest]
fn who_was_not_watched_to_the_end_is_restarted_again(#[values("1", "2")] jobs: &str) {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let restart = home.fleet(&["restart", "--settle", "10m", "--jobs", jobs]).spawn();
    until("a to run", || !home.agent_processes("a").is_empty());
    restart.signal(Signal::TERM);
    let out = restart.wait();
    assert_eq!(out.code(), 143, "{out}");
    let a = home.pid("a");
    let out = home.fleet(&["restart", "--resume", "--settle", "0ms", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["agents"][0]["result"], "restarted", "{out}");
    assert_ne!(home.pid("a"), a, "{out}");
}

/// Behind another in line, a joiner hears of nobody but the owner that it met.
#[test]
fn whoever_joins_behind_others_joins_the_last_of_them() {
    let (home, restart) = restart_at_b(&[]);
    let mut second = home.fleet(&["restart", "--no-resume", "--grace", "50ms"]).spawn();
    second.await_stderr("waiting for");
    let mut joining = home.fleet(&["restart", "--join"]).spawn();
    joining.await_stderr("waiting for");
    home.kill_agent("b");
    for each in [restart, second] {
        let out = each.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    let out = joining.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("joined generation 3"), "{out}");
}

#[test]
fn a_failed_restart_fails_for_whoever_joined_it() {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", "exit 3")]);
    let out = home.fleet(&["start", "a"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the trap to be set", || home.has("work/ready"));
    let restart = home.fleet(&["restart", "--grace", "10m"]).spawn();
    until("a to be asked to end", || home.has("work/asked"));
    let mut joining = home.fleet(&["restart", "--join", "--json"]).spawn();
    joining.await_stderr("waiting for");
    home.kill_agent("a");
    let out = restart.wait();
    assert_eq!(out.code(), 1, "{out}");
    let out = joining.wait();
    assert_eq!(out.code(), 1, "{out}");
    assert_eq!(out.json()["ending"], "joined", "{out}");
    assert_eq!(out.json()["agents"][1]["mark"], "failed", "{out}");
}

#[rstest]
#[case::killed(Signal::KILL)]
#[case::interrupted(Signal::TERM)]
fn whoever_joined_one_that_stopped_does_the_rest(#[case] end: Signal) {
    let (home, restart) = restart_at_b(&[]);
    let mut joining = home.fleet(&["restart", "--join", "--grace", "50ms"]).spawn();
    joining.await_stderr("waiting for");
    let [a, b, c] = pids_but_b(&home);
    restart.signal(end);
    let _ = restart.wait();
    let out = joining.wait();
    assert_eq!(out.code(), 0, "{out}");
    let after = pids(&home);
    assert_eq!(after[0], a, "{out}");
    assert!(after[1] != b && after[2] != c, "{out}");
}

#[test]
fn a_plan_that_cannot_be_kept_is_no_reason_not_to_restart() {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write("fleet/run/plan.json/in-the-way", "");
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("plan.json"), "{out}");
    assert_eq!(home.status()["agents"][0]["state"], "running");
}

#[rstest]
#[case::nothing("")]
#[case::half("{\"request\": {\"verb\": \"rest")]
#[case::something_else("[1, 2]")]
fn a_plan_that_is_none_is_not_gone_on_with(#[case] text: &str) {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write("fleet/run/plan.json", text);
    let out = home.fleet(&["restart", "--resume"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(home.read("fleet/run/plan.json").contains("\"done\""), "{out}");
}

#[rstest]
#[case::canary(&["--canary", "1"])]
#[case::stop_on_failure(&["--stop-on-failure"])]
fn a_first_agent_that_does_not_come_up_holds_the_others_back(#[case] options: &[&str]) {
    let home = Sandbox::with_agents(&[("a", IDLE), ("b", IDLE)]);
    let out = home.fleet(&["start"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let b = home.pid("b");
    home.write_agents(&[("a", "echo out of tokens; exit 3"), ("b", IDLE)]);
    let out = home.fleet(&[&["restart"], options].concat()).run();
    assert_eq!(out.code(), 1, "{out}");
    assert_eq!(home.pid("b"), b, "{out}");
    assert!(out.stderr.contains("out of tokens"), "{out}");
    assert!(out.stderr.contains("not touched: b"), "{out}");
    assert!(out.stderr.contains("fleet restart --resume"), "{out}");
}

#[test]
fn a_pause_between_two_agents_is_said_in_the_lock_and_ends_on_a_signal() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let restart = home.fleet(&["restart", "--stagger", "1h"]).spawn();
    let progress = || home.status()["lock"]["owner"]["progress"].clone();
    until("the pause", || progress() == "2/2 waiting to go on with b");
    assert_eq!(home.status()["agents"][1]["state"], "stopped");
    restart.signal(Signal::TERM);
    let out = restart.wait();
    assert_eq!(out.code(), 143, "{out}");
    assert!(out.stderr.contains("not touched: b"), "{out}");
    assert!(out.stderr.contains("--resume"), "{out}");
}

#[rstest]
#[case::both(&["restart", "--resume", "--no-resume"], "cannot be used with")]
#[case::no_canary(&["restart", "--canary", "0"], "--canary")]
#[case::not_for_stop(&["stop", "--canary", "1"], "--canary")]
fn what_makes_no_sense_is_a_usage_error(#[case] args: &[&str], #[case] said: &str) {
    let out = Sandbox::with_idle_agents(&["a"]).fleet(args).run();
    assert_eq!(out.code(), 64, "{out}");
    assert!(out.stderr.contains(said), "{out}");
}
