//! Where the modes of files do not let `fleet` in: it says so, and takes it for nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rstest::rstest;
use serde_json::json;

use crate::kit::{Fakes, IDLE, Output, Sandbox};

/// A path with another mode, until this is dropped.
struct Closed {
    path: PathBuf,
    before: Permissions,
}

impl Closed {
    fn new(home: &Sandbox, name: &str, mode: u32) -> Self {
        let path = home.path(name);
        let before = fs::metadata(&path).expect("it is there").permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        Self { path, before }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.path, self.before.clone());
    }
}

/// What a call says while nobody may use that path.
fn run(home: &Sandbox, closed: &str, args: &[&str]) -> Output {
    let _closed = Closed::new(home, closed, 0);
    home.fleet(args).bound_by_modes().run()
}

#[rstest]
#[case::run("fleet/run", &[])]
#[case::logs("fleet/run/logs", &[])]
#[case::the_file("fleet/run/logs/a.log", &[])]
#[case::for_ever("fleet/run/logs/a.log", &["--follow"])]
fn a_log_that_cannot_be_read(#[case] closed: &str, #[case] options: &[&str]) {
    let home = Sandbox::with_idle_agents(&["a"]);
    home.write("fleet/run/logs/a.log", "line\n");
    let out = run(&home, closed, &[&["logs", "a"], options].concat());
    assert_eq!(out.code(), 77, "{out}");
    let log = home.path("fleet/run/logs/a.log");
    let says = format!("fleet: cannot read {}: Permission denied", log.display());
    assert!(out.stderr.starts_with(&says), "{out}");
}

#[test]
fn a_units_log_that_cannot_be_read() {
    let home = Sandbox::new();
    home.write_roster("systemd", json!({}), &[("a", IDLE)]);
    home.write("a.log", "line\n");
    let log = home.path("a.log");
    let fakes = Fakes::new(&home);
    let script = home.read("bin/systemctl");
    let output = format!("StandardOutput=append:{}", log.display());
    let cat = format!("case $* in *' cat '*) echo {output}; exit ;; esac\n");
    fakes.install("systemctl", &format!("{cat}{script}"));
    let _closed = Closed::new(&home, "a.log", 0);
    let out = fakes.fleet(&["logs", "a", "--follow"]).bound_by_modes().run();
    let says = format!("fleet: cannot read {}: Permission denied", log.display());
    assert!(out.code() == 77 && out.stderr.starts_with(&says), "{out}");
}

#[test]
fn an_agent_that_cannot_be_seen_is_not_dead() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    let record = "fleet/run/agents/a.json";
    for command in ["status", "ps", "verify"] {
        let out = run(&home, record, &[command]);
        assert_eq!(out.code(), 77, "{out}");
        let path = home.path(record);
        let says = format!("cannot look at a: cannot read {}: Permission", path.display());
        assert!(out.stderr.contains(&says) && !out.stderr.contains("not run"), "{out}");
    }
    let out = run(&home, record, &["verify", "--json"]);
    assert_eq!(out.code(), 77, "{out}");
    let seen = out.json();
    assert!(seen["agents"][0].get("runs").is_none(), "{out}");
    assert_eq!(seen["agents"][1]["runs"], true, "{out}");
    let out = run(&home, record, &["verify", "b"]);
    assert_eq!(out.code(), 0, "nobody asked about the other: {out}");
    let out = run(&home, "fleet/run", &["verify"]);
    assert_eq!(out.code(), run(&home, "fleet/run", &["status"]).code(), "{out}");
}

#[test]
fn a_record_that_cannot_be_written_is_named() {
    let home = Sandbox::with_idle_agents(&["a"]);
    fs::create_dir_all(home.path("fleet/run/agents")).expect("a directory");
    let _closed = Closed::new(&home, "fleet/run/agents", 0o500);
    let out = home.fleet(&["start", "--settle", "0ms"]).bound_by_modes().run();
    assert_eq!(out.code(), 1, "{out}");
    let record = home.path("fleet/run/agents/a.json.new");
    let says = format!("cannot start a: cannot write {}: Permission denied", record.display());
    assert!(out.stderr.contains(&says), "{out}");
}

/// What cannot be entered is there, and its program is not what was denied.
#[test]
fn a_working_directory_that_cannot_be_entered_is_named() {
    let home = Sandbox::with_idle_agents(&["a"]);
    let _closed = Closed::new(&home, "work", 0o600);
    let out = home.fleet(&["start", "--settle", "0ms"]).bound_by_modes().run();
    assert_eq!(out.code(), 1, "{out}");
    let work = home.path("work");
    let says = format!("the working directory {} cannot be entered: ", work.display());
    assert!(out.stderr.contains(&says) && out.stderr.contains("Permission denied"), "{out}");
}
