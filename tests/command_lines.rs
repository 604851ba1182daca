//! How `fleet` calls systemctl and tmux: each verb with each supervisor, argument by argument.
//!
//! Here both are fakes that only write down; `systemd` and `tmux` have the real ones.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Fakes, IDLE, SOCKET, Sandbox, until};

const AGENTS: [(&str, &str); 2] = [("a", IDLE), ("b.2", IDLE)];

/// A fleet with fakes, its tmux on a socket of its own unless there is none.
fn fleet(supervisor: &str, socket: Option<&str>) -> Sandbox {
    let home = Sandbox::new();
    home.write_roster(supervisor, json!({"socket_name": socket}), &AGENTS);
    home
}

/// What each verb calls, from a fleet that does not run to one that does and back.
fn session(home: &Sandbox) -> String {
    let fakes = Fakes::new(home);
    let mut text = String::new();
    for line in [
        "start --settle 0ms",
        "start --settle 0ms",
        "restart --settle 0ms",
        "restart a --settle 0ms",
        "stop b.2",
        "status",
        "ps",
        "verify a",
        "start b.2 --settle 0ms",
        "stop",
        "stop",
        "restart --settle 0ms",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let out = fakes.fleet(&args).run();
        // No process is behind what the fakes say runs.
        assert_eq!(out.code(), i32::from(args[0] == "verify"), "{out}");
        writeln!(text, "$ fleet {line}\n{}", fakes.calls()).expect("a string takes all");
    }
    text
}

#[test]
fn command_lines_of_systemd() {
    insta::assert_snapshot!(session(&fleet("systemd", Some(SOCKET))));
}

#[test]
fn command_lines_of_systemd_for_several_at_once() {
    let home = fleet("systemd", Some(SOCKET));
    let fakes = Fakes::new(&home);
    let out = fakes.fleet(&["restart", "--jobs", "2", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    insta::assert_snapshot!(fakes.calls());
}

/// Units that are part of the holder's are restarted with it, and run anew when their turn comes.
#[rstest]
#[case::begun_when_the_holder_was_ready("forking", 100, "running", false)]
#[case::begun_before("forking", 99, "running", true)]
#[case::nobody_knows_when_the_holder_was_ready("simple", 100, "running", true)]
#[case::ended_again("forking", 100, "exited", true)]
fn who_has_come_with_the_holder_is_not_restarted_again(
    #[case] holder_type: &str,
    #[case] begun: u64,
    #[case] is: &str,
    #[case] is_restarted: bool,
    #[values("1", "2")] jobs: &str,
) {
    let home = fleet("systemd", Some(SOCKET));
    let fakes = Fakes::new(&home);
    let properties = format!(
        "printf 'Job=\\nType={holder_type}\\nActiveEnterTimestampMonotonic=100\\n'
         printf 'InactiveExitTimestampMonotonic={begun}\\n'
         [ {is} = running ] || case $unit in *agent*) pid=0 ;; esac"
    );
    let systemctl = home.read("bin/systemctl");
    let systemctl = systemctl.replace("printf 'Job=\\n", &format!("{properties}\nprintf '"));
    fakes.install("systemctl", &systemctl);
    let _ = fakes.fleet(&["start", "--settle", "0ms"]).run();
    fakes.calls();
    let out = fakes.fleet(&["restart", "--settle", "0ms", "--jobs", jobs]).run();
    assert_eq!(out.code(), i32::from(is != "running"), "{out}");
    let calls = fakes.calls();
    let orders: Vec<_> = calls.lines().filter(|call| call.contains("--no-block")).collect();
    assert!(orders[0].ends_with("restart mosaic-tmux-holder.service"), "{calls}");
    for unit in ["mosaic-agent@a.service", "mosaic-agent@b.2.service"] {
        let is_ordered = orders.iter().any(|order| order.contains(unit));
        assert_eq!(is_ordered, is_restarted, "{unit} in {calls}");
    }
}

#[test]
fn command_lines_of_tmux() {
    insta::assert_snapshot!(session(&fleet("tmux", Some(SOCKET))));
}

#[test]
fn command_lines_of_tmux_on_the_default_server() {
    insta::assert_snapshot!(session(&fleet("tmux", None)));
}

#[test]
fn units_are_called_as_the_roster_says() {
    let home = fleet("systemd", None);
    let names = r#"{"systemd":{"holderUnit":"h.service","agent_unit":"x-{name}.service"},"#;
    home.write("fleet/roster.yaml", &home.read("fleet/roster.yaml").replacen('{', names, 1));
    let fakes = Fakes::new(&home);
    let out = fakes.fleet(&["start", "--settle", "0ms"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let calls = fakes.calls();
    for call in ["start h.service", "start x-a.service", "start x-b.2.service", "tmux has-session"]
    {
        assert!(calls.contains(call), "{call} in {calls}");
    }
}

#[rstest]
#[case::systemd("systemd", &["restart"])]
#[case::one_unit("systemd", &["restart", "a"])]
#[case::tmux("tmux", &["restart"])]
#[case::one_session("tmux", &["stop", "a"])]
fn no_command_is_issued_before_a_foreign_lock_clears(
    #[case] supervisor: &str,
    #[case] args: &[&str],
) {
    let home = fleet(supervisor, Some(SOCKET));
    let fakes = Fakes::new(&home);
    home.write_foreign_lock(Duration::ZERO);
    let mut waiting = fakes.fleet(args).spawn();
    waiting.await_stderr("4242");
    let asked = "systemctl --user show --property=Version\n";
    let before = home.read("fake/calls").replacen(asked, "", 1);
    assert_eq!(before, "", "only whether there is a manager");
    fs::remove_file(home.lock()).expect("the foreign owner releases");
    let out = waiting.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert_ne!(fakes.calls(), asked);
}

/// What was sent on its way before a restart was killed must not arrive under another's work.
#[rstest]
#[case::systemd("systemd", "systemctl", "*--no-block*")]
#[case::tmux("tmux", "tmux", "*new-session*")]
fn nothing_begins_until_a_killed_restarts_last_command_is_through(
    #[case] supervisor: &str,
    #[case] program: &str,
    #[case] last: &str,
) {
    let home = fleet(supervisor, Some(SOCKET));
    let fakes = Fakes::new(&home);
    let gate = home.gate("gate");
    let script = home.read(&format!("bin/{program}"));
    let script = format!(
        "case \"$*\" in {last}) : > \"$FAKE/under-way\"; read x < {} ;; esac\n{script}",
        gate.path().display()
    );
    fakes.install(program, &script);
    let restart = fakes.fleet(&["restart"]).spawn();
    until("the command to be under way", || home.has("fake/under-way"));
    restart.signal(Signal::KILL);
    assert_eq!(restart.wait().code(), -9);
    let mut next = home.under_lock(&["--no-wait"], ": > begun");
    next.await_stderr("settling");
    assert!(next.is_running() && !home.has("begun"), "{}", next.stderr());
    gate.open();
    let out = next.wait();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("its owner died"), "{out}");
}

#[test]
fn a_failing_units_last_words_are_in_the_journal() {
    let home = fleet("systemd", Some(SOCKET));
    let fakes = Fakes::new(&home);
    let failed = "case $*:$verb in
        *--no-block*) exit ;;
        *--property=Id*@a*) printf 'Id=mosaic-agent@a.service\\nLoadState=loaded\\nActiveState=failed\\nSubState=failed\\n\
        Result=exit-code\\nExecMainPID=7\\nExecMainCode=1\\nExecMainStatus=3\\nInvocationID=abc\\n'; \
        exit ;;
    esac\n";
    let script = home.read("bin/systemctl");
    fakes.install("systemctl", &format!("{failed}{script}"));
    fakes.install("journalctl", "echo \"journalctl $*\" >> \"$FAKE/calls\"; echo it was me");
    let out = fakes.fleet(&["restart", "a"]).run();
    assert_eq!(out.code(), 1, "{out}");
    let says = "cannot restart a: its unit mosaic-agent@a.service did not come up (exit-code, exit status: 3); \
                its last words in the journal:\n    | it was me\n";
    assert!(out.stderr.contains(says), "{out}");
    let call = "journalctl --no-pager --output=cat --lines=5 _SYSTEMD_INVOCATION_ID=abc + \
                USER_INVOCATION_ID=abc\n";
    assert!(fakes.calls().contains(call));
}

