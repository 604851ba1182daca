//! Who owns a lock: waiting for it, taking it over, breaking it, looking at it.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{LOCK, Sandbox, is_alive, kill, until};

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

/// A person orders it by name: then two work at once, and the first is told.
#[test]
fn an_owner_whose_lock_was_broken_by_name_exits_76() {
    let home = Sandbox::new();
    let (mut first, gate) = home.holder(&[]);
    let next = home.gate("next");
    let script = format!("echo $FLEET_LOCK_TOKEN > token; read x < {}", next.path().display());
    let mut second = home.under_lock(&[], &script);
    second.await_stderr("waiting for");
    let out = home.fleet(&["lock", "break"]).run();
    let (pid, line) = (first.pid(), "fleet lock break --lock ");
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains(&format!("pid {pid} on ")) && out.stderr.contains(line), "{out}");
    // The line that the message prints works as it stands.
    let advice = out.stderr.split('`').nth(1).expect("a command between backticks");
    let words: Vec<&str> = advice.split(' ').skip(1).collect();
    let out = home.fleet(&words).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("what it started goes on: pids "), "{out}");
    until("the second to work", || home.read("token").ends_with('\n'));
    first.await_stderr("lost");
    gate.open();
    let out = first.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert!(home.read(LOCK).contains(home.read("token").trim()), "the new owner is undisturbed");
    next.open();
    let out = second.wait();
    assert_eq!(out.code(), 0, "{out}");
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
    let says = format!("sent SIGTERM to pids {owner}, {command}, which hold ");
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
    assert!(out.code() == 0 && out.stdout.contains("not a lock record"), "{out}");
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
    let out = home.fleet(&["lock", "break", "--json"]).run();
    assert_eq!((out.code(), &out.json()["result"]), (75, &"owner_lives".into()), "{out}");
    let out = home.fleet(&["lock", "break", "--generation", &generation, "--json"]).run();
    assert_eq!((out.code(), &out.json()["result"]), (0, &"taken_away".into()), "{out}");
    assert!(!home.has(LOCK));
    let out = home.fleet(&["lock", "break"]).run();
    assert!(out.code() == 0 && out.stdout.contains("was free"), "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 76);
}

/// A living command is never robbed, however long it is silent and however impatient the other.
#[test]
fn a_stopped_owner_keeps_its_lock() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&["--stale-after", "300ms"]);
    let command = home.await_pid("held");
    for pid in [first.pid(), command] {
        kill(pid, Signal::STOP);
    }
    let impatient = ["--stale-after", "10ms", "--hang-after", "10ms", "--max-wait", "1s"];
    let out = home.under_lock(&impatient, ": > ran").wait();
    assert_eq!(out.code(), 75, "{out}");
    for pid in [first.pid(), command] {
        kill(pid, Signal::CONT);
    }
    gate.open();
    assert_eq!(first.wait().code(), 0, "it was not even told");
    assert!(!home.has("ran"));
}

/// All of them are past their limit with the hung owner, but not with each other.
#[test]
fn waiters_that_time_out_together_end_the_hung_owner_only() {
    let home = Sandbox::new();
    let (hung, _gate) = home.holder(&[]);
    let command = home.await_pid("held");
    for pid in [hung.pid(), command] {
        kill(pid, Signal::STOP);
    }
    // The pause gives an overlap its chance; none of them waits for it to be over.
    let script = "echo in $$ >> log; sleep 0.05; echo out $$ >> log";
    let options = ["--max-wait", "1s", "--on-timeout", "stop"];
    let all: Vec<_> = (0..3).map(|_| home.under_lock(&options, script)).collect();
    let mut signals = 0;
    for contender in all {
        let out = contender.wait();
        assert_eq!(out.code(), 0, "{out}");
        signals += out.stderr.matches("sent SIG").count();
    }
    assert!(signals >= 1);
    let log = home.read("log");
    let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').expect("two words")).collect();
    for pair in lines.chunks(2) {
        let [("in", one), ("out", other)] = pair else { panic!("overlap:\n{log}") };
        assert_eq!(one, other, "overlap:\n{log}");
    }
    assert_eq!(lines.len(), 6, "{log}");
    assert_eq!(hung.wait().code(), 143, "SIGTERM is passed on, and the status is the command's");
}

