//! A part of the fault matrix; `cargo xtask faults` runs the whole of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::kit::has_strace;

const PROGRAM: &str = env!("CARGO_BIN_EXE_faults");

/// `fleet` is another package's. With the whole workspace it has been built by now, and lies
/// beside our own programs.
fn fleet() -> PathBuf {
    let fleet = Path::new(PROGRAM).with_file_name("fleet");
    let how = "build it with `cargo build --package fleet-cli`";
    assert!(fleet.exists(), "{} is not there: {how}", fleet.display());
    let depends = fs::read_to_string(fleet.with_extension("d"));
    let depends = depends.expect("because cargo writes one for each program");
    let sources = depends.split_once(": ").map_or("", |(_, sources)| sources);
    // The programs may differ from each other, but not from what is to be tested.
    for source in sources.split_whitespace() {
        assert!(modified(source) <= modified(&fleet), "{source} is newer than `fleet`: {how}");
    }
    fleet
}

fn modified(path: impl AsRef<Path>) -> SystemTime {
    let metadata = fs::metadata(&path).and_then(|metadata| metadata.modified());
    metadata.unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Errors, death and a pause at every call of taking a free lock, of taking over from a dead
/// owner, and of renewing.
#[test]
fn serial_faults_at_every_call_of_an_ownership() {
    matrix(&["--scenario", "Free,Dead owner,Renewal", "--faults", "EIO,EINTR,SIGKILL,SIGSTOP"]);
}

/// What is opened and made before there is a lock, and the steps of a restart.
#[test]
fn serial_errors_at_every_call_of_a_first_use_and_of_a_restart() {
    matrix(&["--scenario", "First use,Steps", "--faults", "EIO,EINTR"]);
}

/// A process that lives on has no more descriptors after any error than before.
#[test]
fn serial_errors_at_every_call_of_a_process_that_lives_on() {
    matrix(&["--scenario", "lives on", "--faults", "EACCES,EMFILE,ENOSPC"]);
}

/// What it says is the test's failure. It has deadlines of its own.
fn matrix(args: &[&str]) {
    if !has_strace() {
        return;
    }
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(args).arg("--fleet").arg(fleet());
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("because it was built");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
}