/// Where a unit's own settings end the manager's work on it, that is how long it is waited for.
#[rstest]
#[case::one(&["stop", "a", "--grace", "0ms"], "stop", &["a"])]
#[case::several_at_once(&["restart", "a", "b.2", "--jobs", "2", "--settle", "0ms"], "restart", &["a", "b.2"])]
fn a_manager_that_takes_longer_than_the_unit_allows_is_not_waited_for(
    #[case] args: &[&str],
    #[case] verb: &str,
    #[case] agents: &[&str],
) {
    let home = fleet("systemd", Some(SOCKET));
    let fakes = Fakes::new(&home);
    let script = home.read("bin/systemctl");
    let at_work = "case $* in
        *Timeout*) shift 4; for unit; do printf 'TimeoutStartUSec=1ms\\nTimeoutStopUSec=1ms\\n\\n'; done; exit ;;
        *property=Id*) shift 4
            for unit; do printf 'Id=%s\\nLoadState=loaded\\nJob=7\\n' \"$unit\"
                printf 'ActiveState=deactivating\\nSubState=stop-sigterm\\n\\n'; done; exit ;;
    esac\n";
    fakes.install("systemctl", &format!("{at_work}{script}"));
    let out = fakes.fleet(args).run();
    assert_eq!(out.code(), 1, "{out}");
    for agent in agents {
        let says = format!(
            "cannot {verb} {agent}: its unit mosaic-agent@{agent}.service is still stop-sigterm after "
        );
        assert!(out.stderr.contains(&says), "{says:?} in {out}");
    }
    assert!(out.stderr.contains("longer than its settings allow"), "{out}");
}
