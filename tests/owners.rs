//! Who owns a lock: waiting for it, taking it over, breaking it, looking at it.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{LOCK, Sandbox, is_alive, until};

#[test]
fn a_second_one_waits_for_the_first() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let mut second = home.under_lock(&[], "exit 7");
    second.await_stderr("waiting for");
    let pid = first.pid().to_string();
    assert!(second.stderr().contains(&format!("pid {pid} on ")), "{}", second.stderr());
    assert!(second.stderr().contains("(/bin/sh -c echo $$"), "{}", second.stderr());
    gate.open();
    assert_eq!(first.wait().code(), 0);
    let out = second.wait();
    assert_eq!(out.code(), 7, "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "one line says it all: {out}");
}

#[test]
fn a_busy_lock_is_named_at_once_if_nobody_wants_to_wait() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let out = home.under_lock(&["--no-wait"], ": > ran").wait();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains(&first.pid().to_string()), "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 0);
    assert!(!home.has("ran"));
}

#[test]
fn patience_has_an_end() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let options = ["--max-wait", "50ms", "--on-timeout", "fail"];
    let out = home.under_lock(&options, ": > ran").wait();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains("gave up"), "{out}");
    assert!(out.stderr.contains(&first.pid().to_string()), "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 0);
    assert!(!home.has("ran"));
}

#[test]
fn an_owner_that_was_taken_over_exits_76_and_says_by_whom() {
    let home = Sandbox::new();
    let (mut first, gate) = home.holder(&[]);
    let next = home.gate("next");
    let script = format!("echo $FLEET_LOCK_TOKEN > token; read x < {}", next.path().display());
    let second = home.under_lock(&["--max-wait", "50ms"], &script);
    until("the second to work", || home.read("token").ends_with('\n'));
    first.await_stderr("lost");
    gate.open();
    let out = first.wait();
    assert_eq!(out.code(), 76, "{out}");
    let token = home.read("token");
    let pid = format!("pid {} on ", second.pid());
    for says in [token.trim(), pid.as_str(), "generation "] {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert!(home.read(LOCK).contains(token.trim()), "the new owner's lock was left alone");
    next.open();
    let out = second.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.stderr.lines().filter(|line| line.contains("timed out")).count(), 1, "{out}");
    assert!(!home.has(LOCK));
}

#[test]
fn an_owner_can_be_ended_first() {
    let home = Sandbox::new();
    let (first, _gate) = home.holder(&[]);
    let command = home.await_pid("held");
    let owner = first.pid();
    let options = ["--max-wait", "50ms", "--on-timeout", "stop"];
    let out = home.under_lock(&options, "exit 0").wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(command), "its work ended before ours began");
    let says = format!("sent SIGTERM to pid {owner} on ");
    assert_eq!(out.stderr.matches(&says).count(), 1, "{out}");
    let history = home.fleet(&["lock", "history"]).run();
    let ended = history.stdout.lines().find(|line| line.contains("  ends "));
    let ended = ended.unwrap_or_else(|| panic!("nothing of an end in {history}"));
    assert!(ended.contains(&format!("#1 pid {owner} with SIGTERM")), "{history}");
    let history = home.fleet(&["lock", "history", "--json"]).run().json();
    let entries = history["entries"].as_array().expect("a list");
    let ends = entries.iter().find(|entry| entry["event"] == "ends").expect("written down");
    assert_eq!((&ends["target"], &ends["signal"]), (&owner.into(), &"term".into()), "{ends}");
    assert_eq!(ends["owner"]["generation"], 1, "{ends}");
    // SIGTERM is forwarded, and the status is the command's.
    assert_eq!(first.wait().code(), 143);
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn the_command_dies_with_a_killed_wrapper_and_the_next_one_runs() {
    let home = Sandbox::new();
    let (first, _gate) = home.holder(&[]);
    let command = home.await_pid("held");
    let mut second = home.under_lock(&[], "exit 7");
    second.await_stderr("waiting for");
    first.signal(Signal::KILL);
    let out = second.wait();
    assert_eq!(out.code(), 7, "{out}");
    assert!(!is_alive(command), "the work did not outlive the lock");
    assert!(out.stderr.contains("stale: its owner died"), "{out}");
    assert_eq!(first.wait().code(), -9);
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

/// What the command started has the ticket, too: the lock is held until it has ended.
#[test]
fn the_lock_outlives_a_killed_wrapper_as_long_as_its_work_runs() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    // The grandchild does not get the death signal, only the ticket.
    let script = format!("(echo x > held; read x < {}; : > done) & wait", gate.path().display());
    let first = home.under_lock(&[], &script);
    until("the grandchild to run", || !home.read("held").is_empty());
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code(), -9);
    let out = home.under_lock(&["--no-wait"], ": > ran").wait();
    assert_eq!(out.code(), 75, "{out}");
    let second = home.under_lock(&[], "test -e done");
    gate.open();
    let out = second.wait();
    assert_eq!(out.code(), 0, "it began only when the work had ended: {out}");
    assert!(!home.has("ran"));
}

