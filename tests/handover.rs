//! Who is left alone at the restart lock and who is replaced; and what a replaced one has ordered,
//! which settles before its successor begins.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rstest::rstest;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

use crate::kit::{IDLE, LOCK, Manager, Output, Running, STUBBORN, Sandbox, Style, is_alive, until};

const HOLDER: &str = "mosaic-tmux-holder.service";

/// What is said while the manager's jobs are waited for.
const SETTLING: &str = "which its last owner ordered";

/// Hardly any time past the announced quiet, and hardly any patience.
const IMPATIENT: [&str; 4] = ["--hang-after", "100ms", "--max-wait", "1s"];

/// What a restart has announced, in milliseconds.
fn quiet(home: &Sandbox) -> u64 {
    let record = home.read(LOCK);
    let line = record.lines().find_map(|line| line.strip_prefix("quiet="));
    line.and_then(|quiet| quiet.parse().ok()).unwrap_or_else(|| panic!("no quiet in {record}"))
}

/// Has another restart try to get the lock of `owner`, which has done nothing wrong.
fn try_in_vain(home: &Sandbox, owner: &mut Running, agent: &str) {
    let record = home.read(LOCK);
    let out = home.fleet(&[&["restart", agent], &IMPATIENT[..]].concat()).run();
    assert_eq!(out.code(), 75, "{out}");
    assert!(owner.is_running(), "{out}");
    let token = record.lines().nth(2).expect("a token");
    assert!(home.read(LOCK).contains(token), "it still has the lock: {out}");
}

#[test]
fn a_restart_in_its_planned_pause_is_left_alone() {
    let home = Sandbox::with_idle_agents(&["a", "b", "c"]);
    let args = ["restart", "--stagger", "3s", "--hang-after", "100ms", "--settle", "0ms", "a", "b"];
    let mut owner = home.fleet(&args).spawn();
    until("the pause", || home.read(LOCK).contains("waiting to go on with b"));
    assert!((10_000..=13_000).contains(&quiet(&home)), "{}", home.read(LOCK));
    try_in_vain(&home, &mut owner, "c");
    let out = owner.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!home.has("fleet/run/agents/c.json"), "nobody restarted c");
}

#[test]
fn a_long_grace_is_left_alone() {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", IDLE)]);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the trap to be set", || home.has("work/ready"));
    let args = ["restart", "--jobs", "2", "--grace", "10m", "--hang-after", "100ms"];
    let mut owner = home.fleet(&args).spawn();
    until("a to be asked", || home.has("work/asked"));
    until("b to be done", || owner.stdout().contains("restarted b"));
    // The last step was about `b`; what it announced is about `a`.
    assert!(home.read(LOCK).contains("restarted b"), "{}", home.read(LOCK));
    assert!((600_000..=616_000).contains(&quiet(&home)), "{}", home.read(LOCK));
    try_in_vain(&home, &mut owner, "b");
    home.kill_agent("a");
    let out = owner.wait();
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn a_unit_with_a_long_stop_is_left_alone() {
    let home = Sandbox::new();
    let deaf = "trap '' TERM; : > ready; while :; do sleep 1000; done";
    let manager = Manager::start(&home, Style::Plain, &[("a", deaf), ("b", IDLE)]);
    let long = "[Service]\nTimeoutStopSec=5min\nTimeoutStartSec=1s\n";
    manager.write_unit("mosaic-agent@a.service.d/x.conf", long);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    until("the trap to be set", || home.has("work/ready"));
    let mut owner = home.fleet(&["restart", "a", "--hang-after", "100ms"]).spawn();
    until("the unit to be asked to stop", || {
        manager.property("mosaic-agent@a.service", "ActiveState") == "deactivating"
    });
    assert!(quiet(&home) > 300_000, "{}", home.read(LOCK));
    try_in_vain(&home, &mut owner, "b");
    for pid in manager.processes("mosaic-agent@a.service") {
        crate::kit::kill(pid, Signal::KILL);
    }
    let out = owner.wait();
    assert_eq!(out.code(), 0, "{out}");
}

