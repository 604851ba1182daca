//! `fleet lock run` as a job: terminal, keys, process group, and what the command leaves.

use std::fs;
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{LOCK, Sandbox, is_alive, kill, state_of, until};

/// A call of the binary, as a script spells it.
const FLEET: &str = env!("CARGO_BIN_EXE_fleet");

/// The process group of a process.
fn group_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().nth(2).expect("the group").parse().expect("a number")
}

#[test]
fn the_command_can_read_the_terminal() {
    let home = Sandbox::new();
    let script = ": > ready; read x < /dev/tty; echo \"$x\" > got";
    let terminal = home.fleet(&["lock", "run", "--", "/bin/sh", "-c", script]).on_a_terminal();
    until("the command to run", || home.has("ready"));
    terminal.press(b"hello\n");
    until("the line to be read", || home.read("got") == "hello\n");
    until("the lock to be released", || !home.has(LOCK));
}

/// A pager at the end of the pipe needs the terminal as well.
#[test]
fn so_can_the_others_in_its_pipeline() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let pipeline = format!(
        "{FLEET} lock run -- /bin/sh -c 'echo $$ > held; read x < {}' \
         | /bin/sh -c 'read y < /dev/tty; echo \"$y\" > got; cat'",
        gate.path().display()
    );
    // With job control on, a pipeline is a process group of its own, in the foreground.
    let script = format!("set -m; {pipeline}");
    let terminal = home.fleet(&[]).instead("/bin/bash", &["-c", &script]).on_a_terminal();
    home.await_pid("held");
    terminal.press(b"page\n");
    until("the pager to read", || home.read("got") == "page\n");
    gate.open();
    until("the lock to be released", || !home.has(LOCK));
}

#[test]
fn the_suspend_key_stops_the_job_and_fg_lets_it_go_on() {
    let home = Sandbox::new();
    let shell = ["--norc", "--noprofile", "-i"];
    let terminal = home.fleet(&[]).instead("/bin/bash", &shell).on_a_terminal();
    let job = "echo $$ > held; read x; echo \"$x\" > got; exit 4";
    terminal
        .press(format!("{FLEET} lock run -- /bin/sh -c '{job}'; echo $? > status\n").as_bytes());
    let command = home.await_pid("held");
    terminal.press(b"\x1a");
    until("the command to stop", || state_of(command) == Some('T'));
    let owner = || {
        let status = home.fleet(&["lock", "status", "--json"]).run().json();
        u32::try_from(status["owner"]["pid"].as_u64().expect("held")).expect("a pid")
    };
    let fleet = owner();
    until("fleet to stop", || state_of(fleet) == Some('T'));
    assert_eq!(group_of(fleet), group_of(command));
    terminal.press(b"fg\n");
    until("the command to go on", || state_of(command) != Some('T'));
    terminal.press(b"again\n");
    until("the line to be read", || home.read("got") == "again\n");
    until("the lock to be released", || !home.has(LOCK));
    until("the shell to go on", || home.has("status"));
}

/// A script must end with the command that the key has ended, not go on to the next.
#[test]
fn the_interrupt_key_ends_the_script_that_called() {
    let home = Sandbox::new();
    let script = format!(
        "for i in 1 2; do {FLEET} lock run -- /bin/sh -c 'echo $$ > held; exec sleep 1000'; done; \
         : > went-on"
    );
    let mut terminal = home.fleet(&[]).instead("/bin/bash", &["-c", &script]).on_a_terminal();
    home.await_pid("held");
    // For a moment after its start a command may not get a key's signal itself: see the test
    // of forwarded keys.
    std::thread::sleep(Duration::from_millis(100));
    terminal.press(b"\x03");
    until("the script to end", || !terminal.is_open());
    assert!(!home.has("went-on"));
    assert!(!home.has(LOCK), "the lock is released all the same");
}

#[rstest]
#[case(Signal::TERM)]
#[case(Signal::USR2)]
fn signals_reach_all_that_the_command_started(#[case] signal: Signal) {
    let home = Sandbox::new();
    let number = signal.as_raw();
    // A child and an orphan, none of which the command passes anything on to. It waits for the
    // child: a shell that is about to open a gate would sleep through the signal.
    let script = format!(
        "trap 'exit 5' {number}; sleep 1000 & echo $! > child; \
         (sleep 1000 & echo $! > orphan); wait"
    );
    let running = home.under_lock(&[], &script);
    let family = [home.await_pid("child"), home.await_pid("orphan")];
    running.signal(signal);
    let out = running.wait();
    assert_eq!(out.code(), 5, "{out}");
    for pid in family {
        assert!(!is_alive(pid), "{pid} was not told, and the lock was released");
    }
}

#[test]
fn signals_reach_nobody_else_in_the_group() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    // Script, bystander and fleet are one process group, as they are in any script.
    let script = format!(
        "sleep 1000 & echo $! > bystander; \
         {FLEET} lock run -- /bin/sh -c 'echo $$ > held; read x < {}'; echo $? > status",
        gate.path().display()
    );
    let caller = home.fleet(&[]).instead("/bin/sh", &["-c", &script]).spawn();
    let command = home.await_pid("held");
    let bystander = home.await_pid("bystander");
    assert_eq!(group_of(command), group_of(bystander));
    let status = home.fleet(&["lock", "status", "--json"]).run().json();
    let fleet = u32::try_from(status["owner"]["pid"].as_u64().expect("held")).expect("a pid");
    kill(fleet, Signal::TERM);
    until("fleet to end", || home.read("status").ends_with('\n'));
    assert_eq!(home.read("status"), "143\n");
    assert!(is_alive(bystander), "it is not of the command's family");
    kill(bystander, Signal::KILL);
    assert_eq!(caller.wait().code(), 0);
}

