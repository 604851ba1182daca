//! Everybody at once: an updater, a watchdog and a person go for the same fleet, and a fleet
//! is as large as they get.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::kit::{IDLE, Manager, Sandbox, Style};

const FLEET: [&str; 4] = ["a", "b", "c", "d"];

/// Long enough for dozens of restarts to meet. This test is about what happens to happen, so
/// it needs the time; what must not happen is looked for in what was written down.
const STORM: Duration = Duration::from_secs(20);

/// An agent that writes down that it starts.
fn chronicler(name: &str) -> String {
    format!("echo {name} >> starts; {IDLE}")
}

/// Whoever starts agents against the holder of another's restart, or among another's agents,
/// leaves something else here than whole rounds and single agents. Within a round the order
/// is not looked at: two agents that are started one after the other write when they get to it.
fn out_of_turn(starts: &str) -> Option<usize> {
    let starts: Vec<_> = starts.lines().collect();
    let mut at = 0;
    while at < starts.len() {
        let round: BTreeSet<_> = starts[at..].iter().take(FLEET.len()).collect();
        at += match starts[at] {
            _ if round.len() == FLEET.len() => FLEET.len(),
            "b" => 1,
            _ => return Some(at),
        };
    }
    None
}

#[rstest]
#[case::rounds("a\nb\nc\nd\nb\na\nb\nc\nd\n", None)]
#[case::a_slow_writer("a\nc\nb\nd\n", None)]
#[case::two_restarts_interleave("a\nb\na\nb\nc\nc\nd\nd\n", Some(0))]
#[case::one_in_the_middle_of_another("a\nb\na\nb\nc\nd\nc\nd\n", Some(0))]
#[case::one_agent_in_the_middle("a\nb\nc\nd\na\nb\nb\nc\nd\n", Some(4))]
#[case::an_end_without_a_beginning("c\nd\n", Some(0))]
fn what_is_out_of_turn(#[case] starts: &str, #[case] at: Option<usize>) {
    assert_eq!(out_of_turn(starts), at);
}

/// Calls `fleet` again and again until the storm is over; everyone must come through.
fn again_and_again(home: &Sandbox, until: Instant, args: &[&str]) -> usize {
    let mut calls = 0;
    while Instant::now() < until {
        let out = home.fleet(args).run();
        let history = || home.fleet(&["lock", "history"]).run();
        assert_eq!(out.code(), 0, "{out}{}", history());
        calls += 1;
    }
    calls
}

fn storm(home: &Sandbox) {
    // One agent cannot be restarted where there is no holder yet.
    let out = home.fleet(&["start", "--settle", "300ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let until = Instant::now() + STORM;
    // An agent has that long to write its line before it may be restarted again.
    let settle = ["--settle", "300ms"];
    let restart = [&["restart"], &settle[..]].concat();
    let join = [&["restart", "--join"], &settle[..]].concat();
    let one = [&["restart", "b"], &settle[..]].concat();
    let start = [&["start"], &settle[..]].concat();
    let calls = thread::scope(|scope| {
        let actors = [&restart, &join, &one, &start];
        let actors = actors.map(|args| scope.spawn(|| again_and_again(home, until, args)));
        actors.map(|actor| actor.join().expect("no panic"))
    });
    assert!(calls.iter().all(|calls| *calls > 0), "everyone had a turn: {calls:?}");
    let starts = home.read("work/starts");
    assert!(starts.lines().count() > 8, "there was a storm: {starts}");
    assert_eq!(out_of_turn(&starts), None, "{starts}");
    for agent in FLEET {
        assert_eq!(home.agent_processes(agent), [home.pid(agent)], "{agent} runs once");
    }
    let left = home.lock_files();
    let kept = ["restart.lock.generation", "restart.lock.journal", "restart.lock.journal.1"];
    assert!(left.iter().all(|file| kept.contains(&file.as_str())), "{left:?}");
}

#[test]
fn serial_a_storm_on_processes() {
    let scripts = FLEET.map(|name| (name, chronicler(name)));
    let agents: Vec<_> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    storm(&Sandbox::with_agents(&agents));
}

#[test]
fn serial_a_storm_on_tmux() {
    let scripts = FLEET.map(|name| (name, chronicler(name)));
    let agents: Vec<_> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    storm(&Sandbox::with_sessions(&agents));
}

#[test]
fn serial_a_storm_on_systemd() {
    let scripts = FLEET.map(|name| (name, chronicler(name)));
    let agents: Vec<_> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    let home = Sandbox::new();
    let _manager = Manager::start(&home, Style::Plain, &agents);
    storm(&home);
}

const MANY: usize = 200;

/// So many agents may take a loaded machine a while.
const LONG: Duration = Duration::from_secs(150);

fn restart_many(home: &Sandbox) {
    let restart = ["restart", "--settle", "0ms", "--jobs", "8", "--json"];
    for round in 0..2 {
        let out = home.fleet(&restart).run_within(LONG);
        assert_eq!(out.code(), 0, "round {round}: {out}");
        let agents = out.json()["agents"].as_array().expect("a list").clone();
        let restarted = agents.iter().filter(|agent| agent["result"] == "restarted");
        assert_eq!(restarted.count(), MANY, "round {round}: {out}");
    }
    let status = home.status();
    let agents = status["agents"].as_array().expect("a list");
    let running = agents.iter().filter(|agent| agent["state"] == "running");
    assert_eq!(running.count(), MANY, "{status:#}");
    let out = home.fleet(&["stop", "--jobs", "8"]).run_within(LONG);
    assert_eq!(out.code(), 0, "{out}");
}

fn names() -> Vec<String> {
    (1..=MANY).map(|number| format!("coder-{number}")).collect()
}

#[test]
fn serial_two_hundred_processes() {
    let names = names();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    restart_many(&Sandbox::with_idle_agents(&names));
}

#[test]
fn serial_two_hundred_units() {
    let names = names();
    let agents: Vec<_> = names.iter().map(|name| (name.as_str(), IDLE)).collect();
    let home = Sandbox::new();
    let _manager = Manager::start(&home, Style::Plain, &agents);
    restart_many(&home);
}
