//! Agents as the `process` supervisor keeps them: started, found again, stopped.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command};

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{IDLE, LOCK, STUBBORN, Sandbox, is_alive, kill, state_of, until};

#[test]
fn three_agents_restart_and_are_found_again() {
    let home = Sandbox::with_idle_agents(&["a", "b", "c"]);
    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    for line in ["1/3 restarted a", "2/3 restarted b", "3/3 restarted c"] {
        assert!(out.stdout.contains(line), "{out}");
    }
    let first: Vec<u32> = ["a", "b", "c"].map(|agent| home.pid(agent)).to_vec();

    let out = home.fleet(&["restart", "--settle", "50ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let second: Vec<u32> = ["a", "b", "c"].map(|agent| home.pid(agent)).to_vec();
    assert!(first.iter().all(|pid| !is_alive(*pid) && !second.contains(pid)));
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);

    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(second.iter().all(|pid| !is_alive(*pid)));
    assert!(
        home.status()["agents"].as_array().expect("a list").iter().all(|a| a["state"] == "stopped")
    );
}

#[test]
fn start_and_stop_do_only_what_is_missing() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let settle = ["--settle", "0ms", "--json"];
    let start = |names: &[&str]| home.fleet(&[&["start"], names, &settle].concat()).run();
    assert_eq!(start(&["a"]).json()["agents"][0]["result"], "started");
    let pid = home.pid("a");
    let out = start(&[]);
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["agents"][0]["result"], "already", "{out}");
    assert_eq!(out.json()["agents"][1]["result"], "started", "{out}");
    assert_eq!(home.pid("a"), pid);

    let out = home.fleet(&["stop", "b", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["result"], "stopped", "{out}");
    let out = home.fleet(&["stop", "--json"]).run();
    let results: Vec<_> = out.json()["agents"].as_array().expect("a list").clone();
    assert_eq!(results[0]["agent"], "b", "stop goes in reverse order: {out}");
    assert_eq!(results[0]["result"], "already", "{out}");
    assert_eq!(results[1]["result"], "stopped", "{out}");
}

#[test]
fn an_agent_gets_what_the_roster_says_and_nothing_of_ours() {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write("fleet/agents/a.env", "FROM_FILE='yes it is'\n");
    let other = home.path("other.lock");
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // Inside a `lock run` there is a descriptor that is inherited on purpose.
    let out = home
        .fleet(&["lock", "run", "--lock", other.to_str().expect("UTF-8"), "--", fleet, "restart"])
        .run();
    assert_eq!(out.code(), 0, "{out}");
    let pid = home.pid("a");

    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).expect("it is ours");
    let open: BTreeSet<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it is ours")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a number"))
        .collect();
    assert_eq!(open, ["0", "1", "2"].map(str::to_owned).into());
    assert_eq!(link("fd/0").to_str(), Some("/dev/null"));
    assert_eq!(link("fd/1"), home.path("fleet/run/logs/a.log"));
    assert_eq!(link("fd/2"), home.path("fleet/run/logs/a.log"));
    assert_eq!(link("cwd"), home.path("work"));

    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let session = stat.rsplit_once(") ").expect("fields").1.split(' ').nth(3).expect("field 6");
    assert_eq!(session, pid.to_string(), "it leads a session");

    let environ = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it is ours");
    let has = |wanted: &str| environ.split('\0').any(|entry| entry == wanted);
    assert!(has("FLEET_AGENT=a") && has("FROM_FILE=yes it is"), "{environ}");
    assert!(!environ.contains("FLEET_LOCK_"), "the lock will be gone long before: {environ}");
}

#[test]
fn an_agent_that_ends_at_once_is_a_failure_with_its_last_words() {
    let home = Sandbox::with_agents(&[
        ("a", "echo out; echo err >&2; exit 3"),
        ("b", IDLE),
        ("c", "kill -SEGV $$"),
    ]);
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 1, "{out}");
    for says in ["restart a", "exit status: 3", "| out\n", "| err\n", "restart c", "signal: 11"] {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    assert!(is_alive(home.pid("b")), "b was attempted all the same");
    assert_eq!(home.status()["agents"][0]["state"], "dead");
    // Only the words of the last run are quoted.
    home.write_agents(&[("a", "echo later; exit 4")]);
    let out = home.fleet(&["start", "a"]).run();
    assert!(out.stderr.contains("| later") && !out.stderr.contains("| out"), "{out}");
    assert_eq!(home.read("fleet/run/logs/a.log"), "out\nerr\nlater\n", "the log is appended to");
}

