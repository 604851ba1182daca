//! `cargo xtask patience`: two commands under one lock by nothing but defaults, for real: the first
//! takes longer than any limit that a default could have.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::Error;
use crate::workspace::{Workspace, describe, run as run_command, say};

/// Longer than the two minutes after which a lock that judges by the clock loses its patience.
const SECONDS: u32 = 170;

/// Fails if the second command begins before the first has ended.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    run_command(workspace.cargo(["build", "--release", "--locked", "--package", "fleet-cli"]))?;
    let directory = workspace.target().join("patience");
    let failed = |source| Error::Write { path: directory.clone(), source };
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(failed)?;
    }
    fs::create_dir_all(&directory).map_err(failed)?;
    // To make a directory fails if it is there: that is the judge.
    let work = format!("mkdir working && sleep {SECONDS} && rmdir working");
    let fleet = workspace.target().join("release/fleet");
    let command = || {
        let mut command = Command::new(&fleet);
        let args = ["lock", "run", "--lock", "lock", "--", "sh", "-c", &work];
        command.current_dir(&directory).args(args).stdin(Stdio::null());
        command
    };
    let begun = Instant::now();
    let started = |mut command: Command| {
        let child = command.spawn();
        child.map_err(|source| Error::Start { command: describe(&command), source })
    };
    for mut child in [started(command())?, started(command())?] {
        let failed = |source| Error::Start { command: describe(&command()), source };
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(Error::Command { command: describe(&command()), status });
        }
    }
    let seconds = begun.elapsed().as_secs();
    say(&format!("two commands of {SECONDS} s each, one after the other: {seconds} s, no overlap"))
}
