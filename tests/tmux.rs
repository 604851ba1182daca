//! Agents as sessions on a real tmux server of the fleet's own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::json;

use crate::kit::{DEAF, IDLE, LOCK, SOCKET, STUBBORN, Sandbox, is_alive, kill, until};

/// A home with sessions that do nothing, for as long as they may.
fn idle(names: &[&str]) -> Sandbox {
    let agents: Vec<_> = names.iter().map(|name| (*name, IDLE)).collect();
    Sandbox::with_sessions(&agents)
}

/// The process of the fleet's tmux server.
fn server(home: &Sandbox) -> u32 {
    let out = home.tmux(&["display-message", "-p", "#{pid}"]);
    out.stdout.trim().parse().unwrap_or_else(|_| panic!("no server: {out}"))
}

/// The sessions on the fleet's server.
fn sessions(home: &Sandbox) -> BTreeSet<String> {
    let out = home.tmux(&["list-sessions", "-F", "#{session_name}"]);
    out.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_holder_comes_first_and_takes_every_agent_with_it() {
    let home = idle(&["a", "b.2", "c"]);
    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    for line in ["1/3 restarted a", "2/3 restarted b.2", "3/3 restarted c"] {
        assert!(out.stdout.contains(line), "{out}");
    }
    // tmux has no dots in the names of sessions.
    let all = ["_holder", "a", "b_2", "c"].map(str::to_owned);
    assert_eq!(sessions(&home), all.clone().into());
    let old = ["a", "b.2", "c"].map(|agent| home.pid(agent));
    let old_server = server(&home);

    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!out.stdout.contains("did not run"), "they ran, until the holder ended: {out}");
    assert!(!is_alive(old_server) && server(&home) != old_server);
    assert!(old.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(sessions(&home), all.into());

    let pid = home.pid("a");
    let out = home.fleet(&["restart", "c", "--settle", "0ms"]).run();
    assert_eq!((out.code(), home.pid("a")), (0, pid), "one agent restarts alone: {out}");

    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(pid) && sessions(&home).is_empty());
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
    let default = format!("tmux-{}/default", fs::metadata("/proc/self").expect("/proc").uid());
    assert!(!home.has(&default), "nobody asked for the default server");
}

#[test]
fn start_and_stop_do_only_what_is_missing() {
    let home = idle(&["a", "b"]);
    let start = |names: &[&str]| {
        home.fleet(&[&["start", "--settle", "0ms", "--json"], names].concat()).run()
    };
    let out = start(&["a"]);
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("the holder does not run"), "{out}");
    assert!(sessions(&home).is_empty(), "no server was started for it");

    let out = start(&[]);
    assert_eq!(out.code(), 0, "{out}");
    let (pid, holder) = (home.pid("a"), server(&home));
    let out = home.fleet(&["stop", "b", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["result"], "stopped", "{out}");
    assert_eq!(home.status()["agents"][1]["state"], "stopped");
    let out = start(&[]);
    assert_eq!(out.json()["holder"]["result"], "already", "{out}");
    assert_eq!(out.json()["agents"][0]["result"], "already", "{out}");
    assert_eq!(out.json()["agents"][1]["result"], "started", "{out}");
    assert_eq!((home.pid("a"), server(&home)), (pid, holder));
    let _ = home.fleet(&["stop"]).run();
    let out = home.fleet(&["stop", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["holder"]["result"], "already", "{out}");
}

#[test]
fn an_agent_gets_what_the_roster_says_and_nothing_of_ours() {
    let home = idle(&["a"]);
    home.write("fleet/agents/a.env", "SECRET='yes; it is'\n");
    let other = home.path("other.lock");
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // Inside a `lock run` there is a descriptor that is inherited on purpose.
    let out = home
        .fleet(&["lock", "run", "--lock", other.to_str().expect("UTF-8"), "--", fleet, "restart"])
        .env("TMUX", "/nowhere,1,0")
        .run();
    assert_eq!(out.code(), 0, "{out}");
    let pid = home.pid("a");
    let open = |pid: u32| -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours");
        let links = entries.filter_map(|entry| fs::read_link(entry.expect("an entry").path()).ok());
        links.map(|link| link.display().to_string()).collect()
    };
    assert_eq!(open(pid).len(), 3, "{:?}", open(pid));
    assert!(open(pid).iter().all(|file| file.starts_with("/dev/pts/")), "{:?}", open(pid));
    let server = server(&home);
    // A lock's file has no name any more, but it is still in its directory.
    let ours = home.path("").display().to_string();
    assert!(!open(server).iter().any(|file| file.starts_with(&ours)), "{:?}", open(server));
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).expect("it is ours");
    assert_eq!(cwd, home.path("work"));
    let environ = |pid| fs::read_to_string(format!("/proc/{pid}/environ")).expect("it is ours");
    let has = |wanted: &str| environ(pid).split('\0').any(|entry| entry == wanted);
    assert!(has("FLEET_AGENT=a") && has("SECRET=yes; it is"), "{}", environ(pid));
    assert!(!environ(pid).contains("FLEET_LOCK_") && !environ(server).contains("FLEET_LOCK_"));
    let told = home.tmux(&["show-environment", "-t", "=a"]);
    assert!(told.stdout.contains("FLEET_AGENT=a"), "{told}");
    assert!(!told.stdout.contains("SECRET"), "tmux is told no secret: {told}");
}