#[test]
fn a_foreign_lock_is_waited_for_while_it_is_fresh_and_broken_when_it_is_not() {
    let home = Sandbox::new();
    home.write_foreign_lock(Duration::ZERO);
    let out = home.under_lock(&["--no-wait"], "exit 7").wait();
    assert_eq!(out.code(), 75, "{out}");
    home.write_foreign_lock(Duration::from_secs(31));
    let out = home.under_lock(&["--no-wait"], "exit 7").wait();
    assert_eq!(out.code(), 7, "{out}");
    assert_eq!(out.stderr.lines().filter(|line| line.contains("stale")).count(), 1, "{out}");
    assert!(!home.has(LOCK));
    // A threshold of the user's own counts.
    home.write_foreign_lock(Duration::from_secs(31));
    let out = home.under_lock(&["--no-wait", "--stale-after", "1m"], "exit 7").wait();
    assert_eq!(out.code(), 75, "{out}");
}

/// Breakers of one stale lock at the same time: each writes down that it is in, and that it
/// is out again. Two and three as in the original's tests, and a crowd.
#[rstest]
#[case(2)]
#[case(3)]
#[case(16)]
fn serial_breakers_of_a_stale_lock_work_one_at_a_time(#[case] breakers: usize) {
    let home = Sandbox::new();
    home.write_foreign_lock(Duration::from_secs(3600));
    // A dead mutex and a dead reclaim lock besides.
    for name in ["fleet/run/restart.lock.mutex", "fleet/run/restart.lock.mutex.reclaim"] {
        home.write(name, "");
        let age = SystemTime::now() - Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(home.path(name)).expect("just written");
        file.set_modified(age).expect("ours");
    }
    let start = home.gate("start");
    let script = "echo in $FLEET_LOCK_TOKEN >> log; echo out $FLEET_LOCK_TOKEN >> log";
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // All begin when the barrier opens, not when they happen to have been started.
    let barrier = format!(
        "read x < {}; exec {fleet} lock run -- /bin/sh -c '{script}'",
        start.path().display()
    );
    let all: Vec<_> = (0..breakers)
        .map(|_| {
            home.fleet(&["lock", "run", "--lock", "own", "--", "true"])
                .instead("/bin/sh", &["-c", &barrier])
                .spawn()
        })
        .collect();
    for _ in 0..breakers {
        start.open();
    }
    for breaker in all {
        let out = breaker.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    let log = home.read("log");
    let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').expect("two words")).collect();
    assert_eq!(lines.len(), 2 * breakers, "{log}");
    let mut tokens = BTreeSet::new();
    for pair in lines.chunks(2) {
        let [("in", one), ("out", other)] = pair else { panic!("overlap:\n{log}") };
        assert_eq!(one, other, "overlap:\n{log}");
        assert!(tokens.insert(*one), "two owners had one token:\n{log}");
    }
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn lock_status_tells_free_held_and_stale_apart() {
    let home = Sandbox::new();
    let status = || home.fleet(&["lock", "status", "--json"]).run().json();
    assert_eq!(status()["state"], "free");
    let (first, gate) = home.holder(&[]);
    let held = status();
    assert_eq!(held["state"], "held", "{held:#}");
    assert_eq!(held["owner"]["pid"], first.pid(), "{held:#}");
    let out = home.fleet(&["lock", "status"]).run();
    for says in ["held", &first.pid().to_string(), "alive", "generation"] {
        assert!(out.stdout.contains(says), "{says:?} in {out}");
    }
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code(), -9);
    let stale = status();
    // Its work may still be dying.
    until("the work to end", || status()["state"] == "stale");
    assert_eq!(status()["reason"], "its owner died", "{stale:#}");
    drop(gate);
    home.write_foreign_lock(Duration::ZERO);
    assert_eq!(status()["owner"]["token"], "foreign-token");
    home.write(LOCK, "nonsense");
    let out = home.fleet(&["lock", "status"]).run();
    assert!(out.code() == 0 && out.stdout.contains("no lock record"), "{out}");
}

#[test]
fn lock_break_can_be_told_which_ownership_it_means() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let generation =
        home.fleet(&["lock", "status", "--json"]).run().json()["owner"]["generation"].to_string();
    let out = home.fleet(&["lock", "break", "--generation", "999999"]).run();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains("left") && home.has(LOCK), "{out}");
    let out = home.fleet(&["lock", "break", "--generation", &generation, "--json"]).run();
    assert_eq!((out.code(), &out.json()["result"]), (0, &"taken_away".into()), "{out}");
    assert!(!home.has(LOCK));
    let out = home.fleet(&["lock", "break"]).run();
    assert!(out.code() == 0 && out.stdout.contains("was free"), "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 76);
}

