//! `fleet lock doctor`: real trials, in directories that have what a lock needs and in others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rstest::rstest;
use serde_json::Value;

use crate::kit::{Sandbox, redacted};

/// The names of the grounds that do not hold.
fn lacking(diagnosis: &Value) -> Vec<&str> {
    let findings = diagnosis["findings"].as_array().expect("a list").iter();
    let lacking = findings.filter(|finding| finding["holds"] == false);
    lacking.map(|finding| finding["ground"].as_str().expect("a word")).collect()
}

/// Nothing of the trials stays behind.
fn assert_clean(directory: &Path) {
    let left: Vec<_> = fs::read_dir(directory)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("doctor"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A directory of ours on the disk that we were built on: `/tmp` may be in memory.
fn on_disk() -> (Sandbox, tempfile::TempDir) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    (Sandbox::new(), directory)
}

#[test]
fn where_all_is_well_all_holds() {
    let (home, directory) = on_disk();
    let path = directory.path().to_str().expect("UTF-8");
    let out = home.fleet(&["lock", "doctor", path]).run();
    assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{out}");
    // Which disk that is differs from machine to machine.
    let (first, rest) = out.stdout.split_once('\n').expect("lines");
    assert!(first.starts_with(path), "{out}");
    redacted(&home, || insta::assert_snapshot!(rest));
    let data = home.fleet(&["lock", "doctor", path, "--json"]).run();
    assert_eq!((data.code(), lacking(&data.json())), (0, vec![]), "{data}");
    assert_eq!(data.json()["holds"], true);
    assert_clean(directory.path());
}

#[test]
fn a_file_system_in_memory_forgets_the_generations() {
    let home = Sandbox::new();
    let script = format!(
        "mount -t tmpfs -o size=8m none work || exit 99; {} lock doctor work",
        env!("CARGO_BIN_EXE_fleet")
    );
    let out = home.fleet(&[]).with_own_mounts(&script).run();
    assert_eq!(out.code(), 1, "{out}");
    redacted(&home, || insta::assert_snapshot!(out.stdout));
}

#[rstest]
#[case::full("mount -t tmpfs -o size=64k none work", &["room", "durable"])]
#[case::no_inodes("mount -t tmpfs -o size=8m,nr_inodes=30 none work", &["room", "durable"])]
#[case::open_to_all("chmod 777 work", &["directory"])]
fn a_poor_place_is_told_what_it_lacks(#[case] prepare: &str, #[case] lacks: &[&str]) {
    let home = Sandbox::new();
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!("{prepare} || exit 99; {fleet} lock doctor work --json");
    let out = home.fleet(&[]).with_own_mounts(&script).run();
    assert_eq!(out.code(), 1, "{out}");
    let diagnosis = out.json();
    let mut lacking = lacking(&diagnosis);
    if diagnosis["file_system"] == "tmpfs" && !lacks.contains(&"durable") {
        lacking.retain(|ground| *ground != "durable");
    }
    assert_eq!(lacking, lacks, "{out}");
}

/// The real calls of the real binary, with the kernel's answers exchanged.
#[rstest]
#[case::no_links("linkat:error=EPERM", &["anonymous", "links"], "without hard links")]
#[case::no_locks("flock:error=ENOSYS", &["arbitration", "exclusion", "death"], "without kernel locks")]
#[case::no_events("inotify_init1:error=EMFILE", &["events"], "the normal way")]
#[case::no_sync("fsync:error=EIO", &["durable"], "")]
#[case::no_rename("rename,renameat,renameat2:error=EXDEV", &["rename", "durable"], "")]
fn what_a_file_system_lacks_is_found(
    #[case] inject: &str,
    #[case] lacks: &[&str],
    #[case] way: &str,
) {
    let (home, directory) = on_disk();
    let path = directory.path().to_str().expect("UTF-8");
    let inject = format!("inject={inject}");
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let args =
        ["-f", "-qq", "-o", "/dev/null", "-e", &inject, fleet, "lock", "doctor", path, "--json"];
    let out = home.fleet(&[]).instead("strace", &args).run();
    assert_eq!(out.code(), 1, "{out}");
    let diagnosis = out.json();
    let mut found = lacking(&diagnosis);
    if way.is_empty() {
        // Then there can be no lock either, and so nobody to say how it works.
        found.retain(|ground| !["lock", "arbitration"].contains(ground));
    } else {
        let findings = diagnosis["findings"].as_array().expect("a list");
        assert_eq!(findings[0]["evidence"], way, "{out}");
    }
    assert_eq!(found, lacks, "{out}");
    for finding in diagnosis["findings"].as_array().expect("a list") {
        assert_eq!(finding["holds"] == false, finding["without"].is_string(), "{finding:#}");
    }
    assert_clean(directory.path());
}

#[test]
fn the_home_need_not_be_there_yet() {
    let home = Sandbox::new();
    let out = home.fleet(&["lock", "doctor", "--json"]).run();
    let there = home.path("fleet");
    assert_eq!(out.json()["directory"], there.to_str().expect("UTF-8"), "{out}");
    assert!(out.stderr.contains("/fleet/run yet; tried "), "{out}");
    assert!(!home.has("fleet/run"), "it is not made either");
    assert_clean(&there);
}

#[rstest]
#[case::missing("nowhere", 74, "No such file or directory")]
#[case::a_file("file", 74, "not a directory")]
#[case::read_only("work", 73, "read-only")]
fn what_cannot_be_tried(#[case] directory: &str, #[case] code: i32, #[case] says: &str) {
    let home = Sandbox::new();
    home.write("file", "");
    let script = format!(
        "mount -t tmpfs -o ro none work || exit 99; exec {} lock doctor {directory}",
        env!("CARGO_BIN_EXE_fleet")
    );
    let out = home.fleet(&[]).with_own_mounts(&script).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stdout.is_empty() && out.stderr.lines().count() == 1, "{out}");
    assert!(out.stderr.contains("cannot try ") && out.stderr.contains(says), "{out}");
}

/// Whoever may not write somewhere is told so.
#[test]
fn a_directory_of_somebody_else_is_77() {
    if !rustix::process::geteuid().is_root() {
        let out = Sandbox::new().fleet(&["lock", "doctor", "/"]).run();
        assert_eq!(out.code(), 77, "{out}");
        return;
    }
    let home = Sandbox::new();
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).expect("ours");
    let copy = home.path("fleet-binary");
    fs::copy(env!("CARGO_BIN_EXE_fleet"), &copy).expect("copied");
    let copy = copy.to_str().expect("UTF-8");
    let args = ["--reuid=65534", "--clear-groups", copy, "lock", "doctor", "work"];
    let out = home.fleet(&[]).instead("setpriv", &args).run();
    assert_eq!(out.code(), 77, "{out}");
    assert!(out.stderr.contains("permission denied"), "{out}");
}