#[test]
fn each_way_to_fail_at_the_start_is_named_with_the_last_words() {
    let home = Sandbox::with_sessions(&[
        // What a process writes right before its end, tmux may never read.
        ("a", "echo out; echo err >&2; sleep 0.2; exit 3"),
        ("b", IDLE),
        ("c", "kill -SEGV $$"),
    ]);
    let more = r#""agents":[{"name":"d","runtime":"r","command":["/no/such/program"]},
        {"name":"e","runtime":"r","command":["true"],"working_directory":"gone"},"#;
    let roster = home.read("fleet/roster.yaml").replace(r#""agents":["#, more);
    home.write("fleet/roster.yaml", &roster);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    // None of these lives long enough.
    let out = home.fleet(&["restart", "a", "c", "d", "e", "--settle", "10m"]).run();
    assert_eq!(out.code(), 1, "{out}");
    let says = [
        "restart a: it ended at once, with exit status: 3; its last words in its tmux session a:",
        "| out\n",
        "| err\n",
        "restart c: it ended at once, with signal: ",
        "restart d: it ended at once, with exit status: 127",
        "| fleet: cannot run `/no/such/program`: No such file",
        "restart e: the working directory",
    ];
    for says in says {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    assert!(is_alive(home.pid("b")));
    let status = home.status();
    let a = status["agents"].as_array().expect("a list").iter().find(|a| a["name"] == "a");
    let a = a.expect("in the roster");
    assert_eq!((&a["state"], &a["how"]), (&json!("dead"), &json!("exit status: 3")), "{a:#}");
    // What is left of it is no hindrance.
    home.write_roster("tmux", json!({"socket_name": SOCKET}), &[("a", IDLE)]);
    let out = home.fleet(&["start", "a", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.pid("a");
}

#[test]
fn only_the_very_session_is_stopped() {
    let home = idle(&["a"]);
    let out = home.fleet(&["start"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let _ = home.tmux(&["new-session", "-d", "-s", "ab", "sleep", "1000"]);
    let _ = home.fleet(&["stop", "a"]).run();
    assert_eq!(sessions(&home), ["_holder", "ab"].map(str::to_owned).into());
    // With `a` gone, tmux would find `ab` for it.
    let out = home.fleet(&["stop", "a"]).run();
    assert!(out.code() == 0 && sessions(&home).contains("ab"), "{out}");
}

#[test]
fn an_agent_that_hears_no_hangup_is_killed_after_its_grace() {
    let home = Sandbox::with_sessions(&[("a", DEAF), ("b", STUBBORN)]);
    let _ = home.fleet(&["start"]).run();
    until("the traps to be set", || home.has("work/ready") && home.has("work/deaf"));
    let (a, b) = (home.pid("a"), home.pid("b"));
    let out = home.fleet(&["stop", "a", "--grace", "100ms", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["agents"][0]["killed"], true, "{out}");
    assert!(!is_alive(a) && is_alive(b));
    // This one has no trap for a hangup.
    let out = home.fleet(&["stop", "b", "--grace", "10m", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["killed"], false, "{out}");
    assert!(!is_alive(b));
}

/// The kernel hangs up on the foreground group alone.
#[test]
fn stopping_an_agent_ends_what_it_started_in_the_background() {
    let script = "set -m; sleep 1000 & echo $! > child; : > ready; wait";
    let home = Sandbox::with_sessions(&[("a", script)]);
    let _ = home.fleet(&["start"]).run();
    until("the child to run", || home.has("work/ready"));
    let child = home.await_pid("work/child");
    let out = home.fleet(&["stop", "a", "--grace", "10m", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["killed"], false, "{out}");
    assert!(!is_alive(child));
}

#[test]
fn what_outlives_its_server_is_found() {
    let home = Sandbox::with_sessions(&[("a", DEAF)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/deaf"));
    let (a, server) = (home.pid("a"), server(&home));
    kill(server, Signal::KILL);
    until("the server to die", || !is_alive(server));
    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "dead", "{status:#}");
    assert_eq!(status["agents"][0]["leftover"][0], a, "{status:#}");
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert!(out.code() == 1 && out.stderr.contains("left processes behind"), "{out}");
    let out = home.fleet(&["restart", "--grace", "50ms", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(a) && home.pid("a") != a);
}

/// Slow, because a server that hangs is told from a slow one by time alone.
#[test]
fn a_server_that_hangs_is_replaced_with_the_holder() {
    let home = idle(&["a"]);
    let _ = home.fleet(&["start"]).run();
    let (a, hung) = (home.pid("a"), server(&home));
    kill(hung, Signal::STOP);
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(hung) && !is_alive(a));
    assert!(is_alive(home.pid("a")));
}

#[test]
fn stop_attempts_everyone_whatever_fails_before() {
    let home = idle(&["a", "b", "c"]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    let (a, c) = (home.pid("a"), home.pid("c"));
    fs::remove_file(home.path("fleet/run/agents/b.json")).expect("it was started");
    fs::create_dir(home.path("fleet/run/agents/b.json")).expect("in the way");
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("cannot stop b") && out.stderr.contains("b.json"), "{out}");
    assert!(!is_alive(a) && !is_alive(c), "{out}");
    assert!(sessions(&home).is_empty(), "the holder was stopped as well: {out}");
    assert!(!home.has(LOCK));
}

#[test]
fn the_users_own_server_is_left_alone() {
    let home = Sandbox::new();
    // The roster names no socket, so this is where the fleet is to be.
    home.write_roster("tmux", json!({}), &[("a", IDLE)]);
    let tmux = |args: &[&str]| home.bare(&[]).instead("tmux", args).run();
    let _ = tmux(&["new-session", "-d", "-s", "mine", "sleep", "1000"]);
    let pid = tmux(&["display-message", "-p", "#{pid} #{pane_pid}"]).stdout;
    for args in [&["restart"][..], &["restart"], &["stop"]] {
        let out = home.fleet(args).run();
        assert_eq!(out.code(), 0, "{out}");
    }
    let names = tmux(&["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(names.stdout, "mine\n", "the fleet's sessions are gone, the user's is not");
    assert_eq!(tmux(&["display-message", "-p", "#{pid} #{pane_pid}"]).stdout, pid);
}

#[test]
fn a_fleet_inside_of_a_session_is_told_how_to_restart_it() {
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!("{fleet} restart 2> said; echo $? > code; exec sleep 1000");
    let home = Sandbox::with_sessions(&[("a", &script)]);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let a = home.pid("a");
    until("the agent's own restart to end", || home.read("work/code").ends_with('\n'));
    assert_eq!(home.read("work/code"), "1\n");
    let said = home.read("work/said");
    assert!(said.contains("cannot restart the holder"), "{said}");
    assert!(said.contains("run `setsid fleet restart` instead"), "{said}");
    assert_eq!(home.pid("a"), a);
}

/// The server that a restart starts must not hold the lock when the restart is killed.
#[test]
fn a_killed_restart_hands_over_at_once() {
    let home = Sandbox::with_sessions(&[("a", IDLE), ("b", DEAF)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/deaf"));
    let old = server(&home);
    let restart = home.fleet(&["restart", "--grace", "50ms", "--settle", "10m"]).spawn();
    until("the new holder and the first agent to run", || {
        !is_alive(old) && sessions(&home).contains("a")
    });
    restart.signal(Signal::KILL);
    let out = restart.wait();
    assert_eq!(out.code(), -9, "{out}");
    assert!(home.has(LOCK), "nobody released it");
    let out = home.fleet(&["restart", "--no-wait", "--grace", "50ms", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.pid("a");
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[rstest]
#[case::interrupted(Signal::INT, 130)]
#[case::terminated(Signal::TERM, 143)]
fn a_signal_stops_a_restart_and_releases_the_lock(#[case] signal: Signal, #[case] code: i32) {
    let home = Sandbox::with_sessions(&[("a", DEAF), ("b", IDLE)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/deaf"));
    let (a, b) = (home.pid("a"), home.pid("b"));
    let restart = home.fleet(&["restart", "a", "b", "--grace", "10m"]).spawn();
    until("the first agent to be stopped", || !sessions(&home).contains("a"));
    restart.signal(signal);
    let out = restart.wait();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains("a was asked to stop and not started again"), "{out}");
    assert!(!home.has(LOCK) && is_alive(a) && home.pid("b") == b, "no further step: {out}");
    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "stopping", "{status:#}");
    let out = home.fleet(&["restart", "--grace", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(a));
}

#[test]
fn a_restart_that_lost_its_lock_stops_there() {
    let home = Sandbox::with_sessions(&[("a", DEAF), ("b", IDLE)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/deaf"));
    let b = home.pid("b");
    let restart = home.fleet(&["restart", "a", "b", "--grace", "10m"]).spawn();
    until("the first agent to be stopped", || !sessions(&home).contains("a"));
    let out = home.fleet(&["lock", "break"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.kill_agent("a");
    let out = restart.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert!(!sessions(&home).contains("a"), "not even the start of a: {out}");
    assert_eq!(home.pid("b"), b, "no further step: {out}");
}

#[test]
fn serial_several_restarts_at_once_leave_each_agent_running_once() {
    let home = idle(&["a", "b", "c"]);
    let args = ["restart", "--settle", "20ms", "--no-resume"];
    let restarts: Vec<_> = (0..4).map(|_| home.fleet(&args).spawn()).collect();
    until("the first agent to run", || home.has("fleet/run/agents/a.json"));
    for restart in home.kill_owner(restarts) {
        let out = restart.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    for agent in ["a", "b", "c"] {
        assert_eq!(home.agent_processes(agent), [home.pid(agent)], "{agent} runs once");
    }
    assert_eq!(sessions(&home).len(), 4);
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}
