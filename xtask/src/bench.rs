//! `cargo xtask bench`: the lock beside its peers, measured in one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::dist;
use crate::error::{Error, chain};
use crate::test::programs;
use crate::workspace::{Workspace, run as run_command, say};

/// Where the figures go, from the root of the checkout.
const DOCUMENT: &str = "docs/benchmarks.md";

/// Where the peers' sources are.
const PEERS: &str = "tests/bench/peers";

/// What to measure.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Only these: uncontended, calls, command, hand-off, crash, contended, fair, idle, stampede,
    /// restart, simulator
    #[arg(long, value_delimiter = ',')]
    section: Vec<String>,
    /// Only peers whose name has one of these in it; ours is always there
    #[arg(long, value_delimiter = ',')]
    subject: Vec<String>,
    /// Just long enough to see that it works; the figures mean little
    #[arg(long)]
    quick: bool,
    /// Draw the plots of what is measured into this directory
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Write docs/benchmarks.md and its plots; it must be the whole run
    #[arg(long, conflicts_with_all = ["section", "subject", "quick"])]
    write: bool,
}

/// Builds the peers and measures. A peer that cannot be had is no obstacle: the run finds out
/// and says so on the page.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    run_command(build(workspace))?;
    provide("the Debian tools", programs::provide_peers())?;
    provide("the Rust peers", run_command(rust(workspace)))?;
    provide("the Node peers", node(workspace))?;
    provide("the Python peers", python(workspace))?;
    let fleet = dist::shipped(workspace)?;
    run_command(program(workspace, &fleet, options))
}

/// Says what is missing, and goes on.
fn provide(what: &str, outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => say(&format!("without {what}: {}", chain(&error))),
    }
}

/// What is measured and what measures, beside each other.
fn build(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(["build", "--quiet", "--release", "--locked"]);
    for package in ["fleet-cli", "lock-bench", "lock-sim"] {
        command.args(["--package", package]);
    }
    command.arg("--bins");
    command
}

/// A package of its own, so that nothing else is built with what it needs.
fn rust(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(["build", "--quiet", "--release", "--locked"]);
    let manifest = workspace.root().join(PEERS).join("rust/Cargo.toml");
    command.arg("--manifest-path").arg(manifest);
    command.arg("--target-dir").arg(workspace.target().join("bench/rust"));
    command
}

/// In a copy, so that the checkout stays clean.
fn node(workspace: &Workspace) -> Result<(), Error> {
    let to = workspace.target().join("bench/node");
    copy(&workspace.root().join(PEERS).join("node"), &to)?;
    let mut npm = Command::new("npm");
    run_command(npm.current_dir(to).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
}

/// In an environment of its own.
fn python(workspace: &Workspace) -> Result<(), Error> {
    let to = workspace.target().join("bench/python");
    run_command(Command::new("python3").args(["-m", "venv"]).arg(&to))?;
    copy(&workspace.root().join(PEERS).join("python"), &to)?;
    let mut pip = Command::new(to.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
    run_command(pip.arg(to.join("requirements.txt")))
}

/// The files of a directory, without those below it.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let wrote = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    fs::create_dir_all(to).map_err(wrote(to))?;
    let read = |source| Error::Read { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(read)?.flatten() {
        if entry.path().is_file() {
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy).map_err(wrote(&copy))?;
        }
    }
    Ok(())
}

/// The harness, with `fleet` as users get it: how it is linked is a good part of how long it
/// takes to start.
fn program(workspace: &Workspace, fleet: &Path, options: &Options) -> Command {
    let mut command = Command::new(workspace.target().join("release/lock-bench"));
    command.current_dir(workspace.root()).arg("run");
    for (option, values) in [("--section", &options.section), ("--subject", &options.subject)] {
        if !values.is_empty() {
            command.args([option, &values.join(",")]);
        }
    }
    command.arg("--fleet").arg(fleet);
    if options.quick {
        command.arg("--quick");
    }
    if let Some(directory) = &options.plots {
        command.arg("--plots").arg(directory);
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
    fn the_peers_are_built_apart_from_the_workspace() {
        let workspace = Workspace::locate();
        let expected = "cargo build --quiet --release --locked --package fleet-cli --package \
                        lock-bench --package lock-sim --bins";
        assert_eq!(describe(&build(&workspace)), expected);
        let command = describe(&rust(&workspace));
        assert!(
            command.contains("--manifest-path") && command.ends_with("bench/rust"),
            "{command}"
        );
    }

    #[test]
    fn the_harness_is_told_which_part() {
        let section = vec!["calls".to_owned(), "idle".to_owned()];
        let options = Options { section, quick: true, ..Options::default() };
        let command = describe(&program(&Workspace::locate(), Path::new("f"), &options));
        assert_eq!(command, "lock-bench run --section calls,idle --fleet f --quick");
    }

    #[test]
    fn what_is_missing_is_no_failure() {
        let error = Error::MissingPrograms { programs: "x".to_owned(), packages: "y".to_owned() };
        assert!(provide("nothing", Err(error)).is_ok());
    }
}
