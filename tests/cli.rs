//! The command line itself: usage, the roster's mistakes, where output goes.

use std::fs::File;

use rstest::rstest;

use crate::kit::Sandbox;

#[rstest]
#[case::help(&["--help"], "Exit codes:")]
#[case::help_of_a_command(&["lock", "run", "--help"], "FLEET_LOCK_GENERATION")]
#[case::version(&["--version"], "fleet 0")]
#[case::completions(&["completions", "bash"], "_fleet()")]
#[case::a_page(&["man"], ".SH \"EXIT STATUS\"")]
#[case::a_page_of_a_command(&["man", "lock", "run"], "FLEET_LOCK_GENERATION")]
#[case::schemas(&["schema"], "lock-status\n")]
#[case::a_schema(&["schema", "lock-status"], "\"title\": \"fleet lock status --json\"")]
fn what_needs_no_home_works_without_one(#[case] args: &[&str], #[case] says: &str) {
    let out = Sandbox::new().bare(args).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains(says) && out.stderr.is_empty(), "{out}");
}

#[rstest]
#[case::nothing(&[], "Usage:")]
#[case::unknown_command(&["restrat"], "restart")]
#[case::unknown_option(&["restart", "--jbos", "2"], "--jobs")]
#[case::mistyped_in_a_group(&["lock", "rnu"], "'run'")]
#[case::no_dashes(&["lock", "run", "true"], "`-- true`")]
#[case::no_jobs(&["restart", "--jobs", "0"], "--jobs <N>': expected a whole number, 1 or more")]
#[case::no_number(&["lock", "break", "--generation", "x"], "expected a whole number")]
#[case::resume_or_not(&["restart", "--resume", "--no-resume"], "cannot be used with '--no-resume'")]
#[case::wait_or_not(&["restart", "--join", "--no-wait"], "cannot be used with '--no-wait'")]
#[case::empty_home(&["status", "--home", ""], "a path is empty")]
#[case::empty_lock(&["lock", "run", "--lock", "", "--", "true"], "a path is empty")]
#[case::fraction(&["restart", "--grace", "1.5s"], "1s500ms")]
#[case::no_unit(&["restart", "--max-wait", "30"], "30s")]
#[case::unknown_unit(&["restart", "--max-wait", "3w"], "unknown unit `w`")]
#[case::no_such_policy(&["lock", "run", "--on-timeout", "wait", "--", "true"], "[possible values: fail, stop]")]
#[case::no_time(&["lock", "run", "--stale-after", "0s", "--", "true"], ": --stale-after must be at least 1 ms")]
#[case::no_third(&["restart", "--stale-after", "2ms"], ": a third of --stale-after, how often an owner renews, must be at least 1 ms")]
#[case::no_wait(&["restart", "--max-wait", "0s"], ": --max-wait must be at least 1 ms")]
#[case::for_ever(&["restart", "--max-wait", "99999d"], ": --max-wait must be at most 3650 days")]
#[case::no_such_signal(&["lock", "run", "--kill-on-loss", "NOPE", "--", "true"], "there is no signal `NOPE`")]
#[case::no_command(&["lock", "run"], "<CMD>")]
#[case::no_such_page(&["man", "lock", "rnu"], "no manual page `fleet-lock-rnu`")]
#[case::no_such_schema(&["schema", "lock"], "[possible values: add, ")]
#[case::unknown_agent(&["restart", "aplha"], "the nearest name is `alpha`")]
fn usage_errors_exit_64(#[case] args: &[&str], #[case] says: &str) {
    let home = Sandbox::with_idle_agents(&["alpha", "beta"]);
    let out = home.fleet(args).run();
    assert_eq!(out.code(), 64, "{out}");
    assert!(out.stderr.contains(says) && out.stdout.is_empty(), "{out}");
    assert!(!home.has("fleet/run/agents"), "nothing was started");
}

#[rstest]
#[case::pages("man", "fleet-lock-run.1")]
#[case::schemas("schema", "lock-status.schema.json")]
fn documents_are_written_to_a_directory(#[case] command: &str, #[case] file: &str) {
    let home = Sandbox::new();
    let out = home.bare(&[command, "--dir", "new/deep"]).run();
    assert_eq!((out.code(), out.stdout.as_str(), out.stderr.as_str()), (0, "", ""), "{out}");
    assert!(!home.read(&format!("new/deep/{file}")).is_empty());
    let out = home.bare(&[command, "--dir", "/proc/none"]).run();
    assert_ne!(out.code(), 0, "{out}");
    assert!(out.stderr.contains("cannot write /proc/none"), "{out}");
}

#[rstest]
#[case::restart("restart")]
#[case::start("start")]
#[case::stop("stop")]
#[case::status("status")]
fn a_bad_roster_exits_65_and_names_the_place(#[case] command: &str) {
    let home = Sandbox::new();
    let out = home.fleet(&[command]).run();
    assert_eq!(out.code(), 65, "{out}");
    assert!(out.stderr.contains("no roster at "), "{out}");

    home.write("fleet/roster.yaml", "version: 1\ntransport: tmux\nagnets: []\n");
    let out = home.fleet(&[command]).run();
    assert_eq!(out.code(), 65, "{out}");
    let says = "roster.yaml:3:1: unknown key `agnets`; the nearest known key is `agents`";
    assert!(out.stderr.contains(says) && out.stdout.is_empty(), "{out}");
}

#[test]
fn a_bad_env_file_exits_65_and_names_the_line() {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    home.write("fleet/agents/alpha.env", "A=1\nB\n");
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 65, "{out}");
    assert!(out.stderr.contains("alpha.env:2: there is no `=`"), "{out}");
}