/// The owner is stopped, not dead: only its silence gives it away, and it comes back.
#[test]
fn an_owner_that_was_stopped_and_replaced_finds_out_when_it_goes_on() {
    let home = Sandbox::new();
    let short = ["--stale-after", "300ms"];
    let (mut first, gate) = home.holder(&short);
    first.signal(Signal::STOP);
    let next = home.gate("next");
    let script = format!("echo $FLEET_LOCK_TOKEN > token; read x < {}", next.path().display());
    let mut second = home.under_lock(&short, &script);
    second.await_stderr("stale: its owner is stopped or hung");
    until("the second to work", || home.read("token").ends_with('\n'));
    first.signal(Signal::CONT);
    first.await_stderr("lost");
    gate.open();
    let out = first.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert!(out.stderr.contains(home.read("token").trim()), "{out}");
    assert!(home.read(LOCK).contains(home.read("token").trim()), "the new owner is undisturbed");
    next.open();
    let out = second.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!home.has(LOCK));
}

/// All of them are past their patience with the hung owner, but not with each other.
#[test]
fn contenders_that_time_out_together_take_over_one_at_a_time() {
    let home = Sandbox::new();
    let (hung, _gate) = home.holder(&[]);
    hung.signal(Signal::STOP);
    // The pause gives an overlap its chance; none of them waits for it to be over.
    let script = "echo in $$ >> log; sleep 0.05; echo out $$ >> log";
    let all: Vec<_> = (0..6).map(|_| home.under_lock(&["--max-wait", "1s"], script)).collect();
    for contender in all {
        let out = contender.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    let log = home.read("log");
    let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').expect("two words")).collect();
    for pair in lines.chunks(2) {
        let [("in", one), ("out", other)] = pair else { panic!("overlap:\n{log}") };
        assert_eq!(one, other, "overlap:\n{log}");
    }
    assert_eq!(lines.len(), 12, "{log}");
    hung.signal(Signal::CONT);
    hung.signal(Signal::TERM);
    assert_eq!(hung.wait().code(), 76);
}
