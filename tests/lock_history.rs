//! The journal of a lock, and `fleet lock history`, which shows it.

use std::fs;
use std::os::unix::fs::symlink;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Sandbox, redacted, until};

const JOURNAL: &str = "fleet/run/restart.lock.journal";

fn events(history: &Value) -> Vec<&str> {
    let entries = history["entries"].as_array().expect("a list");
    entries.iter().map(|entry| entry["event"].as_str().expect("a word")).collect()
}

fn history(home: &Sandbox, args: &[&str]) -> Value {
    let out = home.fleet(&[&["lock", "history", "--json"], args].concat()).run();
    assert_eq!(out.code(), 0, "{out}");
    out.json()
}

/// A story with every kind of ending: an owner that is killed, one that takes over and is
/// broken by order, one that waits, and one that would not wait.
fn eventful(home: &Sandbox) {
    let (first, gate) = home.holder(&[]);
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code(), -9);
    // What it started dies with it, but not in the same instant.
    let gone = || home.fleet(&["lock", "status", "--json"]).run().json()["state"] == "stale";
    until("the work to end", gone);
    drop(gate);
    let second_gate = home.gate("second");
    let script = format!(": > second-holds; read x < {}; exit 3", second_gate.path().display());
    let second = home.under_lock(&[], &script);
    until("the second to hold it", || home.has("second-holds"));
    assert_eq!(home.under_lock(&["--no-wait"], "exit 9").wait().code(), 75);
    let mut third = home.under_lock(&[], "exit 5");
    third.await_stderr("waiting for");
    let status = home.fleet(&["lock", "status", "--json"]).run().json();
    let generation = status["owner"]["generation"].to_string();
    let break_it = ["lock", "break", "--generation", &generation];
    assert_eq!(home.fleet(&break_it).run().code(), 0);
    second_gate.open();
    assert_eq!(second.wait().code(), 76);
    assert_eq!(third.wait().code(), 5);
}

#[test]
fn the_history_of_an_eventful_lock() {
    let home = Sandbox::new();
    eventful(&home);
    let history = history(&home, &[]);
    let mut events = events(&history);
    events.sort_unstable();
    assert_eq!(
        events,
        ["acquired", "acquired", "broken", "gave_up", "lost", "released", "took_over", "waiting",],
        "{history:#}"
    );
}

#[test]
fn one_ownership_as_text_and_as_data() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let mut second = home.under_lock(&[], "exit 4");
    second.await_stderr("waiting for");
    gate.open();
    assert_eq!((first.wait().code(), second.wait().code()), (0, 4));
    let text = home.fleet(&["lock", "history"]).run();
    let data = home.fleet(&["lock", "history", "--json"]).run();
    redacted(&home, || {
        insta::assert_snapshot!(text);
        insta::assert_snapshot!(data);
    });
}

#[test]
fn restart_start_and_stop_write_the_journal() {
    let home = Sandbox::with_idle_agents(&["alpha", "beta"]);
    for verb in ["restart", "stop"] {
        assert_eq!(home.fleet(&[verb]).run().code(), 0);
    }
    let history = history(&home, &[]);
    let of = |verb: &str| {
        let entries = history["entries"].as_array().expect("a list");
        let command = format!("fleet {verb}");
        let ours = entries.iter().filter(|entry| entry["command"] == command.as_str());
        ours.map(|entry| entry["event"].as_str().expect("a word")).collect::<Vec<_>>()
    };
    for verb in ["restart", "stop"] {
        let events = of(verb);
        assert_eq!(events.first(), Some(&"acquired"), "{history:#}");
        assert_eq!(events.last(), Some(&"released"), "{history:#}");
        let steps = events.iter().filter(|event| **event == "step").count();
        assert!((1..=4).contains(&steps), "the first step, and few after it: {history:#}");
    }
}

#[test]
fn a_takeover_says_from_whom_and_why() {
    let home = Sandbox::new();
    eventful(&home);
    let history = history(&home, &[]);
    let entries = history["entries"].as_array().expect("a list");
    let find = |event: &str| {
        entries.iter().find(|entry| entry["event"] == event).unwrap_or_else(|| panic!("{event}"))
    };
    let (first, taker, broken) = (find("acquired"), find("took_over"), find("broken"));
    assert_eq!(taker["reason"], "owner_died");
    assert_eq!(taker["from"]["token"], first["token"]);
    assert_eq!(taker["from"]["pid"], first["pid"]);
    assert_eq!(broken["from"]["generation"], taker["generation"]);
    let lost = find("lost");
    assert_eq!(lost["token"], taker["token"]);
    let gave_up = find("gave_up");
    assert_eq!(gave_up["reason"], "busy");
    assert_eq!(gave_up["owner"]["generation"], taker["generation"]);
}

#[test]
fn a_history_can_be_cut() {
    let home = Sandbox::new();
    for _ in 0..3 {
        assert_eq!(home.under_lock(&[], "exit 0").wait().code(), 0);
    }
    assert_eq!(events(&history(&home, &[])).len(), 6);
    assert_eq!(events(&history(&home, &["-n", "2"])), ["acquired", "released"]);
    assert_eq!(events(&history(&home, &["-n", "0"])).len(), 0);
    assert_eq!(events(&history(&home, &["--since", "1h"])).len(), 6);
    let out = home.fleet(&["lock", "history", "--since", "2100-01-01"]).run();
    assert!(out.code() == 0 && out.stdout.is_empty(), "{out}");
    assert!(out.stderr.contains("nothing has happened in that time"), "{out}");
    let out = home.fleet(&["lock", "history", "--since", "yesterday"]).run();
    assert!(out.code() == 64 && out.stderr.contains("is no time: write one"), "{out}");
}