#[test]
fn the_lock_stays_until_all_that_the_command_left_has_ended() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let leave = format!("(read x < {} &) ; exit 6", gate.path().display());
    let first = home.under_lock(&[], &leave);
    // The command itself is gone when the shell that it was has been reaped.
    let status = || home.fleet(&["lock", "status", "--json"]).run().json();
    until("the lock to be held", || status()["state"] == "held");
    let mut second = home.under_lock(&[], "exit 7");
    second.await_stderr("waiting for");
    assert_eq!(home.under_lock(&["--no-wait"], "exit 0").wait().code(), 75);
    gate.open();
    assert_eq!(first.wait().code(), 6, "the status is the command's own");
    assert_eq!(second.wait().code(), 7);
}

#[test]
fn whoever_does_not_want_that_can_say_so() {
    let home = Sandbox::new();
    let script = "sleep 1000 & echo $! > left; exit 6";
    let out = home.under_lock(&["--no-wait-group"], script).wait();
    assert_eq!(out.code(), 6, "{out}");
    assert!(is_alive(home.await_pid("left")) && !home.has(LOCK));
}

/// Whoever becomes `fleet` by `exec` leaves it children that are none of the command's.
#[test]
fn children_from_before_are_not_waited_for_nor_signalled() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!(
        "sleep 1000 & echo $! > stranger; \
         exec {FLEET} lock run -- /bin/sh -c '(read x < {} &); exit 8'",
        gate.path().display()
    );
    let running = home.fleet(&[]).instead("/bin/sh", &["-c", &script]).spawn();
    let stranger = home.await_pid("stranger");
    let status = || home.fleet(&["lock", "status", "--json"]).run().json();
    until("the lock to be held", || status()["state"] == "held");
    gate.open();
    let out = running.wait();
    assert_eq!(out.code(), 8, "{out}");
    assert!(is_alive(stranger));
}

#[test]
fn a_hung_owner_is_ended_before_its_lock_is_taken() {
    let home = Sandbox::new();
    let (first, _gate) = home.holder(&[]);
    let command = home.await_pid("held");
    let options = ["--on-timeout", "stop", "--max-wait", "200ms"];
    let script = format!("kill -0 {command} 2> /dev/null && exit 9; exit 5");
    let second = home.under_lock(&options, &script);
    assert_eq!(first.wait().code(), 143, "it was asked to end, and did");
    let out = second.wait();
    assert_eq!(out.code(), 5, "the old work was over before the new began: {out}");
}

/// SIGTERM is not heard: after the grace of five seconds comes SIGKILL.
#[test]
fn an_owner_that_will_not_end_is_killed() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!(
        "trap '' TERM; echo $$ > held; while :; do read x < {}; done",
        gate.path().display()
    );
    let first = home.under_lock(&[], &script);
    let command = home.await_pid("held");
    let begun = Instant::now();
    let options = ["--on-timeout", "stop", "--max-wait", "200ms"];
    let out = home.under_lock(&options, "exit 5").wait();
    assert_eq!(out.code(), 5, "{out}");
    assert!(begun.elapsed() >= Duration::from_secs(5), "it was given its time");
    for signal in ["SIGTERM", "SIGKILL"] {
        let owner = first.pid();
        let said =
            out.stderr.lines().filter(|line| line.contains(&format!("sent {signal} to pid")));
        let named = said.filter(|line| line.contains(&owner.to_string())).count();
        assert_eq!(named, 1, "{signal}: {out}");
    }
    assert_eq!(first.wait().code(), -9);
    assert!(!is_alive(command));
}

#[test]
fn a_loss_can_end_all_that_the_command_started() {
    let home = Sandbox::new();
    let script = "sleep 1000 & echo $! > child; wait";
    let first = home.under_lock(&["--kill-on-loss", "KILL"], script);
    let child = home.await_pid("child");
    let out = home.fleet(&["lock", "break", "--generation", "1"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let out = first.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert!(!is_alive(child), "{out}");
}

/// As env(1) and flock(1) have it: process substitution, a socket from systemd and make's job
/// server are the command's business.
#[test]
fn what_the_caller_hands_down_reaches_the_command() {
    let home = Sandbox::new();
    let script = format!("{FLEET} lock run -- cat <(echo handed down)");
    let out = home.fleet(&[]).instead("/bin/bash", &["-c", &script]).run();
    assert_eq!((out.code(), out.stdout.as_str()), (0, "handed down\n"), "{out}");
}

#[test]
fn a_script_can_choose_the_code_for_a_busy_lock() {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let out = home.under_lock(&["--no-wait", "-E", "42"], "exit 0").wait();
    assert_eq!(out.code(), 42, "{out}");
    assert!(out.stderr.contains("is held by") && out.stderr.contains("verdict"), "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 0);
    let out = home.under_lock(&["-E", "42"], "exit 3").wait();
    assert_eq!(out.code(), 3, "{out}");
}