/// An owner that renews but takes no step: it writes to a pipe that is full.
#[test]
fn a_restart_that_hangs_past_its_quiet_is_replaced() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    fill(&writer);
    let args = ["restart", "--settle", "0ms", "--hang-after", "100ms"];
    let owner = home.fleet(&args).stdout(writer);
    until("its last step", || home.read(LOCK).contains("2/2 restarted b"));
    let pids = ["a", "b"].map(|agent| home.pid(agent));
    let taker = ["restart", "--settle", "0ms", "--hang-after", "100ms", "--no-resume"];
    let out = home.fleet(&taker).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("over from"), "{out}");
    assert!(["a", "b"].map(|agent| home.pid(agent)) != pids, "{out}");
    let drained = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    let out = owner.wait();
    assert_eq!(out.code(), 76, "{out}");
    drained.join().expect("it ran").expect("readable");
}

/// Fills a pipe to its last byte.
fn fill(mut pipe: &std::io::PipeWriter) {
    let flags = fcntl_getfl(pipe).expect("its flags");
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).expect("it is ours");
    for size in [4096, 1] {
        while pipe.write(&vec![b'\n'; size]).is_ok() {}
    }
    fcntl_setfl(pipe, flags).expect("it is ours");
}

/// A restart of the whole fleet that waits for the holder's job, and that for the gate. Its owner
/// has so little time before others take it for silent.
fn restart_at_the_holder(home: &Sandbox) -> (Manager<'_>, Running, crate::kit::Gate) {
    let manager = Manager::start(home, Style::Plain, &[("a", IDLE), ("b", IDLE)]);
    let gate = home.gate("gate");
    let slow = format!(
        "[Service]\nExecStop=\nExecStop=/bin/sh -c '[ ! -e {} ] || read x < {}'\n\
         ExecStop=/usr/bin/env tmux -L fleet kill-server\n",
        home.path("hold").display(),
        gate.path().display()
    );
    manager.write_unit(&format!("{HOLDER}.d/x.conf"), &slow);
    let out = home.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    home.write("hold", "");
    let owner = home.fleet(&["restart", "--settle", "0ms", "--stale-after", "500ms"]).spawn();
    until("the holder to be stopping", || manager.property(HOLDER, "SubState") == "stop");
    (manager, owner, gate)
}

/// Then the restart that waits for it ends well.
fn let_the_holder_stop(home: &Sandbox, gate: &crate::kit::Gate, taker: Running) -> Output {
    fs::remove_file(home.path("hold")).expect("it was there");
    gate.open();
    let out = taker.wait();
    assert_eq!(out.code(), 0, "{out}");
    out
}

fn is_whole(home: &Sandbox, manager: &Manager<'_>, out: &Output) {
    assert_eq!(manager.property(HOLDER, "ActiveState"), "active", "{out}");
    for agent in ["a", "b"] {
        assert_eq!(home.agent_processes(agent), [home.pid(agent)], "{agent} runs once: {out}");
    }
    assert!(!home.has(LOCK), "{out}");
}

#[rstest]
fn what_a_replaced_restart_has_ordered_settles_first(
    #[values(&["restart"], &["restart", "a"], &["stop", "b"])] args: &[&str],
    #[values(Signal::STOP, Signal::KILL)] signal: Signal,
) {
    let home = Sandbox::new();
    let (manager, owner, gate) = restart_at_the_holder(&home);
    if signal == Signal::STOP {
        home.stop(&owner);
    } else {
        owner.signal(signal);
    }
    let job = manager.property(HOLDER, "Job");
    let silence = ["--stale-after", "500ms"];
    let mut taker = home.fleet(&[args, &silence].concat()).spawn();
    taker.await_stderr(SETTLING);
    assert!(home.read(LOCK).contains("waiting for what the last restart has started"));
    assert!(quiet(&home) > 10_000);
    // Nothing tells that it does nothing; so give it the time to do wrong.
    std::thread::sleep(Duration::from_millis(300));
    assert!(taker.is_running(), "{}", taker.stderr());
    assert_eq!(manager.property(HOLDER, "Job"), job, "the old order stands: {}", taker.stderr());
    let out = let_the_holder_stop(&home, &gate, taker);
    assert!(!out.stderr.contains("cancelled"), "{out}");
    let before = home.status();
    owner.signal(Signal::CONT);
    let out = owner.wait();
    match signal {
        Signal::STOP => {
            assert_eq!(out.code(), 76, "{out}");
            assert!(out.stderr.contains("lost"), "{out}");
        }
        _ => assert_eq!(out.code(), -9, "{out}"),
    }
    assert_eq!(home.status()["agents"][0]["pid"], before["agents"][0]["pid"], "{out}");
    if args[0] == "stop" {
        assert_eq!(home.status()["agents"][1]["state"], "stopped", "{out}");
        let out = home.fleet(&["start", "b", "--settle", "0ms"]).run();
        assert_eq!(out.code(), 0, "{out}");
    }
    is_whole(&home, &manager, &out);
}

