//! `fleet lock run`, as its contract says: the command's status, signals and surroundings.

use std::fs;
use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{LOCK, Sandbox, is_alive, kill, until};

const FLEET: &str = env!("CARGO_BIN_EXE_fleet");

#[rstest]
#[case::success("exit 0", 0)]
#[case::failure("exit 3", 3)]
#[case::like_one_of_ours("exit 75", 75)]
#[case::killed_by_term("kill -TERM $$", 143)]
#[case::killed_by_kill("kill -KILL $$", 137)]
fn the_status_is_the_commands(#[case] script: &str, #[case] code: i32) {
    let home = Sandbox::new();
    let out = home.under_lock(&[], script).wait();
    assert_eq!(out.code(), code, "{out}");
    assert_eq!(out.stderr, "", "{out}");
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[rstest]
#[case::absent("no-such-command", 127, "No such file")]
#[case::absent_path("./no/such/command", 127, "No such file")]
#[case::not_executable("./file", 126, "Permission denied")]
#[case::a_directory("/", 126, "Permission denied")]
#[case::empty("", 127, "No such file")]
fn a_command_that_cannot_run(#[case] command: &str, #[case] code: i32, #[case] says: &str) {
    let home = Sandbox::new();
    home.write("file", "");
    let out = home.fleet(&["lock", "run", "--", command]).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains(&format!("cannot run `{command}`: {says}")), "{out}");
    assert!(!home.has(LOCK));
}

#[test]
fn streams_and_arguments_are_the_commands_own() {
    let home = Sandbox::new();
    let script = "echo \"$#:$1:$2\"; echo err >&2; cat";
    let args = ["lock", "run", "--", "/bin/sh", "-c", script, "sh", "--no-wait", "two words"];
    let out = home.fleet(&args).run();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("2:--no-wait:two words\n", "err\n"));
}

#[test]
fn the_command_is_told_which_ownership_it_has() {
    let home = Sandbox::new();
    let script = "echo $FLEET_LOCK_TOKEN $FLEET_LOCK_GENERATION; cat \"$FLEET_LOCK_PATH\"";
    let mut generations = Vec::new();
    for _ in 0..3 {
        let out = home.under_lock(&[], script).wait();
        let mut lines = out.stdout.lines();
        let (token, generation) = lines.next().and_then(|l| l.split_once(' ')).expect("two words");
        assert_eq!(lines.nth(2), Some(token), "the token is the lock file's: {out}");
        let line = format!("generation={generation}");
        assert!(lines.any(|l| l == line), "so is the generation: {out}");
        generations.push(generation.parse::<u64>().expect("a number"));
    }
    assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
}

#[test]
fn a_lock_can_be_anywhere() {
    let home = Sandbox::new();
    let script = "echo $FLEET_LOCK_PATH; cat $FLEET_LOCK_PATH > /dev/null";
    let args = ["lock", "run", "--lock", "some/where/x.lock", "--", "/bin/sh", "-c", script];
    // No home is needed then.
    let out = home.bare(&args).env("HOME", "").run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.stdout.trim_end(), home.path("some/where/x.lock").to_str().expect("UTF-8"));
    assert!(!home.has("some/where/x.lock") && !home.has("fleet/run"));
}

/// It would wait for its own end.
#[rstest]
#[case::in_the_foreground("FLEET lock run -- touch ran; echo $? > code")]
#[case::by_another_path("FLEET lock run --lock link/run/restart.lock -- touch ran; echo $? > code")]
#[case::in_a_group_of_its_own("timeout 60 FLEET lock run -- touch ran; echo $? > code")]
#[case::left_behind("(FLEET lock run -- touch ran; echo $? > code) & exit")]
#[case::a_verb("FLEET restart; echo $? > code")]
fn a_command_does_not_wait_for_the_lock_that_it_runs_under(#[case] script: &str) {
    let home = Sandbox::with_idle_agents(&["a"]);
    std::os::unix::fs::symlink(home.path("fleet"), home.path("link")).expect("linked");
    let out = home.under_lock(&[], &script.replace("FLEET", FLEET)).wait();
    assert_eq!((out.code(), home.read("code").as_str()), (0, "64\n"), "{out}");
    assert!(out.stderr.contains("is held by a process that this one runs under"), "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert!(!home.has("ran") && !home.has("fleet/run/agents"), "{out}");
}

#[test]
fn a_command_may_ask_for_its_own_lock_and_wait_for_another() {
    let home = Sandbox::new();
    // Who does not wait hears what everybody hears.
    let script = format!("{FLEET} lock run --no-wait -- touch ran; echo $? > code");
    let out = home.under_lock(&[], &script).wait();
    assert_eq!((out.code(), home.read("code").as_str()), (0, "75\n"), "{out}");
    assert!(out.stderr.contains("is held by pid") && !home.has("ran"), "{out}");
    let script = format!("{FLEET} lock run --lock other.lock -- touch ran");
    assert_eq!(home.under_lock(&[], &script).wait().code(), 0);
    assert!(home.has("ran"));
}

/// Nobody waits for it, so the lock will be released.
#[test]
fn what_has_left_the_session_may_wait_for_the_lock() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!(
        "setsid {FLEET} lock run -- sh -c 'echo $$ > ran' 2> said & read x < {}",
        gate.path().display()
    );
    let first = home.under_lock(&[], &script);
    until("the other to wait", || home.read("said").contains("waiting for"));
    gate.open();
    assert_eq!(first.wait().code(), 0);
    home.await_pid("ran");
}

