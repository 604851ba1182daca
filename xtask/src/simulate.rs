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
    /// Begin the storm with the seed that a run printed
    #[arg(long)]
    seed: Option<u64>,
    /// Only rows whose `subject: scope` has this in it, with their traces
    #[arg(long)]
    subject: Option<String>,
    /// Serve stateright's explorer for the first such row, say at localhost:3000
    #[arg(long, value_name = "ADDRESS")]
    explore: Option<String>,
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
        let options = Options { seed: Some(7), subject: Some("ours".into()), ..Options::default() };
        let expected = "cargo run --quiet --release --locked --package lock-sim -- --seed 7 \
                        --subject ours";
        assert_eq!(describe(&command(&Workspace::locate(), &options)), expected);
    }
}