#[test]
fn what_takes_longer_than_it_was_announced_is_cancelled() {
    let home = Sandbox::new();
    let (manager, owner, gate) = restart_at_the_holder(&home);
    owner.signal(Signal::KILL);
    let _ = owner.wait();
    // As if it had announced no wait at all.
    let record = home.read(LOCK);
    let announced = format!("quiet={}\n", quiet(&home));
    home.write(LOCK, &record.replace(&announced, "quiet=0\n"));
    let mut taker = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    taker.await_stderr("cancelled the ");
    let out = let_the_holder_stop(&home, &gate, taker);
    is_whole(&home, &manager, &out);
}

/// The owner's lock was broken, so its successor takes over from nobody; but its plan is
/// unfinished.
#[test]
fn what_a_broken_restart_has_ordered_settles_as_well() {
    let home = Sandbox::new();
    let (manager, owner, gate) = restart_at_the_holder(&home);
    home.stop(&owner);
    let out = home.fleet(&["lock", "break"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let mut taker = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    taker.await_stderr(SETTLING);
    let _ = let_the_holder_stop(&home, &gate, taker);
    owner.signal(Signal::CONT);
    let out = owner.wait();
    assert_eq!(out.code(), 76, "{out}");
    is_whole(&home, &manager, &out);
}

#[test]
fn a_signal_ends_the_wait_for_what_was_ordered() {
    let home = Sandbox::new();
    let (manager, owner, gate) = restart_at_the_holder(&home);
    owner.signal(Signal::KILL);
    let _ = owner.wait();
    let mut taker = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    taker.await_stderr(SETTLING);
    taker.signal(Signal::INT);
    let out = taker.wait();
    assert_eq!(out.code(), 130, "{out}");
    assert!(!home.has(LOCK), "{out}");
    // The next one waits for it as well.
    let mut taker = home.fleet(&["restart", "--settle", "0ms"]).spawn();
    taker.await_stderr(SETTLING);
    let out = let_the_holder_stop(&home, &gate, taker);
    is_whole(&home, &manager, &out);
}

/// What lives on must not keep the lock: no agent, no server, nothing that systemd runs.
#[rstest]
#[case::process("process")]
#[case::tmux("tmux")]
#[case::systemd("systemd")]
fn no_agent_and_no_server_gets_the_ticket(#[case] supervisor: &str) {
    let home = match supervisor {
        "process" => Sandbox::with_idle_agents(&["a", "b"]),
        "tmux" => Sandbox::with_sessions(&[("a", IDLE), ("b", IDLE)]),
        _ => Sandbox::new(),
    };
    let _manager = (supervisor == "systemd")
        .then(|| Manager::start(&home, Style::Session, &[("a", IDLE), ("b", IDLE)]));
    let owner = home.fleet(&["restart", "--settle", "10m", "--jobs", "2"]).spawn();
    until("both agents to run", || {
        ["a", "b"].iter().all(|agent| !home.agent_processes(agent).is_empty())
    });
    let ticket = fs::metadata(home.lock()).expect("it is held");
    let keeps = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut files = files.filter_map(|entry| fs::metadata(entry.path()).ok());
        files.any(|file| (file.dev(), file.ino()) == (ticket.dev(), ticket.ino()))
    };
    assert!(keeps(&owner.pid()), "this is how it shows");
    until("the tools to end", || home.processes_beside(owner.pid()).iter().all(is_quiet_tool));
    let others = home.processes_beside(owner.pid());
    assert!(others.len() >= 2 && others.iter().all(|pid| !keeps(pid)), "{others:?}");
    assert!(is_alive(owner.pid()));
    owner.signal(Signal::TERM);
    let _ = owner.wait();
}

/// Whether a process is none of the tools that run for a moment.
fn is_quiet_tool(pid: &u32) -> bool {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    command.trim() != "systemctl" && command.trim() != "tmux: client"
}