#[test]
fn each_way_to_fail_at_the_start_is_named() {
    let home = Sandbox::new();
    home.write("work/script", "not for execution");
    home.write(
        "fleet/roster.yaml",
        "version: 1\ntransport: tmux\nsupervisor: process\n\
         defaults: {working_directory: work}\nagents:\n\
         - {name: a, runtime: r, command: [/no/such/program]}\n\
         - {name: b, runtime: r, command: [./script]}\n\
         - {name: c, runtime: r, command: [sleep, '1000'], working_directory: gone}\n\
         - {name: d, runtime: r, command: [sleep, '1000']}\n",
    );
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 1, "{out}");
    let gone = home.path("gone");
    let gone = format!("the working directory {} is not a directory", gone.display());
    let says =
        ["cannot run `/no/such/program`: No such file", "cannot run `./script`: Permission denied"];
    for says in says.into_iter().chain([gone.as_str()]) {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    home.pid("d");
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn a_deaf_agent_is_killed_after_its_grace() {
    let home = Sandbox::with_agents(&[("a", STUBBORN)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/ready"));
    let pid = home.pid("a");
    let out = home.fleet(&["stop", "--grace", "500ms", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(home.has("work/asked"), "it was asked first");
    assert_eq!(out.json()["agents"][0]["killed"], true, "{out}");
    assert!(!is_alive(pid));
}

#[rstest]
#[case::of_its_group("sleep 1000 & echo $! > child; : > ready; wait")]
#[case::of_another_group("set -m; sleep 1000 & echo $! > child; : > ready; wait")]
fn stopping_an_agent_ends_what_it_started(#[case] script: &str) {
    let home = Sandbox::with_agents(&[("a", script)]);
    let _ = home.fleet(&["start"]).run();
    until("the child to run", || home.has("work/ready"));
    let child = home.read("work/child").trim().parse().expect("a pid");
    assert!(is_alive(child));
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(child));
}

/// The group is asked first; a leader that waits for someone outside must not wait for its grace.
#[test]
fn an_agent_that_waits_for_another_group_ends_gently() {
    let script =
        "trap : TERM; set -m; sleep 1000 & echo $! > child; : > ready; wait $!; wait $!; exit";
    let home = Sandbox::with_agents(&[("a", script)]);
    let _ = home.fleet(&["start"]).run();
    until("the child to run", || home.has("work/ready"));
    let child = home.read("work/child").trim().parse().expect("a pid");
    let out = home.fleet(&["stop", "--grace", "10m", "--json"]).run();
    assert_eq!(out.json()["agents"][0]["killed"], false, "{out}");
    assert!(!is_alive(child));
}

#[test]
fn what_a_dead_agent_left_behind_is_found() {
    let home = Sandbox::with_agents(&[("a", "sleep 1000 & echo $! > child; : > ready; wait")]);
    let _ = home.fleet(&["start"]).run();
    until("the child to run", || home.has("work/ready"));
    let child: u32 = home.read("work/child").trim().parse().expect("a pid");
    let pid = home.pid("a");
    kill(pid, Signal::KILL);
    until("the agent to die", || !is_alive(pid));

    let status = home.status();
    assert_eq!(status["agents"][0]["state"], "dead");
    assert_eq!(status["agents"][0]["leftover"][0], child);
    let out = home.fleet(&["start"]).run();
    assert!(out.code() == 1 && out.stderr.contains("left processes behind"), "{out}");
    assert!(is_alive(child), "start ends nothing");
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(child));
}

/// A process of the test's own; ended when dropped.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[rstest]
#[case::same_pid_other_start(1, "")]
#[case::same_pid_other_boot(0, "another boot")]
fn a_process_that_got_the_pid_of_an_agent_is_left_alone(#[case] later: u64, #[case] boot: &str) {
    let home = Sandbox::with_idle_agents(&["a"]);
    let mut command = Command::new("setsid");
    let bystander = Bystander(command.args(["sleep", "1000"]).spawn().expect("setsid runs"));
    let pid = bystander.0.id();
    let start = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<_> =
            stat.rsplit_once(") ").expect("fields").1.split(' ').map(str::to_owned).collect();
        (fields[3] == pid.to_string()).then(|| fields[19].parse::<u64>().expect("a number"))
    };
    until("the bystander to lead a session", || start().is_some());
    let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("/proc");
    let record = serde_json::json!({
        "pid": pid,
        "start_ticks": start().expect("it leads a session") - later,
        "boot_id": if boot.is_empty() { this_boot.trim() } else { boot },
        "run": "some run",
    });
    home.write("fleet/run/agents/a.json", &record.to_string());
    assert_eq!(home.status()["agents"][0]["state"], "dead");
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(is_alive(pid) && home.pid("a") != pid, "the bystander was left alone");
}

#[test]
fn stop_attempts_everyone_whatever_fails_before() {
    let home = Sandbox::with_idle_agents(&["a", "b", "c"]);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let (a, c) = (home.pid("a"), home.pid("c"));
    fs::remove_file(home.path("fleet/run/agents/b.json")).expect("removed");
    fs::create_dir(home.path("fleet/run/agents/b.json")).expect("in the way");
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("cannot stop b") && out.stderr.contains("b.json"), "{out}");
    assert!(!is_alive(a) && !is_alive(c), "{out}");
    let out = home.fleet(&["status"]).run();
    assert_eq!(out.code(), 74, "{out}");
    assert!(out.stdout.contains("unknown") && out.stderr.contains("cannot look at b"), "{out}");
    assert!(!home.has(LOCK));
}

#[test]
fn jobs_work_on_several_agents_at_a_time() {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", IDLE), ("c", IDLE)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/ready"));
    let (a, c) = (home.pid("a"), home.pid("c"));
    let mut restart = home.fleet(&["restart", "--jobs", "2", "--grace", "10m"]).spawn();
    // While one worker waits for `a`, the other one does the rest.
    until("the others to be restarted", || {
        !is_alive(c) && home.status()["agents"][2]["state"] == "running"
    });
    assert!(is_alive(a) && restart.is_running());
    home.kill_agent("a");
    let out = restart.wait();
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn an_agent_that_ends_while_we_still_run_is_no_zombie() {
    let home = Sandbox::with_agents(&[("a", "read x < ../gate"), ("b", STUBBORN)]);
    let gate = home.gate("gate");
    let _ = home.fleet(&["start", "b"]).run();
    until("the trap to be set", || home.has("work/ready"));
    let restart = home.fleet(&["restart", "--grace", "10m"]).spawn();
    until("the second agent to be asked", || home.has("work/asked"));
    let a = home.pid("a");
    gate.open();
    until("the first agent to end", || !is_alive(a));
    home.kill_agent("b");
    let out = restart.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(state_of(a), None, "it was reaped");
}

#[test]
fn an_agent_that_restarts_itself_is_told_how() {
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!("{fleet} restart 2> said; echo $? > code; exec sleep 1000");
    let home = Sandbox::with_agents(&[("a", &script), ("b", IDLE)]);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let a = home.pid("a");
    until("the agent's own restart to end", || home.read("work/code").ends_with('\n'));
    assert_eq!(home.read("work/code"), "1\n");
    let said = home.read("work/said");
    assert!(said.contains("run `setsid fleet restart a` instead"), "{said}");
    assert!(home.pid("a") == a && !home.has(LOCK), "{said}");
}

#[test]
fn the_example_fleet_restarts() {
    let home = Sandbox::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/process/fleet");
    for file in ["roster.yaml", "agents/planner.env"] {
        let text = fs::read_to_string(format!("{example}/{file}")).expect("it is shipped");
        home.write(&format!("fleet/{file}"), &text);
    }
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let log = home.read("fleet/run/logs/planner.log");
    assert!(log.contains("planner begins in") && log.contains("says the env file"), "{log}");
    let log = home.read("fleet/run/logs/reviewer.log");
    assert!(log.contains("says the roster"), "{log}");
}