/// The command has ended before anybody would have looked.
#[test]
fn a_lock_that_is_lost_in_a_moment_is_lost() {
    let home = Sandbox::new();
    let out = home.under_lock(&[], "rm \"$FLEET_LOCK_PATH\"").wait();
    assert_eq!(out.code(), 76, "{out}");
    assert_eq!(out.stderr.matches("nobody has it now").count(), 1, "{out}");
}

#[test]
fn a_command_can_be_signalled_when_the_lock_is_lost() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!(
        "trap ': > told; exit 9' USR1; : > ready; while :; do read x < {}; done",
        gate.path().display()
    );
    let first = home.under_lock(&["--kill-on-loss", "USR1"], &script);
    until("the trap to be set", || home.has("ready"));
    let out = home.fleet(&["lock", "break", "--generation", "1"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let out = first.wait();
    assert_eq!(out.code(), 76, "{out}");
    assert!(home.has("told") && out.stderr.contains("nobody has it now"), "{out}");
}

#[rstest]
#[case(Signal::HUP)]
#[case(Signal::INT)]
#[case(Signal::QUIT)]
#[case(Signal::TERM)]
#[case(Signal::USR1)]
#[case(Signal::USR2)]
fn signals_are_forwarded(#[case] signal: Signal) {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let number = signal.as_raw();
    let script = format!(
        "trap 'echo {number} >> got; exit {number}' {number}; : > ready; \
         while :; do read x < {}; done",
        gate.path().display()
    );
    let running = home.under_lock(&[], &script);
    until("the trap to be set", || home.has("ready"));
    running.signal(signal);
    let out = running.wait();
    assert_eq!(out.code(), number, "{out}");
    assert_eq!(home.read("got"), format!("{number}\n"));
    assert!(!home.has(LOCK));
}

#[test]
fn a_hangup_that_is_to_be_ignored_stays_ignored() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!(
        "trap 'echo usr1 >> got; exit 0' USR1; : > ready; while :; do read x < {}; done",
        gate.path().display()
    );
    home.write("script", &script);
    let nohup = format!("trap '' HUP; exec {fleet} lock run -- /bin/sh script");
    let running = home.fleet(&[]).instead("/bin/sh", &["-c", &nohup]).spawn();
    until("the trap to be set", || home.has("ready"));
    // Had it been passed on, the command would have ended by it, and not by what follows.
    running.signal(Signal::HUP);
    running.signal(Signal::USR1);
    let out = running.wait();
    assert_eq!((out.code(), home.read("got").as_str()), (0, "usr1\n"), "{out}");
}

/// The keyboard's signal reaches the whole foreground group, so the command has it already.
#[test]
fn a_key_on_the_terminal_is_not_forwarded_a_second_time() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!(
        "trap 'echo int >> got' INT; trap 'echo usr1 >> got' USR1; trap 'exit 0' USR2; \
         : > ready; while :; do read x < {}; done",
        gate.path().display()
    );
    let terminal = home.fleet(&["lock", "run", "--", "/bin/sh", "-c", &script]).on_a_terminal();
    until("the traps to be set", || home.has("ready"));
    // For a moment after its start a command may not be able to get a key's signal itself,
    // and is sent it as well; this test is about the time after that.
    std::thread::sleep(Duration::from_millis(100));
    terminal.press(b"\x03");
    until("the command to be interrupted", || !home.read("got").is_empty());
    // Whatever is forwarded goes in order, so a second SIGINT would be there before this.
    let fleet = terminal.fleet_pid();
    kill(fleet, Signal::USR1);
    until("the next signal to come", || home.read("got").contains("usr1"));
    assert_eq!(home.read("got"), "int\nusr1\n");
    kill(fleet, Signal::USR2);
    until("the lock to be released", || !home.has(LOCK));
}