/// `flock(1)` owns it as well, shared or not, and need not close the file to let go.
#[rstest]
#[case::exclusive("flock -x held")]
#[case::shared("flock -s held")]
fn a_lock_that_flock_has_is_waited_for(#[case] flock: &str) {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    // It lets go without closing, and lives on.
    let script = format!(
        "exec 9> held; {} 9; : > locked; read x < {}; flock -u 9; : > freed; exec sleep 1000",
        flock.trim_end_matches(" held"),
        gate.path().display()
    );
    let holder = home.fleet(&[]).instead("/bin/sh", &["-c", &script]).spawn();
    until("flock to have it", || home.has("locked"));
    let status = home.fleet(&["lock", "status", "--lock", "held"]).run();
    assert!(status.stdout.contains(&format!("pid {}", holder.pid())), "{status}");
    let out = home.fleet(&["lock", "break", "--lock", "held", "--generation", "1"]).run();
    assert_eq!(out.code(), 75, "{out}");
    let out = home.fleet(&["lock", "break", "--lock", "held"]).run();
    assert!(out.code() == 75 && out.stderr.contains("end it with `kill "), "{out}");
    let stop = ["--max-wait", "100ms", "--on-timeout", "stop"];
    let args = [&["lock", "run", "--lock", "held"][..], &stop, &["--", "touch", "ran"]].concat();
    let out = home.fleet(&args).run();
    assert!(out.code() == 75 && is_alive(holder.pid()), "it is never signalled: {out}");
    let mut waiter = home.fleet(&["lock", "run", "--lock", "held", "--", "touch", "ran"]).spawn();
    waiter.await_stderr("waiting for");
    assert!(waiter.stderr().contains("which wrote no record"), "{}", waiter.stderr());
    assert!(!home.has("ran"));
    gate.open();
    assert_eq!(waiter.wait().code(), 0);
    assert!(home.has("ran") && home.has("freed"));
}

/// A flock that waits when our owner releases gets a file that is not the lock any more.
#[test]
fn a_flock_that_is_left_waiting_is_named() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let lock = home.lock().display().to_string();
    let waiter = home.fleet(&[]).instead("flock", &[&lock, "true"]).spawn();
    let waits = || fs::read_to_string("/proc/locks").expect("readable");
    let pid = waiter.pid().to_string();
    until("flock to wait", || {
        waits().lines().any(|line| line.contains("->") && line.split(' ').any(|word| word == pid))
    });
    gate.open();
    let out = first.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains(&format!("pid {pid} waited for ")), "{out}");
    assert_eq!(waiter.wait().code(), 0);
}

/// The work kills its wrapper as soon as it runs: the mutex must not stay with what is left.
#[test]
fn work_that_kills_its_wrapper_wedges_nothing() {
    let home = Sandbox::new();
    for round in 0..20 {
        let script = format!("kill -9 $PPID; echo {round} > round; exec sleep 1000");
        let first = home.under_lock(&[], &script);
        assert_eq!(first.wait().code(), -9);
        // The parent-death signal may be quicker than the command; what is left is passed by name.
        let out = home.fleet(&["lock", "status", "--json"]).run();
        let status = out.json();
        if status["state"] == "held" {
            let generation = status["owner"]["generation"].to_string();
            let out = home.fleet(&["lock", "break", "--generation", &generation]).run();
            assert_eq!(out.code(), 0, "{out}");
        }
        let out = home.under_lock(&["--max-wait", "5s"], "exit 7").wait();
        assert_eq!(out.code(), 7, "round {round}: {out}");
    }
}

/// A daemon of a killed command keeps the lock: it is named, ended by `stop`, or passed by name.
#[test]
fn what_a_killed_command_left_is_named_and_can_be_ended() {
    let home = Sandbox::new();
    let script = "setsid sleep 1000 & echo $! > daemon; wait";
    let first = home.under_lock(&[], script);
    let daemon = home.await_pid("daemon");
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code(), -9);
    let held = || home.fleet(&["lock", "status", "--json"]).run().json()["holders"].to_string();
    until("the rest to die", || held() == format!("[{daemon}]"));
    let out = home.under_lock(&["--max-wait", "100ms"], "exit 7").wait();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stderr.contains(&format!("pid {daemon}, which pid ")), "{out}");
    let options = ["--max-wait", "100ms", "--on-timeout", "stop"];
    let out = home.under_lock(&options, "exit 7").wait();
    assert_eq!(out.code(), 7, "{out}");
    assert!(out.stderr.contains(&format!("sent SIGTERM to pid {daemon},")), "{out}");
    assert!(!is_alive(daemon));
}

/// Mosaic judges by age alone, so the guarantee does not hold beside it.
#[test]
fn a_lock_that_mosaic_takes_too_is_not_promised_to_be_alone() {
    let home = Sandbox::new();
    let run = ["lock", "run", "--", "true"];
    let out = home.bare(&run).env("MOSAIC_HOME", home.path("")).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("breaks it after its own limit"), "{out}");
    let out = home.fleet(&run).run();
    assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{out}");
}