#[test]
fn a_lock_that_nobody_has_used_has_no_history() {
    let home = Sandbox::new();
    let out = home.fleet(&["lock", "history", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("there is no journal"), "{out}");
    assert_eq!(out.json()["entries"], serde_json::json!([]));
    assert!(!home.has("fleet/run"), "a look makes no directories");
}

#[rstest]
#[case::a_directory("is a directory")]
#[case::a_symlink("symbolic link")]
#[case::a_pipe("no regular file")]
fn what_is_no_journal_is_not_read(#[case] says: &str) {
    let home = Sandbox::new();
    fs::create_dir_all(home.path("fleet/run")).expect("made");
    let journal = home.path(JOURNAL);
    let _gate = match says {
        "is a directory" => fs::create_dir(&journal).map(|()| None).expect("made"),
        "symbolic link" => symlink("/etc/passwd", &journal).map(|()| None).expect("made"),
        _ => Some(home.gate(JOURNAL)),
    };
    let out = home.fleet(&["lock", "history"]).run();
    assert_eq!(out.code(), 74, "{out}");
    let lower = out.stderr.to_lowercase();
    assert!(lower.contains("cannot read the journal") && lower.contains(says), "{out}");
    // And the lock works all the same: the loss is said once.
    let out = home.under_lock(&[], "exit 6").wait();
    assert_eq!(out.code(), 6, "{out}");
    assert_eq!(out.stderr.matches("cannot write the journal").count(), 1, "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
}

/// The disk fills up while the lock is held, in the middle of a line.
#[test]
fn a_full_disk_costs_a_line_and_nothing_else() {
    let home = Sandbox::new();
    fs::create_dir_all(home.path("fleet/run")).expect("made");
    // In the middle of a page the journal would find room for its line: so it is padded to
    // a few bytes before the end of one. And the release would give a page back: so a
    // process that has nothing else to do with the lock keeps the ticket's file.
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!(
        "mount -t tmpfs -o size=256k none fleet/run || exit 99\n\
         {fleet} lock run -- /bin/sh -c '\n\
           size=$(stat -c %s {JOURNAL}); pad=$((4096 - size - 20))\n\
           head -c $pad /dev/zero | tr \"\\\\0\" \"\\\\n\" >> {JOURNAL}\n\
           setsid sleep 1000 > /dev/null 2>&1 &\n\
           cat /dev/zero > fleet/run/ballast 2> /dev/null; exit 3'\n\
         echo status $?\n\
         rm fleet/run/ballast\n\
         {fleet} lock run -- true\n\
         {fleet} lock history --json"
    );
    let out = home.fleet(&[]).with_own_mounts(&script).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.stderr.matches("cannot write the journal").count(), 1, "{out}");
    let (status, json) = out.stdout.split_once('\n').expect("two parts");
    assert_eq!(status, "status 3", "the work does not suffer: {out}");
    let history: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(events(&history), ["acquired", "acquired", "released"], "{out}");
}

#[test]
fn the_journal_of_many_at_once_is_whole() {
    let home = Sandbox::new();
    let all: Vec<_> = (0..12).map(|_| home.under_lock(&[], "exit 0")).collect();
    for one in all {
        assert_eq!(one.wait().code(), 0);
    }
    let history = history(&home, &[]);
    let events = events(&history);
    assert_eq!(history["unreadable"], 0);
    let count = |wanted| events.iter().filter(|event| **event == wanted).count();
    assert_eq!((count("acquired"), count("released")), (12, 12), "{history:#}");
}

#[test]
fn a_history_can_be_drawn() {
    let home = Sandbox::new();
    eventful(&home);
    let (holder, _gate) = home.holder_of("late");
    let mut waiter = home.under_lock(&[], "exit 0");
    waiter.await_stderr("waiting for");
    let out = home.fleet(&["lock", "history", "--svg", "history.svg"]).run();
    assert_eq!((out.code(), out.stdout.as_str()), (0, ""), "{out}");
    assert!(out.stderr.contains("drew 4 ownerships to history.svg"), "{out}");
    let picture = home.read("history.svg");
    let wrong = svg::read(&picture).expect("it can be read").find_map(|event| match event {
        svg::parser::Event::Error(error) => Some(error.to_string()),
        _ => None,
    });
    assert_eq!(wrong, None, "{picture}");
    for says in [
        "4 ownerships",
        "1 takeover",
        "1 loss",
        "1 attempt in vain",
        ", died",
        ", broken by order",
        ", exit 5",
        " so far",
        "waiting for ",
        "would not wait",
        &format!("pid {}: ", holder.pid()),
        &format!("pid {}: ", waiter.pid()),
    ] {
        assert!(picture.contains(says), "{says:?} in {picture}");
    }
    let data = home.fleet(&["lock", "history", "--svg", "history.svg", "--json"]).run();
    assert_eq!(data.code(), 0, "{data}");
    assert_eq!(events(&data.json()).iter().filter(|event| **event == "acquired").count(), 3);
}

#[test]
fn an_empty_history_is_drawn_as_such() {
    let home = Sandbox::new();
    let out = home.fleet(&["lock", "history", "--svg", "empty.svg"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(home.read("empty.svg").contains("nothing has happened in that time"));
}

#[rstest]
#[case::no_directory("nowhere/x.svg", 73, "No such file")]
#[case::a_directory("work", 73, "directory")]
#[case::no_place_for_files("/proc/x.svg", 73, "No such file")]
fn a_picture_needs_a_place(#[case] file: &str, #[case] code: i32, #[case] says: &str) {
    let home = Sandbox::new();
    assert_eq!(home.under_lock(&[], "exit 0").wait().code(), 0);
    let out = home.fleet(&["lock", "history", "--svg", file]).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains("cannot write the picture") && out.stderr.contains(says), "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
}