/// Only who starts an agent needs its variables.
#[test]
fn a_bad_env_file_keeps_nobody_from_other_agents() {
    let home = Sandbox::with_idle_agents(&["alpha", "beta"]);
    assert_eq!(home.fleet(&["start", "--settle", "0ms"]).run().code(), 0);
    home.write("fleet/agents/alpha.env", "A=1\nB\n");
    let fine = [
        &["status"][..],
        &["ps"],
        &["verify"],
        &["logs", "alpha"],
        &["restart", "beta", "--settle", "0ms"],
        &["stop"],
        &["start", "beta", "--settle", "0ms"],
        &["remove", "beta", "--write"],
    ];
    for args in fine {
        let out = home.fleet(args).run();
        assert_eq!(out.code(), 0, "{out}");
    }
    for args in [&["start"][..], &["restart", "alpha"]] {
        let out = home.fleet(args).run();
        assert_eq!(out.code(), 65, "{out}");
        assert!(out.stderr.contains("alpha.env:2: there is no `=`"), "{out}");
    }
}

#[rstest]
#[case::roster("fleet/roster.yaml", &["status"])]
#[case::env_file("fleet/agents/alpha.env", &["restart"])]
#[case::env_file_to_be("fleet/agents/b.env", &["add", "b", "--runtime", "r", "--", "true"])]
fn what_is_no_text_exits_65_and_names_the_line(#[case] file: &str, #[case] args: &[&str]) {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    std::fs::write(home.path(file), b"A=1\nB=caf\xe9\nC=\xff\n").expect("the file");
    let out = home.fleet(args).run();
    assert_eq!(out.code(), 65, "{out}");
    let says = format!("{file}:2: this is not UTF-8 text; save the file as UTF-8\n");
    assert!(out.stderr.ends_with(&says), "{out}");
}

#[rstest]
#[case::by_default("", "tmux", "`systemd` needs the program `systemctl`")]
#[case::systemd_without_tmux("", "systemctl", "`systemd` needs the program `tmux`")]
#[case::tmux("supervisor: tmux\n", "systemctl", "`tmux` needs the program `tmux`")]
fn a_supervisor_without_its_program_exits_69(
    #[case] key: &str,
    #[case] present: &str,
    #[case] says: &str,
) {
    let home = Sandbox::new();
    let agents = "agents: [{name: a, runtime: r, command: [sleep, '1000']}]\n";
    home.write("fleet/roster.yaml", &format!("version: 1\ntransport: tmux\n{key}{agents}"));
    home.write(&format!("bin/{present}"), "");
    for command in ["restart", "status"] {
        let out = home.fleet(&[command]).env("PATH", home.path("bin")).run();
        assert_eq!(out.code(), 69, "{out}");
        assert!(out.stderr.contains(says) && out.stderr.contains("roster.yaml"), "{out}");
    }
    assert!(!home.has("fleet/run"), "nothing was touched");
}

#[test]
fn without_a_user_manager_systemd_is_missing() {
    let home = Sandbox::new();
    home.write(
        "fleet/roster.yaml",
        "version: 1\ntransport: tmux\nagents: [{name: a, runtime: r}]\n",
    );
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 69, "{out}");
    for says in ["none answers (Failed to connect to bus: ", "loginctl enable-linger"] {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    assert!(!home.has("fleet/run"), "nothing was touched");
}

#[test]
fn the_home_comes_from_the_flag_then_from_the_variables() {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    let path = home.path("");
    let named = [
        home.bare(&["status", "--home", path.to_str().expect("UTF-8")]),
        home.bare(&["status"]).env("FLEET_HOME", &path).env("MOSAIC_HOME", "/nowhere"),
        home.bare(&["status"]).env("FLEET_HOME", "").env("MOSAIC_HOME", &path),
        home.bare(&["status"]).env("HOME", "/nowhere").env("FLEET_HOME", &path),
    ];
    for call in named {
        let out = call.run();
        assert!(out.code() == 0 && out.stdout.contains("alpha"), "{out}");
    }
    let out = home.bare(&["status"]).run();
    assert_eq!(out.code(), 65, "{out}");
    assert!(out.stderr.contains("/user/.config/mosaic/fleet/roster.yaml"), "{out}");
    let out = home.bare(&["status"]).env("HOME", "").run();
    assert_eq!(out.code(), 64, "{out}");
}

#[test]
fn looking_changes_nothing() {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    for args in [&["status"][..], &["lock", "status"]] {
        let out = home.fleet(args).run();
        assert_eq!(out.code(), 0, "{out}");
    }
    assert!(!home.has("fleet/run"), "a look must not make directories");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    let escapes = |out: &str| out.contains('\u{1b}');
    let plain = home.fleet(&["status"]).run();
    assert!(!escapes(&plain.stdout), "{plain}");
    let forced = home.fleet(&["status"]).env("CLICOLOR_FORCE", "1").run();
    assert!(escapes(&forced.stdout), "{forced}");
    let not_forced = home.fleet(&["status"]).env("CLICOLOR_FORCE", "0").run();
    assert!(!escapes(&not_forced.stdout), "{not_forced}");
    let both = home.fleet(&["status"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run();
    assert!(!escapes(&both.stdout), "{both}");
}

#[test]
fn nobody_reading_is_no_error_but_a_full_disk_is() {
    let home = Sandbox::with_idle_agents(&["alpha"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let out = home.fleet(&["status"]).stdout(writer).wait();
    assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{out}");
    let full = File::options().write(true).open("/dev/full").expect("it is always there");
    let out = home.fleet(&["status"]).stdout(full).wait();
    assert_eq!(out.code(), 74, "{out}");
}
