//! `cargo xtask simulate`: every interleaving of the machines that ship, in a model world,
//! and the control subjects whose known bugs must be found.

use std::process::Command;

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, run as run_command};

/// What to explore.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Go further: larger scopes, a longer storm (many minutes)
    #[arg(long)]
    deep: bool,
    /// Only the storm, beginning with the seed that a broken one printed
    #[arg(long, value_name = "NUMBER", conflicts_with = "subject")]
    seed: Option<u64>,
    /// Only rows whose `subject: scope` has this in it, with their traces
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Serve stateright's explorer for the first such row, say at localhost:3000
    #[arg(long, value_name = "ADDRESS")]
    explore: Option<String>,
    /// Take the rows as they are now for what they should be
    #[arg(long)]
    update: bool,
}

/// Runs the simulator, optimised: a debug build is an order of magnitude slower.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    run_command(command(workspace, options))
}

/// The simulator's command.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Command {
    let scope = ["run", "--quiet", "--release", "--locked", "--package", "lock-sim", "--"];
    let mut command = workspace.cargo(scope);
    if options.deep {
        command.arg("--deep");
    }
    if options.update {
        command.arg("--update");
    }
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(subject) = &options.subject {
        command.args(["--subject", subject]);
    }
    if let Some(address) = &options.explore {
        command.args(["--explore", address]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::describe;

    #[test]
    fn the_simulator_is_told_what_to_explore() {
        let options = Options { update: true, subject: Some("ours".into()), ..Options::default() };
        let expected = "cargo run --quiet --release --locked --package lock-sim -- --update \
                        --subject ours";
        assert_eq!(describe(&command(&Workspace::locate(), &options)), expected);
    }
}