#[rstest]
#[case(Signal::INT, 130)]
#[case(Signal::TERM, 143)]
fn a_signal_ends_the_wait(#[case] signal: Signal, #[case] code: i32) {
    let home = Sandbox::new();
    let (first, gate) = home.holder(&[]);
    let mut second = home.under_lock(&[], ": > ran");
    second.await_stderr("waiting for");
    second.signal(signal);
    let out = second.wait();
    assert_eq!(out.code(), code, "{out}");
    gate.open();
    assert_eq!(first.wait().code(), 0, "the owner was not disturbed");
    assert!(!home.has("ran"));
    assert_eq!(home.lock_files(), ["restart.lock.generation"]);
}

#[test]
fn a_daemon_that_the_command_leaves_behind_does_not_keep_the_lock() {
    let home = Sandbox::new();
    let out = home.under_lock(&[], "setsid sleep 1000 > /dev/null 2>&1 & echo $! > daemon").wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(is_alive(home.await_pid("daemon")));
    let out = home.under_lock(&["--no-wait"], "exit 7").wait();
    assert_eq!(out.code(), 7, "{out}");
}

#[test]
fn the_command_gets_the_ticket_and_no_other_descriptor_of_ours() {
    let home = Sandbox::new();
    let out = home.under_lock(&[], "ls -l /proc/$$/fd > fds").wait();
    assert_eq!(out.code(), 0, "{out}");
    let fds = home.read("fds");
    let beyond: Vec<_> = fds
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .filter(|(fd, _)| {
            fd.rsplit(' ').next().is_some_and(|fd| fd.parse::<u32>().is_ok_and(|fd| fd > 2))
        })
        .map(|(_, to)| to)
        .collect();
    // The shell itself may keep a copy of a stream while it redirects.
    let ours: Vec<_> = beyond.iter().filter(|to| to.contains("/fleet/run/")).collect();
    assert_eq!(ours.len(), 1, "{fds}");
    assert!(beyond.iter().all(|to| !to.contains("anon_inode") && !to.contains("socket")), "{fds}");
}

#[rstest]
#[case::directory("dir.lock", 73, "directory")]
#[case::no_name("/", 64, "name a file")]
#[case::below_a_file("file/x.lock", 73, "file")]
#[case::in_proc("/proc/x.lock", 73, "no file can be made in /proc")]
fn impossible_locks_are_refused(#[case] path: &str, #[case] code: i32, #[case] says: &str) {
    let home = Sandbox::new();
    fs::create_dir(home.path("dir.lock")).expect("created");
    home.write("file", "");
    let out = home.fleet(&["lock", "run", "--lock", path, "--", "touch", "ran"]).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains(says) && out.stderr.lines().count() == 1, "{out}");
    assert!(!home.has("ran"));
    assert!(!home.has(&format!("{path}.journal")), "no lock was ever there");
}

/// A script that locks itself, as `flock` lets it, must not be cleared away as a dead one's lock.
#[rstest]
#[case::run(&["lock", "run", "--lock", "job.sh", "--", "touch", "ran"])]
#[case::break_(&["lock", "break", "--lock", "job.sh"])]
#[case::status(&["lock", "status", "--lock", "job.sh"])]
#[case::explain(&["lock", "explain", "--lock", "job.sh"])]
fn a_file_that_is_no_lock_is_kept(#[case] args: &[&str]) {
    let home = Sandbox::new();
    home.write("job.sh", "#!/bin/sh\nexit\n");
    let out = home.fleet(args).run();
    assert_eq!(out.code(), 73, "{out}");
    assert!(out.stderr.contains("job.sh is no lock file, and as one it would be lost"), "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert_eq!(home.read("job.sh"), "#!/bin/sh\nexit\n");
    assert!(!home.has("ran") && !home.has("job.sh.journal"), "{out}");
    home.write("job.sh", "");
    let out = home.fleet(args).run();
    assert_eq!(out.code(), 0, "an empty one can be a crash's: {out}");
}

/// The command has run; whoever called must hear that its lock is still there.
#[test]
fn a_lock_that_cannot_be_released_does_not_look_released() {
    let home = Sandbox::new();
    let script = "until mkdir \"$FLEET_LOCK_PATH.mutex\" 2> /dev/null; do :; done; : > ran";
    let out = home.under_lock(&[], script).wait();
    assert_eq!(out.code(), 73, "{out}");
    assert!(home.has("ran"), "{out}");
    assert!(out.stderr.contains("could not be released"), "{out}");
    assert!(out.stderr.contains("restart.lock.mutex is a directory"), "{out}");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    // The kernel's lock on it is dropped, so the next is not held up.
    fs::remove_dir(home.path("fleet/run/restart.lock.mutex")).expect("it is there");
    let out = home.under_lock(&["--no-wait"], ":").wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("its owner died"), "{out}");
}
