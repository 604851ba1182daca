//! Agents as units of a real user manager, with a real tmux server for the holder.

use std::fs;
use std::time::Instant;

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{IDLE, LOCK, Manager, SOCKET, STUBBORN, Sandbox, Style, is_alive, kill, until};

const HOLDER: &str = "mosaic-tmux-holder.service";

fn unit(agent: &str) -> String {
    format!("mosaic-agent@{agent}.service")
}

/// Which run of a unit it is.
fn invocation(manager: &Manager<'_>, unit: &str) -> String {
    manager.property(unit, "InvocationID")
}

#[rstest]
#[case::plain_units(Style::Plain)]
#[case::units_that_make_sessions(Style::Session)]
fn the_whole_fleet_restarts_holder_first(#[case] style: Style) {
    let home = Sandbox::new();
    let manager = Manager::start(&home, style, &[("a", IDLE), ("b", IDLE)]);
    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("1/2 restarted a") && out.stdout.contains("2/2 restarted b"));
    let first = ["a", "b"].map(|agent| home.pid(agent));
    let holder = invocation(&manager, HOLDER);
    for (agent, pid) in ["a", "b"].into_iter().zip(first) {
        assert_eq!(home.agent_processes(agent), [pid], "the agent itself, not its unit");
    }

    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_ne!(invocation(&manager, HOLDER), holder);
    assert!(first.iter().all(|pid| !is_alive(*pid)));

    let (a, holder) = (home.pid("a"), invocation(&manager, HOLDER));
    let out = home.fleet(&["restart", "b", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!((home.pid("a"), invocation(&manager, HOLDER)), (a, holder), "b alone: {out}");
    let out = home.fleet(&["start", "--json"]).run();
    for who in [&out.json()["holder"], &out.json()["agents"][0], &out.json()["agents"][1]] {
        assert_eq!(who["result"], "already", "{out}");
    }

    let b = home.pid("b");
    let out = home.fleet(&["stop", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["agents"][0]["agent"], "b", "in reverse order: {out}");
    assert!(!is_alive(a) && !is_alive(b));
    assert_eq!(manager.property(HOLDER, "ActiveState"), "inactive");
    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "stopped", "{status:#}");
    let out = home.fleet(&["start", "--settle", "0ms", "--json"]).run();
    assert_eq!(out.json()["agents"][1]["result"], "started", "{out}");
}

#[rstest]
#[case::plain_units(Style::Plain)]
#[case::units_that_make_sessions(Style::Session)]
fn several_restart_at_once_and_each_failure_has_its_words(#[case] style: Style) {
    let home = Sandbox::new();
    let broken = "echo last words; sleep 0.2; exit 3";
    let agents = [("a", IDLE), ("b", broken), ("c", IDLE), ("d", IDLE)];
    let _manager = Manager::start(&home, style, &agents);
    for _ in 0..2 {
        let before = home.status()["agents"].clone();
        let out = home.fleet(&["restart", "--jobs", "3", "--settle", "500ms"]).run();
        assert_eq!(out.code(), 1, "{out}");
        for says in ["1/4 restarted a", "3/4 restarted c", "4/4 restarted d"] {
            assert!(out.stdout.contains(says), "{says:?} in {out}");
        }
        for says in ["cannot restart b", "exit status: 3"] {
            assert!(out.stderr.contains(says), "{says:?} in {out}");
        }
        for (index, agent) in [(0, "a"), (2, "c"), (3, "d")] {
            let pid = home.pid(agent);
            assert_ne!(before[index]["pid"], pid, "{agent} runs anew: {out}");
            assert_eq!(home.agent_processes(agent), [pid], "the agent itself");
        }
    }
    let out = home.fleet(&["restart", "a", "c", "--jobs", "2", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn a_signal_ends_the_wait_for_several_that_are_up() {
    let home = Sandbox::new();
    let _manager = Manager::start(&home, Style::Plain, &[("a", IDLE), ("b", IDLE)]);
    let restart = home.fleet(&["restart", "--jobs", "2", "--settle", "10m"]).spawn();
    until("both to be up", || {
        let agents = home.status()["agents"].clone();
        [0, 1].iter().all(|index| agents[index]["state"] == "running")
    });
    // It looks five times a second while one is on its way.
    std::thread::sleep(std::time::Duration::from_secs(1));
    restart.signal(Signal::TERM);
    let out = restart.wait();
    assert_eq!(out.code(), 143, "{out}");
    assert!(out.stdout.contains("1/2 restarted a") && out.stdout.contains("2/2 restarted b"));
    assert!(!home.has(LOCK), "{out}");
}

#[test]
fn no_agent_starts_before_the_holder_answers() {
    let home = Sandbox::new();
    let manager = Manager::start(&home, Style::Plain, &[("a", IDLE)]);
    let gate = home.gate("gate");
    // To systemd it is up at once.
    let script = format!(
        "read x < {}; tmux -L {SOCKET} new-session -d -s _holder sleep 1000; exec sleep 1000",
        gate.path().display()
    );
    home.write("holder", &script);
    let service = format!("[Service]\nExecStart=/bin/sh {}\n", home.path("holder").display());
    manager.write_unit(HOLDER, &service);
    let mut restart = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    until("the holder's unit to be active", || manager.property(HOLDER, "ActiveState") == "active");
    // Nothing tells that somebody waits; so give it the time to do wrong.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(restart.is_running() && invocation(&manager, &unit("a")).is_empty());
    gate.open();
    let out = restart.wait();
    assert_eq!(out.code(), 0, "{out}");
    home.pid("a");
}

/// Restarting the holder restarts the agents' units with it. One that is being started when its
/// turn comes must not be ended halfway: its session would be in the way of the next start.
#[test]
fn an_agent_that_comes_with_the_holder_is_waited_for() {
    let home = Sandbox::new();
    let manager = Manager::start(&home, Style::Session, &[("a", IDLE)]);
    let gate = home.gate("gate");
    let post = format!(
        "[Service]\nExecStartPost=/bin/sh -c '[ ! -e {} ] || read x < {}'\n",
        home.path("hold").display(),
        gate.path().display()
    );
    manager.write_unit(&format!("{}.d/x.conf", unit("a")), &post);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.write("hold", "");
    let restart = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    until("the agent's turn to come while its unit is started", || {
        home.status()["lock"]["owner"]["progress"] == "1/1 restarting a"
            && manager.property(&unit("a"), "SubState") == "start-post"
    });
    // Its order, if it is going to give one, comes right after that was written.
    std::thread::sleep(std::time::Duration::from_millis(300));
    gate.open();
    let out = restart.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(home.agent_processes("a"), [home.pid("a")]);
}

#[rstest]
fn a_restart_of_the_whole_fleet_starts_each_agent_once(
    #[values(Style::Plain, Style::Session)] style: Style,
    #[values("1", "3")] jobs: &str,
) {
    let home = Sandbox::new();
    let script = "echo begun >> ../$FLEET_AGENT.starts; exec sleep 1000";
    let agents = [("a", script), ("b", script), ("c", script)];
    let _manager = Manager::start(&home, style, &agents);
    for starts in 1..4 {
        let before = home.status()["agents"].clone();
        let out = home.fleet(&["restart", "--settle", "50ms", "--jobs", jobs]).run();
        assert_eq!(out.code(), 0, "{out}");
        for (index, (agent, _)) in agents.into_iter().enumerate() {
            assert_ne!(before[index]["pid"], home.pid(agent), "{agent} runs anew: {out}");
            // Its unit is up before its first command has run.
            let begun = || home.read(&format!("{agent}.starts")).lines().count();
            until("the agent's script to begin", || begun() >= starts);
            let begun = begun();
            assert_eq!(begun, starts, "{agent} is spared a second start: {out}");
        }
    }
}

/// The manager refuses the whole order then, or carries out a part of it.
#[test]
fn one_unit_that_is_refused_costs_the_others_nothing() {
    let home = Sandbox::new();
    let manager = Manager::start(&home, Style::Plain, &["a", "b", "c"].map(|name| (name, IDLE)));
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    manager.write_unit(&format!("{}.d/x.conf", unit("b")), "[Unit]\nRefuseManualStart=yes\n");
    let before = ["a", "b", "c"].map(|agent| home.pid(agent));
    let out = home.fleet(&["restart", "a", "b", "c", "--settle", "0ms", "--jobs", "3"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stdout.contains("1/3 restarted a") && out.stdout.contains("3/3 restarted c"));
    assert!(out.stderr.contains("2/3 cannot restart b: `systemctl --user --no-block restart"));
    let after = ["a", "b", "c"].map(|agent| home.pid(agent));
    assert!(before[0] != after[0] && before[1] == after[1] && before[2] != after[2], "{out}");
}

/// What lives while it waits for its turn need not be watched again from then on.
#[test]
fn agents_that_come_with_the_holder_settle_all_at_once() {
    let home = Sandbox::new();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let _manager = Manager::start(&home, Style::Plain, &names.map(|name| (name, IDLE)));
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let begun = Instant::now();
    let out = home.fleet(&["restart", "--settle", "2s"]).run();
    let took = begun.elapsed();
    assert_eq!(out.code(), 0, "{out}");
    // One after the other they would take 16 s. So much room is for a busy machine.
    assert!((2..10).contains(&took.as_secs()), "{took:?}: {out}");
}

#[rstest]
#[case::one_by_one("1")]
#[case::all_at_once("4")]
fn every_agent_is_attempted_and_each_failure_is_named_with_the_last_words(#[case] jobs: &str) {
    let home = Sandbox::new();
    let agents =
        [("a", "echo out; exit 3"), ("b", IDLE), ("c", "exec no-such-program"), ("d", IDLE)];
    let manager = Manager::start(&home, Style::Plain, &agents);
    manager.write_unit(&format!("{}.d/x.conf", unit("d")), "[Service]\nExecStartPre=/bin/false\n");
    let out = home.fleet(&["restart", "--settle", "3s", "--jobs", jobs]).run();
    assert_eq!(out.code(), 1, "{out}");
    let log = home.path("a.log").display().to_string();
    let says = [
        "cannot restart a: it".to_owned(),
        "exit status: 3".to_owned(),
        format!("its last words in {log}:\n    | out\n"),
        "exit status: 127".to_owned(),
        "no-such-program".to_owned(),
        format!("cannot restart d: its unit {} did not come up (exit-code", unit("d")),
        "3 of 4 agents failed: a, c, d".to_owned(),
    ];
    for says in says {
        assert!(out.stderr.contains(&says), "{says:?} in {out}");
    }
    home.pid("b");
    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "dead", "{status:#}");
    assert_eq!(status["agents"][0]["how"], "exit-code, exit status: 3", "{status:#}");

    // Failed units, and more starts than systemd lets through in ten seconds.
    home.write("scripts/a", IDLE);
    for _ in 0..7 {
        let out = home.fleet(&["restart", "a", "b", "--settle", "0ms", "--jobs", jobs]).run();
        assert_eq!(out.code(), 0, "{out}");
    }
    fs::remove_file(home.path("user/.config/systemd/user/mosaic-agent@.service")).expect("removed");
    let _ = manager.ctl(&["stop", "mosaic-agent@*"]);
    let _ = manager.ctl(&["daemon-reload"]);
    let out = home.fleet(&["restart", "a"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains(&format!("its unit {} is not-found", unit("a"))), "{out}");
}

#[test]
fn a_unit_that_only_counts_as_active_is_dead_and_is_started() {
    let home = Sandbox::new();
    let agents = [("a", IDLE), ("b", "echo out; sleep 0.2; exit 3")];
    let manager = Manager::start(&home, Style::Session, &agents);
    let out = home.fleet(&["restart", "--settle", "10m"]).spawn();
    // The pane of `a` is watched until its process ends.
    until("the first agent to run", || !home.agent_processes("a").is_empty());
    let a = home.agent_processes("a")[0];
    kill(a, Signal::KILL);
    let out = out.wait();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("restart a: it ended at once, with signal: "), "{out}");
    assert!(out.stderr.contains("session b:\n    | out\n"), "{out}");
    for agent in ["a", "b"] {
        assert_eq!(manager.property(&unit(agent), "ActiveState"), "active", "systemd is content");
    }
    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "dead", "{status:#}");
    let out = home.fleet(&["start", "a", "--settle", "50ms", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["result"], "started", "{out}");
    let _ = home.tmux(&["kill-session", "-t", "=a"]);
    let status = home.status();
    assert_eq!(status["agents"][0]["how"], "its unit is active (exited), but nothing runs");
}

#[test]
fn stop_attempts_everyone_whatever_fails_before() {
    let home = Sandbox::new();
    let agents = [("a", IDLE), ("b", IDLE), ("c", IDLE)];
    let manager = Manager::start(&home, Style::Plain, &agents);
    manager.write_unit(&format!("{}.d/x.conf", unit("b")), "[Unit]\nRefuseManualStop=yes\n");
    manager.write_unit(
        "mosaic-agent@.service",
        &home
            .read("user/.config/systemd/user/mosaic-agent@.service")
            .replace("Requires=", "Wants=")
            .replace("PartOf=", "After="),
    );
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let pids = ["a", "b", "c"].map(|agent| home.pid(agent));
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("cannot stop b: `systemctl --user --no-block stop"), "{out}");
    assert!(!is_alive(pids[0]) && is_alive(pids[1]) && !is_alive(pids[2]), "{out}");
    assert_eq!(manager.property(HOLDER, "ActiveState"), "inactive", "the holder, too");
    assert!(!home.has(LOCK));
}

#[test]
fn a_signal_or_a_lost_lock_stops_a_restart_there() {
    let home = Sandbox::new();
    let manager = Manager::start(&home, Style::Plain, &[("a", STUBBORN), ("b", IDLE)]);
    manager.write_unit(&format!("{}.d/x.conf", unit("a")), "[Service]\nTimeoutStopSec=infinity\n");
    let in_the_middle = |args: &[&str]| {
        let out = home.fleet(&["start"]).run();
        assert_eq!(out.code(), 0, "{out}");
        until("the trap to be set", || home.has("work/ready"));
        let _ = fs::remove_file(home.path("work/asked"));
        let pids = (home.pid("a"), home.pid("b"));
        let restart = home.fleet(args).spawn();
        until("the first agent to be asked", || home.has("work/asked"));
        (restart, pids)
    };
    let (restart, (a, b)) = in_the_middle(&["restart", "a", "b"]);
    restart.signal(Signal::INT);
    let out = restart.wait();
    assert_eq!(out.code(), 130, "{out}");
    assert!(out.stderr.contains("a was asked to restart and may still be at it"), "{out}");
    assert!(!home.has(LOCK) && is_alive(a) && home.pid("b") == b, "{out}");
    assert_eq!(home.status()["agents"][0]["state"], "stopping");
    kill(a, Signal::KILL);
    until("systemd to do what it was asked to", || {
        home.status()["agents"][0]["state"] == "running"
    });

    let (restart, (a, b)) = in_the_middle(&["restart", "a", "b"]);
    let out = home.fleet(&["lock", "break"]).run();
    assert_eq!(out.code(), 0, "{out}");
    kill(a, Signal::KILL);
    let out = restart.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert_eq!(home.pid("b"), b, "no further step: {out}");
}

#[test]
fn serial_several_restarts_at_once_leave_each_agent_running_once() {
    let home = Sandbox::new();
    let agents = [("a", IDLE), ("b", IDLE), ("c", IDLE)];
    let manager = Manager::start(&home, Style::Session, &agents);
    let args = ["restart", "--settle", "20ms", "--no-resume"];
    let restarts: Vec<_> = (0..4).map(|_| home.fleet(&args).spawn()).collect();
    until("the first agent to run", || !home.agent_processes("a").is_empty());
    for restart in home.kill_owner(restarts) {
        let out = restart.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    for agent in ["a", "b", "c"] {
        assert_eq!(home.agent_processes(agent), [home.pid(agent)], "{agent} runs once");
        assert_eq!(manager.property(&unit(agent), "ActiveState"), "active");
    }
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

/// A unit takes everything in its control group with it, in whatever session that is.
#[test]
fn a_fleet_inside_of_a_unit_is_told_how_to_restart_it() {
    let home = Sandbox::new();
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!(
        "FLEET_HOME={} setsid -w {fleet} restart a 2> said; echo $? > code; exec sleep 1000",
        home.path("").display()
    );
    let _manager = Manager::start(&home, Style::Plain, &[("a", &script)]);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the agent's own restart to end", || home.read("work/code").ends_with('\n'));
    let said = home.read("work/said");
    assert!(said.contains("run `systemd-run --user fleet restart a` instead"), "{said}");
}
