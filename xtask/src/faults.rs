//! `cargo xtask faults`: at every system call of the real programs, every fault.

use std::process::Command;

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, run as run_command};

/// Where the matrix goes, from the root of the checkout.
const DOCUMENT: &str = "docs/faults.md";

/// Which part of the matrix.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Only lives whose name has one of these in it, as in docs/faults.md
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Only these columns: EIO, ENOSPC, EACCES, EINTR, EMFILE, SIGKILL, SIGSTOP, ended
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Write the matrix into docs/faults.md; it must be the whole one
    #[arg(long)]
    write: bool,
}

/// Builds the programs and runs the matrix.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    run_command(build(workspace))?;
    run_command(program(workspace, options))
}

/// All programs at once: those that take part are beside the one that runs the matrix.
fn build(workspace: &Workspace) -> Command {
    let packages = ["--package", "fleet-cli", "--package", "lock-tests", "--bins"];
    let mut command = workspace.cargo(["build", "--quiet", "--release", "--locked"]);
    command.args(packages);
    command
}

fn program(workspace: &Workspace, options: &Options) -> Command {
    let mut command = Command::new(workspace.target().join("release/faults"));
    command.current_dir(workspace.root()).arg("run");
    for (option, values) in [("--scenario", &options.scenario), ("--faults", &options.faults)] {
        if !values.is_empty() {
            command.args([option, &values.join(",")]);
        }
    }
    if options.write {
        command.args(["--write", DOCUMENT]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::describe;

    #[test]
    fn the_programs_that_take_part_are_built_together() {
        let expected = "cargo build --quiet --release --locked --package fleet-cli --package \
                        lock-tests --bins";
        assert_eq!(describe(&build(&Workspace::locate())), expected);
    }

    #[test]
    fn the_matrix_is_told_which_part() {
        let options = Options {
            scenario: vec!["Free".to_owned(), "Renewal".to_owned()],
            faults: vec!["EIO".to_owned()],
            write: true,
        };
        let command = describe(&program(&Workspace::locate(), &options));
        let expected = "run --scenario Free,Renewal --faults EIO --write docs/faults.md";
        assert!(command.ends_with(expected), "{command}");
    }
}
